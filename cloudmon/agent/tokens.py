"""Enrolment tokens: ``cm1.<ca>.<id>.<secret>``."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

from . import signing

_TOKEN = re.compile(
    r"cm1\.(?P<ca>-|[A-Za-z0-9_-]{43})\.(?P<id>[A-Za-z0-9_:-]{1,120})\.(?P<secret>[A-Za-z0-9_-]{22,128})"
)


class Token(NamedTuple):
    """A token, taken apart."""

    ca: str
    """Fingerprint of the monitor's certificate authority; ``-``: the system's trust decides."""
    key: signing.Key
    """What the enrolment is signed with."""


def parse(text: str) -> Token:
    """ValueError with a sentence that does not repeat the token."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        raise ValueError("the enrolment token is not of the form cm1.<ca>.<id>.<secret>")
    return Token(found["ca"], signing.Key(f"e:{found['id']}", signing.secret_bytes(found["secret"])))


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in DER, as tokens have it."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).decode().rstrip("=")
