"""Time, as an argument.

This is the only module that asks the machine for the time or sleeps. Everything else is handed an instant, or a
:class:`Clock`; a simulation hands over :class:`cloudmon.testing.FakeClock` and runs the same lines.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Protocol

UTC = dt.UTC


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now(self) -> dt.datetime:
        """The instant, aware, in UTC. May jump in either direction, as machine clocks do."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Sleep until ``event`` is set or ``timeout_s`` seconds have passed; True when it was set."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(max(0.0, timeout_s))
