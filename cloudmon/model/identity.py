"""Who a node belongs to: estate, set, ordinal, incarnation, and the token made of exactly these."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import NamedTuple

UID_LENGTH = 12
"""Characters of an estate id or set uid: 60 random bits, lower-case base32, safe in every cloud's names and tags."""

TAG_ESTATE = "cloudmon:estate"
TAG_TOKEN = "cloudmon:token"
TAG_SET = "cloudmon:set"
TAG_TENANT = "cloudmon:tenant"

DEFAULT_TENANT = "default"


def new_uid() -> str:
    """A fresh uid for an estate or a set."""
    return base64.b32encode(secrets.token_bytes(8)).decode("ascii").lower()[:UID_LENGTH]


class ApplianceId(NamedTuple):
    """One member of a set: its identity outlives its nodes. Shown to people as ``storefront/3``."""

    set_uid: str
    ordinal: int


class Token(NamedTuple):
    """What makes a create call idempotent: these four, nothing else.

    Its text is at most 64 ASCII characters (EC2's limit) of letters, digits and hyphens.
    """

    estate: str
    set_uid: str
    ordinal: int
    incarnation: int

    def __str__(self) -> str:
        return f"cm1-{self.estate}-{self.set_uid}-{self.ordinal}-{self.incarnation}"

    @property
    def appliance(self) -> ApplianceId:
        return ApplianceId(self.set_uid, self.ordinal)

    @classmethod
    def parse(cls, text: str) -> Token | None:
        """The token that ``text`` is, or None when it is no token of ours."""
        parts = text.split("-")
        if len(parts) != 5 or parts[0] != "cm1" or not (parts[3].isdecimal() and parts[4].isdecimal()):
            return None
        if len(parts[1]) != UID_LENGTH or len(parts[2]) != UID_LENGTH:
            return None
        return cls(parts[1], parts[2], int(parts[3]), int(parts[4]))


def ownership_tags(token: Token, *, set_name: str, tenant: str) -> Mapping[str, str]:
    """The tags that go into the create call itself, so that no node is ever without an owner."""
    return {
        TAG_ESTATE: token.estate,
        TAG_TOKEN: str(token),
        TAG_SET: set_name,
        TAG_TENANT: tenant,
    }
