"""An EC2 endpoint that answers what a test wrote down, over a real socket on loopback."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest

from cloudmon_providers.aws import AwsProvider
from cloudmon_providers.aws.options import AwsOptions

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class ScriptedEc2:
    """Answers in the order in which they were written down, then 599."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)

    def will(self, body: bytes | str, status: int = 200, **headers: str) -> ScriptedEc2:
        """Write down one more answer."""
        found = {key.replace("_", "-"): value for key, value in headers.items()}
        self.answers.append((status, body.encode() if isinstance(body, str) else body, found))
        return self

    def will_refuse(self, code: str, status: int = 400, message: str = "words") -> ScriptedEc2:
        """Write down an error in EC2's form."""
        return self.will(
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            "<RequestID>ea966190-f9aa-478e-9ede-example00001</RequestID></Response>",
            status,
        )

    @property
    def forms(self) -> list[dict[str, str]]:
        return [asked.form for asked in self.asked]

    @property
    def actions(self) -> list[str]:
        return [form["Action"] for form in self.forms]


@pytest.fixture
def ec2() -> Iterator[ScriptedEc2]:
    script = ScriptedEc2()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
            status, answer, headers = script.answers.pop(0) if script.answers else (599, b"", {})
            self.send_response(status)
            for key, value in {"Content-Type": "text/xml", **headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


Make = Callable[..., AwsProvider]


@pytest.fixture
def make(ec2: ScriptedEc2) -> Iterator[Make]:
    """Makes a provider that asks the scripted endpoint; options can be given by name."""
    made: list[AwsProvider] = []

    def provider(**options: object) -> AwsProvider:
        given = {
            "region": "us-east-1",
            "access_key": "AKIDEXAMPLE",
            "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "endpoint": ec2.url,
            "pricing": False,
            **options,
        }
        made.append(AwsProvider("east", AwsOptions.model_validate(given), now=lambda: NOW, timeout_s=5))
        return made[-1]

    yield provider
    for one in made:
        one.reset()
