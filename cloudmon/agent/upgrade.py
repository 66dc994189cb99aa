"""A newer agent in the place of this one, and this one again when the newer one is no good."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from typing import Callable

from . import programs, rooted, transport
from .clock import Clock
from .controls import Outcome
from .log import Log
from .place import Place, write

STORE = "upgrade.json"
MOST_BYTES = 4 * 1024 * 1024
MOST_STARTS = 3
PROOF_S = 600.0
"""A new agent must have had a report taken by then."""


def running_file() -> str:
    """The file that this agent runs from; empty when it runs from a folder of sources."""
    here = os.path.abspath(__file__)
    while here != os.path.dirname(here):
        here = os.path.dirname(here)
        if os.path.isfile(here):
            return os.path.realpath(here)
    return ""


def digest(path: str) -> str:
    """SHA-256 of a file, in hex; empty when it cannot be read."""
    try:
        return hashlib.sha256(rooted.read(path, MOST_BYTES)).hexdigest()
    except OSError:
        return ""


class Upgrade:
    """Fetches, tries and puts in place; :meth:`execute` is for the main thread, when all else has come to rest."""

    def __init__(self, place: Place, clock: Clock, log: Log, line: Callable[[], transport.Line]) -> None:
        self._place = place
        self._clock = clock
        self._log = log
        self._line = line
        self._file = running_file()
        self._proof_until = 0.0
        self.wanted = threading.Event()
        """Set when another agent is in place and is to be run."""

    def current(self) -> str:
        """Hash of the file that this agent runs from."""
        return digest(self._file) if self._file else ""

    def arrive(self) -> None:
        """At start: an agent that was put in place and keeps falling is replaced by the one before it."""
        told = self._place.load(STORE)
        if not told:
            return
        starts = int(told.get("starts", 0)) + 1 if isinstance(told.get("starts", 0), int) else 1
        if starts > MOST_STARTS:
            self._back()
            return
        self._place.store({**told, "starts": starts}, STORE)
        self._proof_until = self._clock.monotonic() + PROOF_S

    def proved(self) -> None:
        """A report was taken: this agent works."""
        if self._proof_until:
            self._proof_until = 0.0
            self._place.remove(STORE)
            self._place.remove("before.pyz")

    def look(self) -> None:
        """Time is up for a new agent that reached nobody."""
        if self._proof_until and self._clock.monotonic() > self._proof_until:
            self._back()

    def prepare(self) -> Outcome:
        """Have the newest agent in the file's place. ``wanted`` is set when it is another one than this."""
        if not self._file:
            return Outcome(False, "this agent runs from a folder of sources, and there is no file to replace")
        with contextlib.closing(self._line()) as line:
            try:
                reply = line.get("/channel/v1/agent.pyz", most=MOST_BYTES, timeout_s=60)
            except transport.Unreachable as wrong:
                return Outcome(False, f"the newest agent could not be fetched: {wrong}")
        if reply.status != 200:
            return Outcome(False, f"the newest agent could not be fetched: the monitor answers {reply.status}")
        if hashlib.sha256(reply.body).hexdigest() == self.current():
            return Outcome(True, "", None, "this agent is the newest one")
        new = self._place.at("new.pyz")
        try:
            write(new, reply.body)
            ran = programs.run([sys.executable, new, "--version"], timeout_s=30)
            said = rooted.text(ran.output).strip()
            if ran.error or ran.exit != 0 or not said.startswith("cloudmon-agent "):
                return Outcome(False, "the newest agent does not start here, and this one stays", ran.exit, said)
            write(self._place.at("before.pyz"), rooted.read(self._file, MOST_BYTES))
            self._place.store({"starts": 0}, STORE)
            write(self._file, reply.body, mode=os.stat(self._file).st_mode & 0o777)
        except OSError as wrong:
            return Outcome(False, f"the newest agent could not be put in place: {wrong.strerror}")
        finally:
            self._place.remove("new.pyz")
        self.wanted.set()
        return Outcome(True, "", None, said)

    def execute(self) -> None:
        """Become the agent that is in place now. Comes back only when even that fails, as OSError."""
        os.execv(sys.executable, [sys.executable, self._file, *sys.argv[1:]])  # noqa: S606

    def _back(self) -> None:
        """Put the agent before this one in place again and become it."""
        self._proof_until = 0.0
        before = self._place.at("before.pyz")
        self._place.remove(STORE)
        try:
            old = rooted.read(before, MOST_BYTES)
            write(self._file, old, mode=os.stat(self._file).st_mode & 0o777)
        except OSError:
            self._log.say("the agent before this one is not there any more; this one goes on")
            return
        self._place.remove("before.pyz")
        self._log.say("this agent did not prove itself; the one before it goes on")
        self.wanted.set()
