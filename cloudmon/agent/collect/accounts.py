"""Accounts, groups and the keys that open them. No password hash is kept or told."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Callable, NamedTuple

from .. import rooted
from ..rooted import Root

WATCHED = ("/etc/passwd", "/etc/shadow", "/etc/group")
MOST_KEYS_BYTES = 1024 * 1024
MOST_ITEMS = 5000


class Account(NamedTuple):
    """One line of ``/etc/passwd``."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def passwd(raw: bytes) -> list[Account]:
    """Lines that are none are left out."""
    found = []
    for line in rooted.text(raw).split("\n"):
        words = line.split(":")
        if len(words) != 7 or not words[0] or words[0].startswith(("#", "+", "-")):
            continue
        uid, gid = number(words[2]), number(words[3])
        if uid is not None and gid is not None:
            found.append(Account(words[0], uid, gid, words[5], words[6]))
    return found


def number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 10 else None


def groups(raw: bytes) -> tuple[dict[int, str], dict[str, set[str]]]:
    """Names by number, and by account the groups that name it."""
    names: dict[int, str] = {}
    members: dict[str, set[str]] = {}
    for line in rooted.text(raw).split("\n"):
        words = line.split(":")
        gid = number(words[2]) if len(words) == 4 and words[0] else None
        if gid is None:
            continue
        names.setdefault(gid, words[0])
        for account in words[3].split(","):
            if account.strip():
                members.setdefault(account.strip(), set()).add(words[0])
    return names, members


def locked(raw: bytes) -> dict[str, bool]:
    """By account: whether no password opens it. Everything else of the file is forgotten here."""
    found = {}
    for line in rooted.text(raw).split("\n"):
        words = line.split(":")
        if len(words) >= 2 and words[0]:
            found[words[0]] = words[1].startswith(("!", "*"))
    return found


def fingerprints(raw: bytes) -> list[str]:
    """Of the public keys in an ``authorized_keys``, options before them or not."""
    found = set()
    for line in raw.split(b"\n"):
        if line.lstrip().startswith(b"#"):
            continue
        words = line.split()
        for kind, blob in zip(words, words[1:]):
            if not kind.startswith((b"ssh-", b"ecdsa-", b"sk-")):
                continue
            try:
                key = base64.b64decode(blob, validate=True)
            except (binascii.Error, ValueError):
                continue
            # A key says its own kind first, with its length before it.
            if key[4 : 4 + len(kind)] == kind and int.from_bytes(key[:4], "big") == len(kind):
                found.add("SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("="))
                break
    return sorted(found)


class Accounts:
    """The appliance's accounts."""

    def __init__(self, root: Root, made: Callable[[], dict[str, int]]) -> None:
        """``made``: the accounts that the agent made, with their numbers."""
        self._root = root
        self._made = made

    def names(self) -> dict[int, str]:
        """Accounts by their number; empty when they cannot be read."""
        try:
            return {account.uid: account.name for account in reversed(passwd(self._root.read("/etc/passwd")))}
        except OSError:
            return {}

    def section(self) -> dict[str, Any]:
        """OSError when there is no ``/etc/passwd`` to read."""
        found = passwd(self._root.read("/etc/passwd"))[:MOST_ITEMS]
        group_names, members = self._groups()
        without_password, made = self._locked(), self._made()
        told: dict[str, Any] = {}
        for account in found:
            own = group_names.get(account.gid)
            item: dict[str, Any] = {
                "uid": account.uid,
                "gid": account.gid,
                "home": account.home,
                "shell": account.shell,
                "groups": sorted(members.get(account.name, set()) - {own}),
            }
            keys = self._keys(account)
            if keys is not None:
                item["keys"] = keys
            if account.name in without_password:
                item["locked"] = without_password[account.name]
            if made.get(account.name) == account.uid:
                item["managed"] = True
            told.setdefault(account.name, item)
        return told

    def signature(self) -> tuple[tuple[int, ...], ...]:
        keys = [f"/home/{name}/.ssh/authorized_keys" for name in sorted(self._made())]
        return tuple(self._root.signature(path) for path in (*WATCHED, *keys))

    def _groups(self) -> tuple[dict[int, str], dict[str, set[str]]]:
        try:
            return groups(self._root.read("/etc/group"))
        except OSError:
            return {}, {}

    def _locked(self) -> dict[str, bool]:
        try:
            return locked(self._root.read("/etc/shadow"))
        except OSError:
            return {}

    def _keys(self, account: Account) -> list[str] | None:
        """None: not known, since we may not look."""
        if not account.home.startswith("/"):
            return []
        try:
            return fingerprints(self._root.read(f"{account.home}/.ssh/authorized_keys", MOST_KEYS_BYTES))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError):
            return None
