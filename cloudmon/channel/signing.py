"""HTTP message signatures (RFC 9421, hmac-sha256) in the one strict form that the channel speaks. Pure.

Everything is compared as the text that was sent, never as what it decodes to: base64 has several spellings of one
value, and only the one spelling is a signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

LONGEST_HEADER = 512
"""Bytes of a signature's header at most; the strict form needs less."""

_REQUEST = b'("@method" "@path" "@query" "content-digest")'
_REPLY = b'("@status" "content-digest")'
_PARAMETERS = (
    rb';created=(?P<created>0|[1-9][0-9]{0,11});nonce="(?P<nonce>[A-Za-z0-9_-]{22,43})"'
    rb';keyid="(?P<keyid>[A-Za-z0-9._:-]{1,128})";alg="hmac-sha256"'
)
_REQUEST_INPUT = re.compile(rb"cm=(?P<params>" + re.escape(_REQUEST) + _PARAMETERS + rb")")
_REPLY_INPUT = re.compile(rb"cm=(?P<params>" + re.escape(_REPLY) + _PARAMETERS + rb")")
_SIGNATURE = re.compile(rb"cm=:([A-Za-z0-9+/]{43}=):")
_DIGEST = re.compile(rb"sha-256=:([A-Za-z0-9+/]{43}=):")

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI gives them."""


class Signed(NamedTuple):
    """What the headers of a message say about its signature; nothing of it is proven yet."""

    digest: bytes
    """The whole value of ``Content-Digest``."""
    params: bytes
    """``@signature-params`` as sent."""
    created: int
    nonce: str
    key_id: str
    signature: bytes
    """The base64 text between the colons."""


def digest(body: bytes) -> bytes:
    """``Content-Digest`` of a body."""
    return b"sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()) + b":"


def digest_fits(claimed: bytes, body: bytes) -> bool:
    """Whether ``body`` is what ``Content-Digest`` says."""
    return hmac.compare_digest(claimed, digest(body))


def parse_request(headers: Headers) -> Signed | None:
    """What a request's headers say, or None unless each of the three is there exactly once, in exactly our form."""
    return _parse(headers, _REQUEST_INPUT)


def parse_reply(headers: Headers) -> Signed | None:
    """As :func:`parse_request`, for a reply."""
    return _parse(headers, _REPLY_INPUT)


def _parse(headers: Headers, form: re.Pattern[bytes]) -> Signed | None:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in (b"content-digest", b"signature-input", b"signature"):
            if name in found or len(value) > LONGEST_HEADER:
                return None
            found[name] = value
    if len(found) != 3:
        return None
    given = form.fullmatch(found[b"signature-input"])
    signature = _SIGNATURE.fullmatch(found[b"signature"])
    if given is None or signature is None or _DIGEST.fullmatch(found[b"content-digest"]) is None:
        return None
    return Signed(
        digest=found[b"content-digest"],
        params=given["params"],
        created=int(given["created"]),
        nonce=given["nonce"].decode("ascii"),
        key_id=given["keyid"].decode("ascii"),
        signature=signature[1],
    )


def request_fits(signed: Signed, secret: bytes, *, method: bytes, path: bytes, query: bytes) -> bool:
    """Whether a request's signature was made with ``secret`` over exactly this. The body is :func:`digest_fits`'s."""
    return hmac.compare_digest(signed.signature, _mac(secret, _request_base(signed, method, path, query)))


def reply_fits(signed: Signed, secret: bytes, *, status: int) -> bool:
    """Whether a reply's signature was made with ``secret`` over exactly this."""
    return hmac.compare_digest(signed.signature, _mac(secret, _reply_base(status, signed.digest, signed.params)))


def sign_request(  # noqa: PLR0913  # what a signature covers
    secret: bytes, key_id: str, *, method: str, path: str, body: bytes, created: int, nonce: str, query: str = ""
) -> list[tuple[bytes, bytes]]:
    """The three headers of a signed request, as an agent makes them."""
    params = _REQUEST + _parameters(created, nonce, key_id)
    signed = Signed(digest(body), params, created, nonce, key_id, b"")
    base = _request_base(signed, method.encode("ascii"), path.encode("ascii"), query.encode("ascii"))
    return _headers(signed.digest, params, _mac(secret, base))


def sign_reply(
    secret: bytes, key_id: str, *, status: int, body: bytes, created: int, nonce: str
) -> list[tuple[bytes, bytes]]:
    """The three headers of a signed reply; ``nonce`` and ``key_id`` are the request's."""
    params, found = _REPLY + _parameters(created, nonce, key_id), digest(body)
    return _headers(found, params, _mac(secret, _reply_base(status, found, params)))


def _parameters(created: int, nonce: str, key_id: str) -> bytes:
    return f';created={created};nonce="{nonce}";keyid="{key_id}";alg="hmac-sha256"'.encode("ascii")


def _request_base(signed: Signed, method: bytes, path: bytes, query: bytes) -> bytes:
    return (
        b'"@method": %b\n"@path": %b\n"@query": ?%b\n"content-digest": %b\n"@signature-params": %b'
    ) % (method, path, query, signed.digest, signed.params)  # fmt: skip


def _reply_base(status: int, content_digest: bytes, params: bytes) -> bytes:
    return b'"@status": %d\n"content-digest": %b\n"@signature-params": %b' % (status, content_digest, params)


def hmac_sha256(secret: bytes, text: bytes) -> bytes:
    """The MAC of a short text.

    Not by ``hmac.digest``: that takes twice as long, and lets go of the interpreter's lock meanwhile. Three times a
    request a busy thread of the monitor could have it then, and keeps it for 5 ms.
    """
    return hmac.new(secret, text, "sha256").digest()


def _mac(secret: bytes, base: bytes) -> bytes:
    return base64.b64encode(hmac_sha256(secret, base))


def _headers(content_digest: bytes, params: bytes, mac: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-digest", content_digest),
        (b"signature-input", b"cm=" + params),
        (b"signature", b"cm=:" + mac + b":"),
    ]
