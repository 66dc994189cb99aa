"""Signatures of requests and replies: RFC 9421 with HMAC-SHA256, in the one form that the protocol allows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from . import states

REQUEST = '("@method" "@path" "@query" "content-digest")'
REPLY = '("@status" "content-digest")'

_INPUT = re.compile(
    r'cm=(?P<parameters>\("@status" "content-digest"\);created=(?P<created>[0-9]{1,12})'
    r';nonce="(?P<nonce>[A-Za-z0-9_-]{22,43})";keyid="(?P<key>[A-Za-z0-9._:-]{1,128})";alg="hmac-sha256")'
)
_SIGNATURE = re.compile(r"cm=:(?P<value>[A-Za-z0-9+/]{43}=):")


class Key(NamedTuple):
    """What the agent signs with."""

    id: str
    secret: bytes
    expires_at: float = 0.0

    def __repr__(self) -> str:
        return f"Key({self.id!r})"


def key_of(told: Mapping[str, object]) -> Key:
    """A key as the monitor tells it. ValueError when it is none."""
    name, secret, expires_at = told.get("id"), told.get("secret"), told.get("expires_at")
    until = states.number(expires_at, -1.0)
    if not isinstance(name, str) or not isinstance(secret, str) or until < 0:
        raise ValueError("a key has id, secret and expires_at")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", name):
        raise ValueError("a key's id has characters that no id has")
    return Key(name, secret_bytes(secret), until)


def secret_bytes(text: str) -> bytes:
    """A secret as it is written. ValueError when it is none."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise ValueError("a secret is base64url without padding") from wrong
    if len(found) < 16:
        raise ValueError("a secret has at least 16 bytes")
    return found


def new_nonce() -> str:
    return secrets.token_urlsafe(16)


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign(key: Key, path: str, body: bytes, *, created: int, nonce: str) -> dict[str, str]:
    """Headers of a POST."""
    content = digest(body)
    parameters = f'{REQUEST};created={created};nonce="{nonce}";keyid="{key.id}";alg="hmac-sha256"'
    base = "\n".join(
        [
            '"@method": POST',
            f'"@path": {path}',
            '"@query": ?',
            f'"content-digest": {content}',
            f'"@signature-params": {parameters}',
        ]
    )
    return {
        "Content-Digest": content,
        "Signature-Input": f"cm={parameters}",
        "Signature": f"cm=:{_mac(key, base)}:",
    }


def believed(key: Key, nonce: str, status: int, headers: Mapping[str, str], body: bytes) -> int | None:
    """The date of a reply that was signed with our key, for this very request; None of any other. ``headers`` have
    names in lower case."""
    found = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    content = headers.get("content-digest", "")
    if found is None or signature is None:
        return None
    if found["nonce"] != nonce or found["key"] != key.id:
        return None
    if not hmac.compare_digest(content.encode(), digest(body).encode()):
        return None
    base = "\n".join(
        [
            f'"@status": {status}',
            f'"content-digest": {content}',
            f'"@signature-params": {found["parameters"]}',
        ]
    )
    fits = hmac.compare_digest(signature["value"].encode(), _mac(key, base).encode())
    return int(found["created"]) if fits else None


def _mac(key: Key, base: str) -> str:
    return base64.b64encode(hmac.new(key.secret, base.encode(), hashlib.sha256).digest()).decode()
