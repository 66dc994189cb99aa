"""Agents as appliances run them: the shipped file, in processes of its own, below a directory that is the appliance."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_monitor import Authority, StubMonitor

from cloudmon.channel import shipping


class Appliance:
    """A directory that is an appliance, and the agents that run in it, one after the other."""

    def __init__(self, folder: Path, monitor: StubMonitor) -> None:
        self.monitor = monitor
        self.root = folder / "root"
        self.state = folder / "state"
        self.file = folder / "agent.pyz"
        self.file.write_bytes(shipping.build())
        for path in ("etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "srv"):
            (self.root / path).mkdir(parents=True)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/usr/sbin/nologin\n")
        self.write("etc/group", "root:x:0:\nweb:x:33:\nadm:x:4:web\n")
        self.write("var/lib/dpkg/status", "")
        self.write("var/lib/dpkg/available", "")
        self.processes: list[subprocess.Popen[bytes]] = []

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def command(self, *more: str) -> list[str]:
        words = ["--url", self.monitor.url, "--root", str(self.root), "--state", str(self.state)]
        return [sys.executable, str(self.file), *words, *more]

    def start(self, *more: str, enrol: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """An agent in a session of its own, as a boot of the appliance is."""
        words = self.command(*(["--enrol", self.monitor.token] if enrol else []), *more)
        with (self.root.parent / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        self.processes.append(process)
        return process

    def run(self, *more: str, enrol: bool = True) -> subprocess.CompletedProcess[str]:
        """An agent that ends by itself."""
        words = self.command(*(["--enrol", self.monitor.token] if enrol else []), *more)
        return subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, start_new_session=True
        )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.root.parent / "agent.log").read_text()

    def end(self) -> None:
        """End what runs in the appliance: sessions that were begun here, and nothing else."""
        for process in self.processes:
            for pid in members(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()


def members(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
    return found


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def monitor(authority: Authority) -> Iterator[StubMonitor]:
    made = StubMonitor(authority)
    yield made
    made.close()
    assert made.broken == []


@pytest.fixture
def appliance(tmp_path: Path, monitor: StubMonitor) -> Iterator[Appliance]:
    made = Appliance(tmp_path, monitor)
    yield made
    monitor.away = True
    made.end()


def application(**more: Any) -> dict[str, Any]:
    """An application that listens nowhere and sleeps: its command line has its name."""
    return {"start": ["{python}", "{root}/srv/web.py"], "match": "srv/web.py", **more}


SLEEPER = "import time\ntime.sleep(600)\n"
