"""Replies as they go over the wire: signed where the caller was verified, empty where he was not. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cloudmon.channel import signing
from cloudmon.channel.gate import Caller

JSON = b"application/json"
PEM = b"application/x-pem-file"
BYTES = b"application/octet-stream"

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Reply(NamedTuple):
    """What is answered."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""


def signed(
    caller: Caller, status: int, content: Mapping[str, Any] | None, *, date: int, retry_after_s: int = 0
) -> Reply:
    """A reply that its agent believes, and dates its next request by. ``content`` None is an empty body."""
    body = b"" if content is None else _ENCODE(content).encode("utf-8")
    headers = signing.sign_reply(
        caller.secret, caller.key_id, status=status, body=body, created=date, nonce=caller.nonce
    )  # fmt: skip
    if retry_after_s:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    return _whole(status, headers, body, JSON)


def refused(status: int = 401, *, retry_after_s: int = 0) -> Reply:
    """A reply that tells nothing."""
    return _whole(status, [(b"retry-after", b"%d" % retry_after_s)] if retry_after_s else [], b"", b"")


def plain(status: int, content: Mapping[str, Any]) -> Reply:
    """A reply in JSON that nobody signed, for those who could not tell."""
    return _whole(status, [], _ENCODE(content).encode("utf-8", "replace"), JSON)


def public(body: bytes, kind: bytes) -> Reply:
    """Something that anybody may have."""
    return _whole(200, [], body, kind)


def _whole(status: int, headers: list[tuple[bytes, bytes]], body: bytes, kind: bytes) -> Reply:
    headers += [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if kind and body:
        headers.append((b"content-type", kind))
    return Reply(status, headers, body)
