"""One question to an appliance over the network: what is asked, and what is wrong with the answer.

Nothing of an answer is read but its status, and of TLS the certificate; nobody is followed elsewhere, and no proxy
stands between.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import functools
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from cloudmon.model.probes import Probe, Tls

T = TypeVar("T")

HEAD = 256
"""Bytes of an answer that are read at the most."""

RECORD = 16_384
"""Bytes that are taken from a TLS connection at a time."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r|\n)")
_OURS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EACCES,
     errno.EPERM, errno.EAFNOSUPPORT}
)  # fmt: skip
"""What is wrong with this machine, and says nothing of the other."""


class Answer(NamedTuple):
    """What one question came to."""

    error: str = ""
    """What is wrong; empty when nothing is."""
    certificate_until: dt.datetime | None = None
    """End of the certificate that was shown; None where none was."""


_WELL = Answer()


async def asked(probe: Probe, address: str) -> Answer:
    """What is wrong with the answer, if anything is. OSError when this machine could not ask."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    until: dt.datetime | None = None
    try:
        with socket.socket(family, socket.SOCK_STREAM) as talking:
            talking.setblocking(False)
            async with asyncio.timeout(probe.timeout_s):
                await loop.sock_connect(talking, (address, probe.tcp or probe.port))
                if probe.tcp:
                    return _WELL
                if probe.tls is None:
                    head = await _fetched(talking, _request(probe, address))
                else:
                    line = _Line(talking, probe, probe.tls, address)
                    until = await line.shown()
                    head = await line.fetched(_request(probe, address))
        error = _wrong(head, probe)
    except TimeoutError:
        error = f"no answer within {probe.timeout_s:g} s"
    except ssl.SSLError as failed:
        error = _untrusted(failed)
    except OSError as failed:
        if failed.errno in _OURS:
            raise
        error = (os.strerror(failed.errno) if failed.errno else "the connection failed").lower()
    return Answer(error, until)


def _request(probe: Probe, address: str) -> bytes:
    host = probe.host or (f"[{address}]" if ":" in address else address)
    port = "" if probe.port == (80 if probe.tls is None else 443) else f":{probe.port}"
    request = f"GET {probe.path} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: cloudmon\r\nConnection: close\r\n\r\n"
    return request.encode("ascii")


def _wrong(head: bytes, probe: Probe) -> str:
    found = _STATUS.match(head)
    if found is None:
        return "what answered does not speak HTTP" if head else "the connection was closed without an answer"
    status = int(found[1])
    return "" if status == probe.status else f"answered with status {status}, not {probe.status}"


async def _fetched(talking: socket.socket, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(talking, request)
    head = b""
    while len(head) < HEAD and b"\n" not in head:
        more = await loop.sock_recv(talking, HEAD - len(head))
        if not more:
            break
        head += more
    return head


# --- TLS --------------------------------------------------------------------------------------------------------------


class _Line:
    """A TLS connection over a socket that somebody else opened and closes."""

    def __init__(self, talking: socket.socket, probe: Probe, tls: Tls, address: str) -> None:
        self._talking = talking
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _context(tls).wrap_bio(self._coming, self._going, server_hostname=probe.host or address)

    async def shown(self) -> dt.datetime:
        """Agree on the connection; the end of the certificate that was shown."""
        from cryptography import x509  # noqa: PLC0415  # only for who asks by https

        await self._through(self._tls.do_handshake)
        certificate = self._tls.getpeercert(binary_form=True)
        assert certificate is not None  # noqa: S101  # a server without one has no handshake
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc

    async def fetched(self, request: bytes) -> bytes:
        """As :func:`_fetched`."""
        await self._through(functools.partial(self._tls.write, request))
        head = b""
        while len(head) < HEAD and b"\n" not in head:
            try:
                more = await self._through(self._read)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                break  # whether the end was said or not: what came by then is the answer
            if not more:
                break
            head += more
        return head

    def _read(self) -> bytes:
        return self._tls.read(HEAD)

    async def _through(self, act: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                pass
            finally:
                if self._going.pending:
                    await loop.sock_sendall(self._talking, self._going.read())
            more = await loop.sock_recv(self._talking, RECORD)
            if more:
                self._coming.write(more)
            else:
                self._coming.write_eof()


@functools.lru_cache(maxsize=64)
def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=tls.ca or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _untrusted(failed: ssl.SSLError) -> str:
    if isinstance(failed, ssl.SSLCertVerificationError):
        said = failed.verify_message.rstrip(".")
        return f"its certificate is not accepted: {said[:1].lower()}{said[1:]}"
    if isinstance(failed, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection was closed without an answer"
    if failed.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "what answered does not speak TLS"
    return f"no TLS connection came about: {(failed.reason or 'no reason is known').replace('_', ' ').lower()}"
