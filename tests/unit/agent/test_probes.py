"""Asking applications whether they are well."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudmon.agent import probes
from cloudmon.agent.clock import Clock
from cloudmon.agent.probes import Answer, Prober
from cloudmon.agent.rooted import Root


class Page(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/?x=y") or 200))
        self.send_header("Location", "http://192.0.2.1/")
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


@pytest.fixture
def silent() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def ask(probe: dict[str, Any], root: str = "") -> Answer:
    return probes.ask(probe, Root(root), Clock())


def test_a_page_is_well_when_its_status_is_the_wanted_one(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    assert ask({"http": url}) == Answer(True)
    assert ask({"http": f"{url}/302?x=y"}) == Answer(True)
    assert ask({"http": f"{url}/500"}) == Answer(False, "it answers 500")
    assert ask({"http": f"{url}/404", "status": 404}) == Answer(True)
    assert ask({"http": url, "status": 204}) == Answer(False, "it answers 200, not 204")


def test_a_port_is_well_when_somebody_listens(port: int, silent: int) -> None:
    assert ask({"tcp": port}) == Answer(True)
    assert ask({"tcp": silent}) == Answer(True)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        number = closed.getsockname()[1]
    assert ask({"tcp": number}) == Answer(False, "Connection refused")


def test_one_that_never_answers_is_not_waited_for(silent: int) -> None:
    answer = ask({"http": f"http://127.0.0.1:{silent}/", "timeout_s": 0.2})
    assert answer == Answer(False, "it does not answer in time")


def test_a_command_is_well_when_it_ends_with_nothing(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert ask({"command": ["true"]}) == Answer(True)
    assert ask({"command": ["{python}", "-c", "import os; raise SystemExit(os.getcwd())"]}, root) == Answer(
        False, f"the command ended with 1: {root}"
    )
    assert "within 0.3 s" in ask({"command": ["sleep", "60"], "timeout_s": 0.3}).error
    assert "no such program" in ask({"command": ["/no/such"]}).error


def test_a_file_is_well_when_it_was_written_lately(tmp_path: Path) -> None:
    (tmp_path / "beat").write_text("")
    assert ask({"file": "/beat", "max_age_s": 60}, str(tmp_path)) == Answer(True)
    os.utime(tmp_path / "beat", (1, 1))
    assert "more than 60 s" in ask({"file": "/beat", "max_age_s": 60}, str(tmp_path)).error
    assert ask({"file": "/beat"}, str(tmp_path)) == Answer(True)
    assert ask({"file": "/none", "max_age_s": 60}, str(tmp_path)) == Answer(False, "/none is not there")


@pytest.mark.parametrize(
    "probe",
    [{}, {"tcp": "no"}, {"tcp": 10**9}, {"http": "file:///etc/passwd"}, {"http": 7}, {"command": 7}, {"command": []},
     {"file": None}, {"smtp": 25}, {"http": "http://[bad"}, {"tcp": [1]}, {"http": "http://127.0.0.1:1/\n"},
     {"tcp": 10**400}, {"tcp": 1, "timeout_s": 10**400}, {"file": "/", "max_age_s": -(10**400)}],
    ids=lambda probe: str(probe)[:40],
)  # fmt: skip
def test_a_probe_that_is_nonsense_is_not_well_and_nothing_worse(probe: dict[str, Any], tmp_path: Path) -> None:
    answer = ask(probe, str(tmp_path))
    assert not answer.ok
    assert answer.error


def test_only_what_is_due_is_asked_and_only_news_are_told(tmp_path: Path) -> None:
    told: list[int] = []
    prober = Prober(Root(str(tmp_path)), Clock(), lambda: told.append(1))
    prober.declare({"web": {"file": "/beat"}, "job": {"command": ["true"]}})
    assert prober.answer("web") is None
    assert 0 < prober.step() <= 2
    assert prober.answer("web") == Answer(False, "/beat is not there")
    assert prober.answer("job") == Answer(True)
    assert len(told) == 2
    prober.step()
    prober.now("web")
    assert len(told) == 2
    (tmp_path / "beat").write_text("")
    prober.now("web")
    assert len(told) == 3
    prober.declare({"web": {"file": "/beat"}})
    assert prober.answer("web") == Answer(True)
    assert (prober.answer("job"), prober.now("job")) == (None, None)
