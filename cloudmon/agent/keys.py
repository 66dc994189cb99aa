"""Who the agent is: its instance, its key, the monitor's address and authority, all kept in the state directory."""

from __future__ import annotations

import base64
import binascii
import secrets
import ssl
import threading
from typing import Any

from . import signing, tokens, transport
from .clock import Clock
from .place import Place
from .tokens import Token

IDENTITY = "identity.json"
KEY = "key.json"
AUTHORITY = "authority.json"


class Keys:
    """Read by all threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        told = place.load(IDENTITY)
        self.instance = told["instance"] if isinstance(told.get("instance"), str) else ""
        if len(self.instance) != 32:
            self.instance = secrets.token_hex(16)
            place.store({"instance": self.instance}, IDENTITY)
        stored = place.load(KEY)
        self._key = _key_of(stored)
        self._older = _key_of(stored.get("older"))
        """The key before it, for as long as the newer one was not seen to work."""

    def known(self) -> bool:
        return self._key is not None

    def key(self) -> signing.Key:
        """LookupError when we have none yet."""
        with self._lock:
            if self._key is None:
                raise LookupError("this agent has no key yet")
            return self._key

    def take(self, told: object) -> None:
        """A key as the monitor tells it; from now on we sign with it. ValueError when it is none."""
        if not isinstance(told, dict):
            raise ValueError("a key has id, secret and expires_at")
        key = signing.key_of(told)
        before = self._place.load(KEY)
        before.pop("older", None)
        self._place.keep({**_fields(told), **({"older": before} if before else {})}, KEY)
        with self._lock:
            self._key, self._older = key, self._key

    def worked(self, key: signing.Key) -> None:
        """The monitor answered what was signed with it."""
        with self._lock:
            if key != self._key or self._older is None:
                return
            self._older = None
            stored = self._place.load(KEY)
            if "older" in stored:
                self._place.keep(_fields(stored), KEY)

    def refused(self, key: signing.Key) -> None:
        """The monitor does not accept it: the one before it may still be good."""
        with self._lock:
            if key == self._key and self._older is not None:
                stored = self._place.load(KEY).get("older")
                if isinstance(stored, dict):
                    self._place.keep(_fields(stored), KEY)
                self._key, self._older = self._older, None


def _fields(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("id", "secret", "expires_at")}


def _key_of(told: object) -> signing.Key | None:
    try:
        return signing.key_of(told) if isinstance(told, dict) else None
    except ValueError:
        return None


def trust(
    place: Place, where: transport.Address, token: Token | None, file: str, clock: Clock
) -> ssl.SSLContext | None:
    """What vouches for the monitor. None for plain HTTP.

    Raises ``Distrusted``, ``Unreachable``, OSError when ``file`` cannot be read.
    """
    if not where.secure:
        return None
    wanted = token.ca if token is not None else ""
    if file:
        with open(file, "rb") as opened:
            try:
                certificate = transport.certificate_of(opened.read(65536))
            except ValueError as wrong:
                raise transport.Distrusted(f"{file} does not hold one certificate: {wrong}") from wrong
        if wanted not in {"", "-", tokens.fingerprint(certificate)}:
            raise transport.Distrusted(f"the token names another certificate authority than {file} holds")
        return transport.trust_of(certificate)
    stored = _stored(place)
    if not wanted and stored:
        wanted = tokens.fingerprint(stored)
    if wanted in {"", "-"}:
        return ssl.create_default_context()
    if tokens.fingerprint(stored) != wanted:
        stored = transport.fetch_authority(where, wanted, clock)
        place.store({"der": base64.b64encode(stored).decode()}, AUTHORITY)
    return transport.trust_of(stored)


def _stored(place: Place) -> bytes:
    told: Any = place.load(AUTHORITY).get("der", "")
    try:
        return base64.b64decode(told, validate=True) if isinstance(told, str) else b""
    except (binascii.Error, ValueError):
        return b""
