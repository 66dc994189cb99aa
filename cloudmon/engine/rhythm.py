"""When a job is due: its interval, and by how much each run may come after its usual time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What somebody wants of a job's times."""

    interval_s: float
    """Seconds between two usual times."""
    jitter: float = 0.0
    """Share of the interval within which each run comes after its usual time, so that monitors that started together
    do not ask a cloud in the same second. From 0 to below 1: two runs are never closer than the rest of the interval.
    """

    @classmethod
    def of(cls, name: str, interval_s: float, jitter: float) -> Self:
        """The rhythm of the job of that name. ValueError where there is no such rhythm."""
        if interval_s <= 0:
            raise ValueError(f"the interval of {name} must be positive")
        if not 0 <= jitter < 1:
            raise ValueError(f"the jitter of {name} must be a share of its interval, from 0 to below 1")
        return cls(interval_s, jitter)


class Beat:
    """The run that is due next, in seconds of a steady clock. The first is due at once; the usual time of each later
    one is counted from the first, so that neither jitter nor the length of a run ever adds up.

    Arguments:
        chance: a number in [0, 1), for each run's jitter.
    """

    def __init__(self, rhythm: Rhythm, start_s: float, chance: Callable[[], float]) -> None:
        self.rhythm = rhythm
        self.due_s = start_s
        self._base_s = start_s
        self._turn = 0
        self._chance = chance

    def ran(self, now_s: float) -> None:
        """The run that was due has begun. Those that were missed meanwhile collapse into it."""
        passed = math.floor((now_s - self._base_s) / self.rhythm.interval_s)
        self._turn = max(self._turn, passed) + 1
        self._set_due()

    def follow(self, rhythm: Rhythm, now_s: float) -> None:
        """Go on by another rhythm: usual times count from the last one, and what they would have missed is not made
        up for. Nothing changes where it is the same."""
        if rhythm == self.rhythm:
            return
        if self._turn == 0:
            self.rhythm = rhythm
            return
        self._base_s += (self._turn - 1) * self.rhythm.interval_s
        self.rhythm = rhythm
        self._turn = max(1, math.floor((now_s - self._base_s) / rhythm.interval_s))
        self._set_due()
        if self.due_s < now_s:
            self._turn += 1
            self._set_due()

    def _set_due(self) -> None:
        usual_s = self._base_s + self._turn * self.rhythm.interval_s
        self.due_s = usual_s + self.rhythm.interval_s * self.rhythm.jitter * self._chance()
