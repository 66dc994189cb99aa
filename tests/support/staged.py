"""An engine whose clock is told the time."""

from __future__ import annotations

from collections.abc import Callable

from told import Ending, inline

from cloudmon.engine.local import LocalEngine
from cloudmon.model.health import JobHealth
from cloudmon.testing import FakeClock

LONG_S = 30.0
"""Longest that a test waits for a thread that is about to do something."""


class Ticks:
    """A job that notes when it ran, and sets ``stop`` when the time is up."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.at: list[float] = []

    def __call__(self) -> None:
        self.at.append(self.clock.monotonic())


class Stage:
    """An engine in the caller's thread: what happens when is told beforehand."""

    def __init__(self, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.clock = FakeClock()
        self.engine = LocalEngine(self.clock, start=inline, chance=chance)

    def run(self, seconds: float, *, at: dict[float, Callable[[], object]] | None = None) -> None:
        """Run it for so many seconds of its clock; ``at`` says what else happens after how many of them."""
        self.engine.run(Ending(self.clock, seconds, at))

    def health(self, name: str = "tick") -> JobHealth:
        return next(job for job in self.engine.health() if job.name == name)
