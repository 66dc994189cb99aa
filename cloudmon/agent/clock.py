"""The agent's own clock: the only place in it that asks the machine for the time.

The appliance's clock may be off by hours. What the monitor says of the time, in replies that are signed, is taken off.
"""

from __future__ import annotations

import threading
import time

TOLERATED_S = 1.0
"""The monitor tells whole seconds, and a reply takes its way: a smaller difference says nothing."""


class Clock:
    """Time as the monitor counts it, as well as that is known."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        """Seconds by which this machine's clock is ahead of the monitor's."""
        self.lead_s = 0.0
        """Seconds by which the dates that the monitor takes are ahead of its own clock: it does not go back in them."""

    def now(self) -> float:
        """Unix time, corrected."""
        return self.local() - self.ahead_s

    def date(self) -> float:
        """Unix time by which requests are dated."""
        return self.now() + self.lead_s

    def local(self) -> float:
        """Unix time as this machine has it, which is what files are stamped with."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Seconds since the kernel booted, those it was suspended included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def processor(self) -> float:
        """Seconds of a processor that the calling thread has used; only differences mean anything."""
        return time.thread_time()

    def correct(self, theirs: float, dated: float, took_s: float, *, refused: bool = False) -> None:
        """Take over the monitor's time, which a reply told in whole seconds that came just now and took ``took_s``.

        Arguments:
            theirs: the monitor's time.
            dated: the date of the reply.
            took_s: how long it took.
            refused: it was told because ours was not accepted. Then the monitor's word holds to the second, rather too
                late than too early.
        """
        # Both are cut to whole seconds: one of difference says nothing.
        self.lead_s = dated - theirs if abs(dated - theirs) > TOLERATED_S else 0.0
        if refused:
            self.ahead_s = round(self.local() - theirs, 1)
            return
        measured = self.local() - took_s / 2 - (theirs + 0.5)
        if abs(measured - self.ahead_s) > TOLERATED_S + took_s / 2:
            self.ahead_s = round(measured, 1)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until ``event`` is set or the seconds have passed; True when it was set."""
        return event.wait(max(0.0, seconds))

    def rest(self, seconds: float) -> None:
        """Let a short time pass."""
        time.sleep(max(0.0, seconds))
