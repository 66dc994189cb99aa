"""Accounts on the members of a set: who may log in, by which keys, with which rights, until when."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import re
from dataclasses import dataclass

USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
"""Names that an account may have."""
RIGHT = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
"""Names of groups."""
SUDO = "sudo"
"""The right to become root: the group ``sudo``, or ``wheel`` where a system has that."""
KINDS = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
MOST_KEYS = 20
MOST_KEY = 2_000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Access:
    """What an account is to be."""

    keys: tuple[str, ...]
    """Public keys as ``ssh-keygen`` writes them; they, and nothing else, open it."""
    rights: tuple[str, ...] = ()
    """Groups that it is in, beside its own; ``sudo`` lets it become root."""
    until: dt.datetime | None = None
    """When it ends. None: with the set."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An account that a person asked for, beside what the set's author wants."""

    id: str
    """That of the request which asked for it."""
    tenant: str
    set_uid: str
    user: str
    access: Access
    author: str
    reason: str
    since: dt.datetime
    revoked_at: dt.datetime | None = None
    """When it was taken back, or another grant for the same user came in its place."""


def keys(text: str) -> tuple[str, ...]:
    """The public keys in ``text``, one a line. ValueError, as a sentence that shows nothing of them, for anything
    else: a private key given by mistake must not stand anywhere."""
    if "PRIVATE KEY" in text:
        raise ValueError("is a private key; give the public one, which ends in .pub")
    found = []
    for line in text.splitlines():
        words = line.split(None, 2)
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or words[0] not in KINDS or not line.isprintable() or len(line) > MOST_KEY:
            raise ValueError("is no public key as ssh-keygen writes it: its kind, the key, a comment")
        _blob(words[0], words[1])
        found.append(" ".join(words))
    if not found:
        raise ValueError("has no key in it")
    if len(found) > MOST_KEYS:
        raise ValueError(f"has more than {MOST_KEYS} keys")
    return tuple(dict.fromkeys(found))


def fingerprint(key: str) -> str:
    """As ``ssh-keygen -l`` shows it, and as agents report it."""
    kind, text = key.split(None, 2)[:2]
    digest = hashlib.sha256(_blob(kind, text)).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def user(name: str) -> str:
    """The name, if an account may have it. ValueError as a sentence."""
    if name == "root" or not USER.fullmatch(name):
        raise ValueError(f"{name[:64]!r} is no name for an account: small letters, digits, _ and -, at most 32")
    return name


def rights(names: tuple[str, ...]) -> tuple[str, ...]:
    """The groups, in order and each once. ValueError as a sentence."""
    wrong = next((name for name in names if not RIGHT.fullmatch(name)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:64]!r} is no name of a group")
    return tuple(sorted(set(names)))


def _blob(kind: str, text: str) -> bytes:
    word = kind.encode("ascii")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"has a key of kind {kind} that is no base64") from None
    # A key says its own kind first, with its length before it.
    if len(raw) <= 4 + len(word) or raw[:4] != len(word).to_bytes(4, "big") or raw[4 : 4 + len(word)] != word:
        raise ValueError(f"has a key of kind {kind} that says that it is of another")
    return raw
