"""The staff of the inn: the threads that step guests when their turn comes, and who tells how they do."""

from __future__ import annotations

import threading

import structlog

from cloudmon.clock import Clock
from cloudmon.testing.guests.inn import Inn

_log = structlog.get_logger(__name__)

HANDS = 8
"""Threads that step guests: most of a step is waiting for the channel to write, and what is said meanwhile is written
together."""

IDLE_S = 0.2
"""Longest pause of a thread for which there is nothing to do."""

BEGIN_S = 6.0
"""Nobody speaks for so long after a start: a monitor takes nothing that its predecessor may have taken."""

TOLD_S = 60.0
"""Seconds between two lines of the log about the guests."""


class Staff:
    """Steps the guests of an inn from :meth:`begin` until :meth:`end`."""

    def __init__(self, inn: Inn, clock: Clock, *, hands: int = HANDS) -> None:
        self._inn = inn
        self._clock = clock
        self._stop = threading.Event()
        self._told_at = self._began_at = clock.monotonic()
        self._threads = [
            threading.Thread(target=self._work, name=f"guests {number}", daemon=True) for number in range(hands)
        ]

    def begin(self) -> None:
        """Step from now on."""
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Look what became of the machines: to be called each second or so. RuntimeError when nobody steps the guests
        any more, CloudError as :meth:`Inn.look`."""
        if not self._stop.is_set() and not all(thread.is_alive() for thread in self._threads):
            raise RuntimeError("a thread that steps guests has ended")
        if self._clock.monotonic() - self._began_at < BEGIN_S:
            return
        self._inn.look(self._clock.now())
        if self._clock.monotonic() - self._told_at >= TOLD_S:
            self._tell()

    def end(self, within_s: float) -> None:
        """Step nobody any more; returns when all have let go, or after so many seconds."""
        self._stop.set()
        by = self._clock.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, by - self._clock.monotonic()))
        self._tell()

    def _work(self) -> None:
        while not self._stop.is_set():
            now = self._clock.now()
            lodger = self._inn.take(now)
            if lodger is not None:
                self._inn.step(lodger, now)
                continue
            next_at = self._inn.next_at()
            idle_s = IDLE_S if next_at is None else (next_at - now).total_seconds()
            self._clock.wait(self._stop, min(IDLE_S, max(0.001, idle_s)))

    def _tell(self) -> None:
        self._told_at = self._clock.monotonic()
        count = self._inn.count
        struck, well = sum(count.struck.values()), sum(count.well_again.values())
        _log.info("guests", living=count.living, talking=count.talking, struck=struck, well_again=well)
