"""Whole seconds out of instants, and which of them a cloud was watched in.

One rule for both: a bound falls to the second it is in, so a second belongs to whatever held at its end. Stretches
that touch within a second therefore neither share it nor lose it.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator

Stretch = tuple[dt.datetime, dt.datetime]
"""``[start, end)``."""
Part = tuple[dt.datetime, dt.datetime, bool]
"""``[start, end)``, and whether it was NOT watched."""


def floor(at: dt.datetime) -> dt.datetime:
    """The whole second that ``at`` lies in."""
    return at.replace(microsecond=0)


class Coverage:
    """The seconds that were watched: stretches merged to disjoint ones, in order."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        merged: list[Stretch] = []
        for since, until in sorted((floor(since), floor(until)) for since, until in stretches):
            if since >= until:
                continue
            if merged and since <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], until))
            else:
                merged.append((since, until))
        self._merged = merged
        self._starts = [since for since, _ in merged]

    def split(self, start: dt.datetime, end: dt.datetime) -> Iterator[Part]:
        """``[start, end)``, whole seconds, cut where watching began or ended. The parts touch and are as few as can
        be."""
        for index in range(max(0, bisect_right(self._starts, start) - 1), len(self._merged)):
            since, until = self._merged[index]
            if since >= end or start >= end:
                break
            if until <= start:
                continue
            if start < since:
                yield start, since, True
                start = since
            yield start, min(until, end), False
            start = min(until, end)
        if start < end:
            yield start, end, True
