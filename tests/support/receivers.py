"""Receivers of notices on this machine, as unkind as real ones: a web server and a mail server that play a script."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CUT = "cut"
"""Takes it, and hangs up without a word."""
SILENT = "silent"
"""Takes it, and says nothing until the other side hangs up."""
DRIPS = "drips"
"""Takes it, and answers a byte at a time for as long as anybody listens."""

Answer = int | str | tuple[int, Mapping[str, str]]


@dataclass
class Post:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Web:
    """What came, and what is answered: the script first, then 204 to everybody."""

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    posts: list[Post] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def until(self, count: int, patience_s: float = 20.0) -> list[Post]:
        """Wait until so many requests came."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.posts) >= count, patience_s), f"only {len(self.posts)} came"
            return list(self.posts)


@contextlib.contextmanager
def web(*script: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Web]:
    """A web server that plays the script."""
    found = Web(script=deque(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with found.came:
                found.posts.append(Post(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                answer = found.script.popleft() if found.script else 204
                found.came.notify_all()
            self.close_connection = True
            if answer == SILENT:
                with contextlib.suppress(OSError):
                    self.rfile.read(1)
            elif answer == DRIPS:
                drip(self.connection)
            elif answer != CUT:
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(int(status))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("nobody follows a redirect")

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            return  # a client that hangs up is part of the play

    server = Server((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.url = f"{'https' if tls is not None else 'http'}://{host}:{server.server_address[1]}/hook?a=b"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drip(line: socket.socket) -> None:
    """A byte at a time, each well within any time-out, until the other side hangs up."""
    ended = threading.Event()
    with contextlib.suppress(OSError):
        while not ended.wait(0.02):
            line.sendall(b"x")


@dataclass
class PostOffice:
    """What mail came, and what is answered: by recipient, the script first, then yes to everybody."""

    port: int = 0
    recipients: dict[str, deque[str]] = field(default_factory=dict)
    data: deque[str] = field(default_factory=deque)
    taken: list[tuple[tuple[str, ...], Message]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    async def handle_RCPT(  # noqa: N802  # as aiosmtpd calls it
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        script = self.recipients.get(address)
        said = script.popleft() if script else "250 OK"
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # likewise
        told = message_from_bytes(envelope.content, policy=policy.default)
        with self.came:
            self.taken.append((tuple(envelope.rcpt_tos), told))
            self.came.notify_all()
        said = self.data.popleft() if self.data else "250 taken"
        if said == CUT:
            server.transport.abort()
        return said

    def until(self, count: int, patience_s: float = 20.0) -> list[Message]:
        """Wait until so much mail came."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.taken) >= count, patience_s), f"only {len(self.taken)} came"
            return [told for _, told in self.taken]


@contextlib.contextmanager
def post_office(**about: Any) -> Iterator[PostOffice]:
    """A mail server. ``about`` is what aiosmtpd's controller takes."""
    found = PostOffice()
    with socket.create_server(("127.0.0.1", 0)) as free:
        found.port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=found.port, **about)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()


@contextlib.contextmanager
def speaking(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where whoever calls is talked to so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                line, _ = server.accept()
                with line:
                    talk(line)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR) if thread.is_alive() else None
        thread.join()


def certificate(folder: Path, names: Sequence[str] = ("localhost", "127.0.0.1")) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context, and the file of the certificate to believe it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + dt.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context, folder / "ca.pem"


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
