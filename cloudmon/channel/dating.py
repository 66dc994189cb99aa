"""The clock that requests and replies are dated by: the wall's, except that it never goes back."""

from __future__ import annotations

RATE = 0.99
"""Seconds that pass on it in a second, while the wall is behind it: so it is overtaken in the end, and an agent that
counts whole seconds is not ahead of it before it hears from us again."""


class Dates:
    """Dates that grow for as long as this process lives.

    What may be taken is decided by its date, so that a date which comes twice would let the same request in twice. A
    wall that is set back, as on a machine whose clock was ahead when it booted, would otherwise leave two choices: take
    what was taken before, or nothing until the hour comes again.

    Arguments:
        begun: the wall's time when this process began, in unix seconds.
        monotonic: the same instant on a clock that never jumps.
    """

    def __init__(self, begun: float, monotonic: float) -> None:
        self._date = begun
        self._at = monotonic

    def now(self, wall: float, monotonic: float) -> float:
        """The date now, in unix seconds: the wall's, or while that is behind, what has passed on ours."""
        self._date = max(wall, self._date + RATE * max(0.0, monotonic - self._at))
        self._at = monotonic
        return self._date
