"""The two conversations that go on: reports, in order, and the long poll for commands. Each has a thread and a line."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, Callable, NamedTuple

from . import reporting
from .buffer import Buffer, results_in
from .clock import Clock
from .commands import Commands
from .keys import Keys
from .log import Log
from .reporting import Reporter
from .speaking import Malformed, Pause, Refused, Speaker, TooLarge, Trouble, Unsigned
from .transport import Unreachable

POLL_S = 25
MARGIN_S = 15.0
MOST_HAVE = 400
FAILED = (Trouble, Unreachable, LookupError)
REFUSED_BEFORE_ENROLLING = 3


class Ears:
    """What every reply may bring beside its answer."""

    def __init__(self, keys: Keys, commands: Commands, log: Log, configure: Callable[[dict[str, Any]], None]) -> None:
        self.keys = keys
        self.commands = commands
        self.log = log
        self._configure = configure

    def hear(self, answer: dict[str, Any], *, apart: Collection[str] = ()) -> None:
        """Take over a key, a config and commands, in this order: commands may need the config. Commands whose ids are
        ``apart`` are left alone."""
        if isinstance(answer.get("key"), dict):
            try:
                self.keys.take(answer["key"])
            except ValueError as wrong:
                self.log.once("a new key", str(wrong))
        if isinstance(answer.get("config"), dict):
            try:
                self._configure(answer["config"])
            except ValueError as wrong:
                self.log.once("a new config", str(wrong))
        if answer.get("commands"):
            self.commands.take(answer["commands"], apart)


class Around(NamedTuple):
    """What the rest of the agent is for the one that sends."""

    boot: Callable[[], str]
    asked: Callable[[], None]
    """A full report is wanted."""
    taken: Callable[[], None]
    """A report was taken."""
    enrol: Callable[[], None]
    """Try the token once more. Raises what asking raises."""


class Sender:
    """Empties the buffer, oldest first. A report is there until the monitor says that it has it."""

    def __init__(
        self, speaker: Speaker, ears: Ears, waiting: Buffer, reporter: Reporter, clock: Clock, around: Around
    ) -> None:
        self._speaker = speaker
        self._ears = ears
        self._buffer = waiting
        self._reporter = reporter
        self._clock = clock
        self._around = around
        self._refused = 0
        self.wake = threading.Event()
        """Set when there is a report to send."""
        self.free = threading.Event()
        """Set when a pause need not be waited for any longer."""
        self.pause = Pause()

    def serve(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.wake.clear()
            try:
                while not stop.is_set() and self.step():
                    pass
            except FAILED as wrong:
                self._ears.log.once("reports", str(wrong))
                # What is written in the meantime does not shorten the pause; that the monitor is there again does.
                self.free.clear()
                self._clock.wait(self.free, self.pause.after(wrong))
                continue
            self._clock.wait(self.wake, 3600.0)

    def step(self) -> bool:
        """Send the oldest report; False when there is none. Raises what asking raises."""
        found = self._buffer.oldest()
        if found is None:
            return False
        name, envelope = found
        body = reporting.outgoing(envelope, self._around.boot(), self._clock)
        try:
            answer = self._speaker.ask("/channel/v1/report", body)
        except Malformed as wrong:
            if isinstance(wrong, TooLarge):
                self._reporter.too_large()
            # It will be no better the next time.
            self._away(name, "the monitor could make nothing of a report; a full one follows")
            raise
        except (Refused, Unsigned):
            self._again()
            raise
        self._refused = 0
        self._ears.log.well("reports")
        self._answered(name, envelope, answer)
        # What this very report answers is no repeat.
        self._ears.hear(answer, apart={result["id"] for result in results_in(envelope)})
        return True

    def _answered(self, name: str, envelope: dict[str, Any], answer: dict[str, Any]) -> None:
        if envelope["body"].get("boot") == self._around.boot():
            self._reporter.raise_to(answer.get("seq"))
        if answer.get("taken") is True:
            self._buffer.drop(name)
            self._ears.commands.delivered(results_in(envelope))
            self._around.taken()
            self.pause.well()
            if answer.get("want") == "full":
                self._full()
            return
        was_full = envelope["body"].get("kind") == "full"
        self._away(name, "a full report is wanted" if answer.get("want") == "full" else "a report was not taken")
        if was_full:
            # Full ones that are not taken one after the other: slower each time.
            raise Trouble("the monitor did not take a full report")

    def _away(self, name: str, why: str) -> None:
        """Throw the oldest report away, and those that build on it."""
        found = self._buffer.oldest()
        if found is not None and found[0] == name:
            self._ears.log.once("reports", why)
            self._ears.commands.returned(self._buffer.to_next_full(own=True))
        self._full()

    def _full(self) -> None:
        if not self._buffer.chain() and len(self._buffer):
            return  # one is on its way
        self._reporter.full_wanted.set()
        self._around.asked()

    def _again(self) -> None:
        """Refused several times: our key may have run out while the machine slept; the token may still be good."""
        self._refused += 1
        if self._refused % REFUSED_BEFORE_ENROLLING == 0:
            self._around.enrol()


class Poller:
    """Waits at the monitor for commands."""

    def __init__(
        self,
        speaker: Speaker,
        ears: Ears,
        clock: Clock,
        config_hash: Callable[[], str],
        reached: Callable[[], None],
        *,
        wait_s: float = POLL_S,
    ) -> None:
        """``reached`` is called when the monitor is there again after a failure."""
        self._speaker = speaker
        self._ears = ears
        self._clock = clock
        self._config_hash = config_hash
        self._reached = reached
        self._wait_s = wait_s

    def serve(self, stop: threading.Event) -> None:
        pause = Pause()
        failed = False
        while not stop.is_set():
            began = self._clock.monotonic()
            try:
                brought = self.step()
            except FAILED as wrong:
                self._ears.log.once("commands", str(wrong))
                failed = True
                self._clock.wait(stop, pause.after(wrong))
                continue
            self._ears.log.well("commands")
            pause.well()
            if failed:
                failed = False
                self._reached()
            # A monitor that does not let us wait is not to be asked all the time.
            if not brought and self._clock.monotonic() - began < 1.0:
                self._clock.wait(stop, 1.0)

    def step(self) -> bool:
        """Ask once; whether there was a command."""
        message = {
            "v": 1,
            "wait_s": self._wait_s,
            "config": self._config_hash(),
            "have": self._ears.commands.have()[:MOST_HAVE],
        }
        answer = self._speaker.ask("/channel/v1/poll", message, timeout_s=self._wait_s + MARGIN_S)
        self._ears.hear(answer)
        return bool(answer.get("commands"))
