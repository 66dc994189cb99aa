"""Asking applications whether they are well: by port, by page, by command, by the age of a file."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import urllib.parse
from typing import Any, Callable, NamedTuple

from . import programs, rooted, states
from .clock import Clock
from .rooted import Root

TIMEOUT_S = 2.0
LONGEST_TIMEOUT_S = 30.0
EVERY_S = {"tcp": 2.0, "file": 2.0, "http": 5.0, "command": 15.0}
"""What costs more is asked less often."""


class Answer(NamedTuple):
    """What a probe found."""

    ok: bool
    error: str = ""
    """One sentence; empty when it is well."""


def ask(probe: dict[str, Any], root: Root, clock: Clock) -> Answer:
    """Ask once. Never raises."""
    try:
        if "tcp" in probe:
            return _tcp(int(probe["tcp"]), _seconds(probe, TIMEOUT_S))
        if "http" in probe:
            return _http(str(probe["http"]), probe.get("status"), _seconds(probe, TIMEOUT_S))
        if "command" in probe:
            return _command([str(word) for word in probe["command"]], _seconds(probe, 5.0), root)
        if "file" in probe:
            return _file(str(probe["file"]), probe.get("max_age_s"), root, clock)
    except (OSError, ValueError, TypeError, OverflowError, http.client.HTTPException) as wrong:
        return Answer(False, _said(wrong))
    return Answer(False, "the probe is of no kind that is known here")


def kind(probe: dict[str, Any]) -> str:
    return next((word for word in EVERY_S if word in probe), "")


def _seconds(probe: dict[str, Any], usual: float) -> float:
    return min(max(states.number(probe.get("timeout_s"), usual), 0.1), LONGEST_TIMEOUT_S)


def _tcp(port: int, timeout_s: float) -> Answer:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s):
        return Answer(True)


def _http(url: str, wanted: object, timeout_s: float) -> Answer:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return Answer(False, "the probe's address is no http or https one")
    line: http.client.HTTPConnection
    if parts.scheme == "https":
        # Whether it answers is the question, not who it is: certificates of services seldom name 127.0.0.1.
        blind = ssl.create_default_context()
        blind.check_hostname = False
        blind.verify_mode = ssl.CERT_NONE
        line = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=blind)
    else:
        line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        line.request("GET", path, headers={"User-Agent": "cloudmon-agent", "Connection": "close"})
        status = line.getresponse().status
    finally:
        line.close()
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return Answer(True) if status == wanted else Answer(False, f"it answers {status}, not {wanted}")
    return Answer(True) if 200 <= status < 400 else Answer(False, f"it answers {status}")


def _command(argv: list[str], timeout_s: float, root: Root) -> Answer:
    ran = programs.run(programs.words(argv, root), timeout_s=timeout_s, root=root, most_output=512)
    if ran.error:
        return Answer(False, ran.error)
    if ran.exit == 0:
        return Answer(True)
    last = rooted.text(ran.output).strip().split("\n")[-1][:200]
    return Answer(False, f"the command ended with {ran.exit}{': ' if last else ''}{last}")


def _file(path: str, most: object, root: Root, clock: Clock) -> Answer:
    try:
        found = os.stat(root.inside(path))
    except FileNotFoundError:
        return Answer(False, f"{path} is not there")
    if not isinstance(most, (int, float)) or isinstance(most, bool):
        return Answer(True)
    if clock.local() - found.st_mtime > most:
        return Answer(False, f"{path} was not written for more than {most:g} s")
    return Answer(True)


def _said(wrong: Exception) -> str:
    if isinstance(wrong, socket.timeout):
        return "it does not answer in time"
    if isinstance(wrong, OSError) and wrong.strerror:
        return wrong.strerror
    return f"{type(wrong).__name__}: {wrong}"[:200]


class Prober:
    """Asks every application in its turn, on a thread of its own so that none that hangs holds up anything else."""

    def __init__(self, root: Root, clock: Clock, changed: Callable[[], None]) -> None:
        self._root = root
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._probes: dict[str, dict[str, Any]] = {}
        self._due: dict[str, float] = {}
        self._answers: dict[str, Answer] = {}
        self._wake = threading.Event()

    def declare(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Probes by application. What is new is asked at once; what is the same keeps its answer."""
        with self._lock:
            for name in list(self._probes):
                if wanted.get(name) != self._probes[name]:
                    del self._probes[name], self._due[name]
                    self._answers.pop(name, None)
            for name, probe in wanted.items():
                if name not in self._probes:
                    self._probes[name] = probe
                    self._due[name] = self._clock.monotonic()
        self._wake.set()

    def answer(self, name: str) -> Answer | None:
        """The newest one; None when nobody asked yet."""
        with self._lock:
            return self._answers.get(name)

    def declared(self, name: str) -> bool:
        with self._lock:
            return name in self._probes

    def now(self, name: str) -> Answer | None:
        """Ask at once, on the caller's thread; None when there is nothing to ask."""
        with self._lock:
            probe = self._probes.get(name)
        if probe is None:
            return None
        answer = ask(probe, self._root, self._clock)
        with self._lock:
            if self._probes.get(name) is not probe:
                return answer
            news = self._answers.get(name) != answer
            self._answers[name] = answer
            self._due[name] = self._clock.monotonic() + EVERY_S.get(kind(probe), 15.0)
        if news:
            self._changed()
        return answer

    def step(self) -> float:
        """Ask those that are due; seconds until the next one is."""
        with self._lock:
            due = [name for name, at in self._due.items() if at <= self._clock.monotonic()]
        for name in due:
            self.now(name)
        with self._lock:
            return min(self._due.values(), default=self._clock.monotonic() + 3600) - self._clock.monotonic()

    def serve(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            self._clock.wait(self._wake, max(0.05, self.step()))

    def stop(self) -> None:
        self._wake.set()
