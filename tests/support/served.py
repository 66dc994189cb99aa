"""``cloudmon run`` as a process beside the test, on a dummy cloud in a file."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cloudmon.model.appliances import Member
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store, open_store
from cloudmon_providers.dummy import DummySettings, open_world
from cloudmon_providers.dummy.world import World

COMMAND = Path(sys.executable).with_name("cloudmon")
PATIENCE_S = 60.0
"""How long anything may take on a busy machine before it is taken not to happen."""
HEAD = """
[store]
url = "{url}"
[monitor]
state_dir = "state"
poll_interval_s = {poll_s}
call_timeout_s = {call_timeout_s}
health_port = {port}
log_format = "json"
[templates.web]
images = {{ "*" = "web-1" }}
"""
CLOUD = """
[clouds.{name}]
provider = "dummy"
listing_lag_s = 0
calls_per_s = {calls_per_s}
burst = {burst}
[clouds.{name}.options]
world = "{name}.world"
locations = ["{name}-1"]
"""
SET = """
[sets.{name}]
template = "web"
count = {count}
{more}
"""


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {what}"
        time.sleep(0.05)


class Estate:
    """A folder with a settings file, a store and clouds, and the processes that work on them."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.path = folder / "cloudmon.toml"
        self.url = url or f"sqlite:///{folder}/cloudmon.db"
        self.log = folder / "log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDMON_")}

    # --- settings -------------------------------------------------------------------------------------------------

    def settings(self, *parts: str, poll_s: float = 0.2, call_timeout_s: float = 0.5) -> None:
        """The settings file says this from now on."""
        head = HEAD.format(url=self.url, port=self.port, poll_s=poll_s, call_timeout_s=call_timeout_s)
        self.write("\n".join((head, *parts)))

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    @staticmethod
    def cloud(name: str = "east", *, calls_per_s: float = 10_000, burst: int = 10_000) -> str:
        return CLOUD.format(name=name, calls_per_s=calls_per_s, burst=burst)

    @staticmethod
    def set(name: str, count: int, more: str = "") -> str:
        return SET.format(name=name, count=count, more=more)

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """The service, serving; whoever starts it ends it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen([COMMAND, "run", "-c", self.path], env=self._environment, stderr=log)
        until(lambda: process.poll() is not None or self.asked("/livez")[0] == 200, "the service serves")
        return process

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The service, serving; killed at the end of the block if it still runs then."""
        process = self.start()
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def cli(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A command beside it, and how it has to end."""
        found = subprocess.run(
            [COMMAND, *arguments, "-c", self.path],
            env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
        assert found.returncode == code, f"{arguments} ended with {found.returncode}: {found.stdout} {found.stderr}"
        return found

    def asked(self, path: str = "/healthz") -> tuple[int, dict[str, Any]]:
        """Status and content of an answer; 0 and nothing when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content: dict[str, Any] = json.loads(answer.read())
        except OSError:
            return 0, {}
        finally:
            connection.close()
        return answer.status, content

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of the service's log about an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if event in str(line.get("event", ""))]

    # --- what is true ---------------------------------------------------------------------------------------------

    def world(self, name: str = "east") -> World:
        options = DummySettings(world=str(self.folder / f"{name}.world"), locations=(f"{name}-1",))
        return open_world(options, cloud=name, now=lambda: dt.datetime.now(dt.UTC))

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Every call to this cloud hangs for the length of the block: somebody else has its file."""
        self.world(name).nodes_true()  # there has to be a file
        with closing(sqlite3.connect(self.folder / f"{name}.world", isolation_level=None, timeout=PATIENCE_S)) as held:
            held.execute("BEGIN IMMEDIATE")
            yield
            held.execute("ROLLBACK")

    @contextmanager
    def store(self, url: str = "") -> Iterator[Store]:
        store = open_store(
            url or self.url,
            log_key=(self.folder / "state" / "log.key").read_bytes().rstrip(b"\r\n"),
            anchor_dir=self.folder / "state" / "anchors",
            now=dt.datetime.now(dt.UTC),
        )
        try:
            yield store
        finally:
            store.close()

    def members(self, name: str, url: str = "") -> list[Member]:
        """The appliances of a set that are not retired."""
        with self.store(url) as store:
            found = store.sets.named(EVERYONE, name)
            members = store.members.of_set(EVERYONE, found.uid) if found is not None else []
        return [member for member in members if member.state.value != "retired"]

    def runs(self, name: str, count: int, url: str = "") -> bool:
        """Whether a set has exactly so many appliances and all run."""
        return [member.state.value for member in self.members(name, url)] == ["running"] * count


def terminated(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Exit code, and seconds from SIGTERM to the end."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE_S), time.monotonic() - began
