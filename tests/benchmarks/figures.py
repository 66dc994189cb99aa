"""What a benchmark says: a figure, the bound it must keep, and what it was measured beside."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

REPEATS = 5
"""Each figure is the median of at least so many measurements."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    name: str
    measured: float
    unit: str
    bound: float | None = None
    """None: shown for comparison, bound to nothing."""
    at_least: bool = False
    """True where more is better."""
    beside: str = ""
    """What was measured in the same run to compare it with."""

    @property
    def ratio(self) -> float | None:
        """Measured over bound; below 1 is better, or above 1 where more is better."""
        return None if not self.bound else self.measured / self.bound

    @property
    def kept(self) -> bool:
        if self.bound is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def line(self) -> str:
        bound = "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {_number(self.bound)}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = "" if self.bound is None else "ok" if self.kept else "MISSED"
        measured = f"{_number(self.measured)} {self.unit}"
        return f"{self.name:<58} {measured:>16} {bound:>10} {ratio:>6}  {verdict:<6}  {self.beside}".rstrip()


HEADING = f"{'FIGURE':<58} {'MEASURED':>16} {'BOUND':>10} {'RATIO':>6}  {'':<6}  BESIDE"


def median(measured: Iterable[float]) -> float:
    return statistics.median(measured)


def spread(measured: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """The least and the most of several measurements."""
    return f"{_number(min(measured) * scale)}-{_number(max(measured) * scale)} {unit} in {len(measured)}"


def _number(value: float) -> str:
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
