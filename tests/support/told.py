"""An engine in the caller's thread, on a clock that is told the time: what happens when is said beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from cloudmon.testing import FakeClock


def inline(name: str, work: Callable[[], None]) -> None:
    """Begin a run where it is due, and come back when it is over."""
    work()


class Ending(threading.Event):
    """Set once so many seconds of the clock have passed; on the way there it lets happen what is told to.

    Arguments:
        at: what happens, by the seconds after which it does.
    """

    def __init__(
        self, clock: FakeClock, seconds: float, at: Mapping[float, Callable[[], object]] | None = None
    ) -> None:
        super().__init__()
        self._clock = clock
        self._end = seconds
        self._events = sorted((at or {}).items())

    def is_set(self) -> bool:
        while self._events and self._events[0][0] <= self._clock.monotonic():
            self._events.pop(0)[1]()
        return self._clock.monotonic() > self._end
