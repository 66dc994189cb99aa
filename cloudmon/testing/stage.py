"""The stage of the demo: a folder with a settings file, the service's process, commands as a person types them, and the
list of what was proved."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudmon.clock import SystemClock

PATIENCE_S = 30.0


class Broken(Exception):
    """Something did not happen."""


class Stage:
    """One estate.

    Arguments:
        folder: where everything of it is; made if it is not there.
        proved: takes what was proved.
    """

    def __init__(self, folder: Path, proved: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.clock = SystemClock()
        self.proved = proved
        self.port = free_port()
        self.service: subprocess.Popen[bytes] | None = None
        self._never = threading.Event()

    def write(self, text: str) -> None:
        """The settings file says this, as if its owner had written it with an editor."""
        (self.folder / "cloudmon.toml").write_text(text, encoding="utf-8")

    # --- hands ----------------------------------------------------------------------------------------------------

    def run(self, *words: str, codes: Sequence[int] = (0,)) -> str:
        """A command as a person types it; what it printed."""
        done = self.start(*words).communicate(timeout=90)
        code, out, error = done[0], done[1].decode(), done[2].decode()
        if code not in codes:
            raise Broken(f"cloudmon {' '.join(words)} ended with {code}: {error or out}")
        return out + error

    def start(self, *words: str) -> _Command:
        command = [sys.executable, "-m", "cloudmon", *words, "-c", str(self.folder / "cloudmon.toml")]
        return _Command(command)

    def rows(self, *words: str) -> list[dict[str, Any]]:
        out = self.start(*words, "-o", "json").communicate(timeout=60)[1]
        found: list[dict[str, Any]] = json.loads(out or "[]")
        return found

    def serve(self) -> None:
        log = (self.folder / "service.log").open("ab")
        command = [sys.executable, "-m", "cloudmon", "run", "-c", str(self.folder / "cloudmon.toml")]
        self.service = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603  # our own command
        self.until("the service is healthy", self.healthy)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, number: int) -> float:
        """Send the service a signal; seconds until it was gone."""
        if self.service is None:
            return 0.0
        began = self.clock.monotonic()
        self.service.send_signal(number)
        self.service.wait(20)
        self.service = None
        return self.clock.monotonic() - began

    def states(self, name: str) -> list[str]:
        return [row["state"] for row in self.rows("status") if row["appliance"].startswith(f"{name}/")]

    def until(self, what: str, holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        ends = self.clock.monotonic() + patience_s
        while not holds():
            if self.clock.monotonic() > ends:
                raise Broken(f"waited {patience_s:g} s in vain until {what}")
            self.clock.wait(self._never, 0.2)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Broken(f"not so: {what}")
        self.proved.append(what)
        print(f"  proved: {what}", flush=True)  # noqa: T201  # it is what this is for


class _Command:
    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603

    def communicate(self, timeout: float) -> tuple[int, bytes, bytes]:
        try:
            out, error = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise Broken("a command did not end in time") from None
        return self._process.returncode, out, error


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
