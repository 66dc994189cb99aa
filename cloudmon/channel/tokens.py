"""Enrolment tokens: what an appliance is given so that it can ask for its first key. Pure.

``cm1.<ca>.<id>.<secret>``; the secret is derived from the id, so the user data of an incarnation is always the same
and no token is stored. That a token is used once only, and for how long, is :mod:`cloudmon.channel.enrolling`'s.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from typing import NamedTuple

from cloudmon.channel import keys
from cloudmon.model.identity import ApplianceId

LIFETIME_S = 15 * 60
"""How long a token is good, in seconds: from when it was made, or from when its node was first seen running."""

NO_CA = "-"
"""Stands for the hash of the CA where a proxy shows a certificate that machines trust already."""

KEY_PREFIX = "e:"
"""A request is signed with the token's secret under this and the enrolment's id."""

_USER_DATA = re.compile(rf"a-{keys.UID}-{keys.NUMBER}-{keys.NUMBER}", re.ASCII)
_BY_HAND = re.compile(r"m-[a-z2-7]{12}", re.ASCII)
_TOKEN = re.compile(r"cm1\.([A-Za-z0-9_-]{43}|-)\.([a-z0-9-]{1,64})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Seat(NamedTuple):
    """The incarnation of an appliance that a token of user data speaks for."""

    appliance: ApplianceId
    incarnation: int


class Token(NamedTuple):
    """A token taken apart."""

    ca: str
    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token(ca={self.ca!r}, id={self.id!r}, secret=***)"


def parse(text: str) -> Token | None:
    """The token that ``text`` is, or None."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else Token(*found.groups())


def seat(enrolment_id: str) -> Seat | None:
    """Whom the id of a token of user data speaks for; None for any other id."""
    found = _USER_DATA.fullmatch(enrolment_id)
    return None if found is None else Seat(ApplianceId(found[1], int(found[2])), int(found[3]))


def is_id(enrolment_id: str) -> bool:
    """Whether this can be the id of an enrolment."""
    return bool(_USER_DATA.fullmatch(enrolment_id) or _BY_HAND.fullmatch(enrolment_id))


def id_of_user_data(appliance: ApplianceId, incarnation: int) -> str:
    """The id of the one token that this incarnation's user data holds."""
    return f"a-{appliance.set_uid}-{appliance.ordinal}-{incarnation}"


def new_id() -> str:
    """The id of a token made by hand."""
    return "m-" + base64.b32encode(secrets.token_bytes(8)).decode("ascii").lower()[:12]


def secret_of(channel_key: bytes, enrolment_id: str) -> bytes:
    """The secret of an enrolment's token."""
    return hmac.digest(channel_key, b"enrol|" + enrolment_id.encode("ascii"), "sha256")


def fits(channel_key: bytes, token: Token) -> bool:
    """Whether a token's secret is the one of its enrolment."""
    return hmac.compare_digest(token.secret, keys.shown(secret_of(channel_key, token.id)))


def text(channel_key: bytes, ca: str, enrolment_id: str) -> str:
    """The token as it is handed out. A secret: whoever has it first is the appliance."""
    return f"cm1.{ca}.{enrolment_id}.{keys.shown(secret_of(channel_key, enrolment_id))}"
