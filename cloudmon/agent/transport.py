"""The way to the monitor: one connection, kept, over TLS that the enrolment token vouches for."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
import urllib.parse
from typing import NamedTuple

from . import tokens
from .clock import Clock

MOST_REPLY_BYTES = 4 * 1024 * 1024
TIMEOUT_S = 20.0


class Unreachable(Exception):
    """Nothing came back that can be called a reply; the request may have arrived."""


class Distrusted(Exception):
    """The monitor is not the one that the token names. Trying again does not help."""


class Address(NamedTuple):
    """Where the channel is."""

    secure: bool
    host: str
    port: int


class Reply(NamedTuple):
    """What came back. Nobody has checked it yet."""

    status: int
    headers: dict[str, str]
    body: bytes


def address(url: str, *, insecure: bool = False) -> Address:
    """ValueError with a sentence for what is no channel's address. ``insecure`` allows plain HTTP, to this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{url!r} is not of the form https://host:port")
    if parts.path.strip("/"):
        raise ValueError(f"{url!r} has a path; the channel's own is added to https://host:port")
    if parts.scheme == "http":
        if not insecure:
            raise ValueError("plain http needs --insecure-http, and goes to this machine only")
        if not _loopback(parts.hostname):
            raise ValueError(f"plain http goes to this machine only, not to {parts.hostname}")
    return Address(parts.scheme == "https", parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Line:
    """One connection at a time. Belongs to one thread."""

    def __init__(self, where: Address, trust: ssl.SSLContext | None, clock: Clock) -> None:
        self._where = where
        self._trust = trust
        self._clock = clock
        self._open: http.client.HTTPConnection | http.client.HTTPSConnection | None = None
        self.reused = False
        """Whether the last request went over a connection that an earlier one had left open: the monitor may have
        closed it in the meantime, and that it failed then says nothing."""

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def get(self, path: str, *, most: int = MOST_REPLY_BYTES, timeout_s: float = TIMEOUT_S) -> Reply:
        return self._ask("GET", path, b"", {}, most, timeout_s)

    def post(self, path: str, body: bytes, headers: dict[str, str], *, timeout_s: float = TIMEOUT_S) -> Reply:
        """Raises :class:`Unreachable`. Redirects are replies like any other."""
        told = {"Content-Type": "application/json", **headers}
        return self._ask("POST", path, body, told, MOST_REPLY_BYTES, timeout_s)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str], most: int, timeout_s: float) -> Reply:
        until = self._clock.monotonic() + timeout_s
        self.reused = self._open is not None
        try:
            line = self._connected(timeout_s)
            line.request(method, path, body=body or None, headers={"Content-Length": str(len(body)), **headers})
            reply = line.getresponse()
            content = self._content(reply, most, until)
            told = {name.lower(): value for name, value in reply.getheaders()}
            if reply.will_close:
                self.close()
            return Reply(reply.status, told, content)
        except ssl.SSLCertVerificationError as wrong:
            self.close()
            raise Unreachable(f"the monitor's certificate does not hold: {wrong.verify_message}") from wrong
        except (OSError, http.client.HTTPException, ValueError) as wrong:
            self.close()
            raise Unreachable(_said(wrong)) from wrong

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._open is None:
            if self._where.secure:
                self._open = http.client.HTTPSConnection(
                    self._where.host, self._where.port, timeout=TIMEOUT_S, context=self._trust
                )
            else:
                self._open = http.client.HTTPConnection(self._where.host, self._where.port, timeout=TIMEOUT_S)
            self._open.connect()
        self._open.sock.settimeout(timeout_s)
        return self._open

    def _content(self, reply: http.client.HTTPResponse, most: int, until: float) -> bytes:
        """The body, bounded in size and, however slowly it drips, in time."""
        parts: list[bytes] = []
        size = 0
        while True:
            part = reply.read1(65536)
            if not part:
                break
            size += len(part)
            if size > most:
                raise http.client.HTTPException(f"the reply has more than {most:,} bytes")
            if self._clock.monotonic() > until:
                raise http.client.HTTPException("the reply took too long")
            parts.append(part)
        if reply.length:
            raise http.client.IncompleteRead(b"", reply.length)
        reply.close()  # read to its end, so that the line is free for the next request
        return b"".join(parts)


def _said(wrong: Exception) -> str:
    if isinstance(wrong, OSError) and wrong.strerror:
        return f"{type(wrong).__name__}: {wrong.strerror}"
    return f"{type(wrong).__name__}: {wrong}"[:200]


def trust_of(certificate: bytes) -> ssl.SSLContext:
    """Believe what this certificate (DER) vouches for, names and addresses checked, and nothing else."""
    context = ssl.create_default_context(cadata=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def certificate_of(pem: bytes) -> bytes:
    """The one certificate in a PEM text, as DER. ValueError when it is none or several."""
    words = pem.decode("ascii").strip()
    if words.count("-----BEGIN") != 1:
        raise ValueError("exactly one certificate belongs there")
    return ssl.PEM_cert_to_DER_cert(words)


def fetch_authority(where: Address, wanted: str, clock: Clock) -> bytes:
    """The monitor's certificate authority (DER), asked for over a connection that nobody vouches for.

    Raises :class:`Distrusted` when it is not the one whose fingerprint is ``wanted``, :class:`Unreachable`.
    """
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with contextlib.closing(Line(where, blind, clock)) as line:
        reply = line.get("/channel/v1/ca.pem", most=65536)
    if reply.status != 200:
        raise Unreachable(f"the monitor answers {reply.status} when asked for its certificate authority")
    try:
        found = certificate_of(reply.body)
    except ValueError as wrong:
        raise Distrusted("what the monitor shows as its certificate authority is no certificate") from wrong
    if tokens.fingerprint(found) != wanted:
        raise Distrusted("the monitor shows another certificate authority than the token names")
    return found
