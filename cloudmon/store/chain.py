"""The action log's signature: one keyed chain a set, each entry signing the one before it. Pure.

An entry's code is an HMAC-SHA256 over everything in its row and the code before it, so nobody without the key can
change, add, remove or move an entry unseen. What the chain cannot see by itself, a tail that was cut, the head row and
the anchors outside the store tell.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from cloudmon.store.columns import canonical

ESTATE_CHAIN = "estate"
FIRST = ""
"""What the first entry of a chain names as the code before it."""


class Head(NamedTuple):
    """The newest entry of a chain."""

    seq: int
    mac: str


NO_HEAD = Head(0, FIRST)


class SignedRow(NamedTuple):
    """One row of the action log as it stands in the store; ``at`` and ``body`` as the text that was signed."""

    chain: str
    seq: int
    tenant: str
    at: str
    kind: str
    subject: str
    body: str
    epoch: int
    previous: str
    mac: str


def sign(key: bytes, row: SignedRow) -> str:
    """The code that ``row`` must carry; its own ``mac`` is not looked at."""
    text = canonical(row[:9])
    return hmac.digest(key, text.encode(), "sha256").hex()


def signed_at(key: bytes, row: SignedRow, seq: int) -> bool:
    """Whether the row's code is true if it stood at ``seq``."""
    return hmac.compare_digest(sign(key, row._replace(seq=seq)), row.mac)


def key_check(key: bytes, estate: str) -> str:
    """Tells whether a key is the one that a log was written with, and nothing about the key."""
    return hmac.digest(key, f"cloudmon key of estate {estate}".encode(), "sha256").hex()


def anchor_check(key: bytes, chain: str, head: Head) -> str:
    """Signs one line of the anchor file."""
    return hmac.digest(key, canonical(("anchor", chain, *head)).encode(), "sha256").hex()[:32]
