"""Keys of the channel: all derived from the one channel key, so that nothing secret is stored. Pure."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from cloudmon.channel import signing
from cloudmon.model.identity import ApplianceId

LIFETIME_S = 24 * 3_600
"""How long an appliance's key is good, in seconds; a reply brings the next one when less than half is left."""

NUMBER = "(0|[1-9][0-9]{0,9})"
"""A number as ids have it: one spelling only."""
UID = "([a-z0-9]{1,24})"
"""Set uid within an id."""

_KEY = re.compile(rf"k\.{UID}\.{NUMBER}\.{NUMBER}\.{NUMBER}\.(0|[1-9][0-9]{{0,11}})", re.ASCII)


class Key(NamedTuple):
    """What the id of an appliance's key says; who holds its secret is who it says."""

    appliance: ApplianceId
    incarnation: int
    serial: int
    expires_at: int
    """Unix seconds."""

    @property
    def id(self) -> str:
        uid, ordinal = self.appliance
        return f"k.{uid}.{ordinal}.{self.incarnation}.{self.serial}.{self.expires_at}"


def parse(key_id: str) -> Key | None:
    """The key of that id, or None when it is the id of none."""
    found = _KEY.fullmatch(key_id)
    if found is None:
        return None
    uid, ordinal, incarnation, serial, expires_at = found.groups()
    return Key(ApplianceId(uid, int(ordinal)), int(incarnation), int(serial), int(expires_at))


def new(appliance: ApplianceId, incarnation: int, serial: int, *, now: int) -> Key:
    """A key that is good from ``now`` (unix seconds) on."""
    return Key(appliance, incarnation, serial, now + LIFETIME_S)


def renewed(key: Key, serial: int, *, now: int) -> Key | None:
    """The next key when less than half of this one's life is left, else None. The old one stays good until it ends."""
    if key.expires_at - now >= LIFETIME_S / 2:
        return None
    return new(key.appliance, key.incarnation, serial, now=now)


def secret_of(channel_key: bytes, key_id: str) -> bytes:
    """The secret of an appliance's key."""
    return signing.hmac_sha256(channel_key, b"key|" + key_id.encode("ascii"))


def shown(secret: bytes) -> str:
    """A secret as it is handed over: base64url without padding."""
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode("ascii")
