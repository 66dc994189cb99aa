"""A clock that is told the time: nothing waits, everything is repeatable."""

from __future__ import annotations

import datetime as dt
import math
import threading

START = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)


class FakeClock:
    """A :class:`cloudmon.clock.Clock` that moves only when told, or when somebody waits on it.

    The wall may be moved apart from the true time (:meth:`jump`), as the clocks of real machines are; a simulated
    cloud lives by :meth:`true_now`, which no jump reaches. Safe to share between threads.
    """

    def __init__(self, start: dt.datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock's start must be an aware instant")
        self._start = start.astimezone(dt.UTC)
        self._elapsed = dt.timedelta()
        self._jumped = dt.timedelta()
        self._lock = threading.Lock()

    def now(self) -> dt.datetime:
        """The wall's time: the start, what has passed, and every jump."""
        with self._lock:
            return self._start + self._elapsed + self._jumped

    def true_now(self) -> dt.datetime:
        """The time as it would be if the wall had never jumped."""
        with self._lock:
            return self._start + self._elapsed

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed.total_seconds()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Returns at once; unless ``event`` is set already, ``timeout_s`` seconds have passed then, and never less:
        who waits for what is left of a microsecond would wait for ever."""
        if event.is_set():
            return True
        self.advance(math.ceil(max(0.0, timeout_s) * 1e6) / 1e6)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass. ValueError for a negative number: time that passes never comes back."""
        if seconds < 0:
            raise ValueError("time does not pass backwards; use jump() to move the wall")
        with self._lock:
            self._elapsed += dt.timedelta(seconds=seconds)

    def jump(self, delta: dt.timedelta) -> None:
        """Move the wall, forward or back, without any time passing."""
        with self._lock:
            self._jumped += delta
