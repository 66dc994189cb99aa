"""The line to the agents where guests are among them: these hold no line open, and are rung."""

from __future__ import annotations

from collections.abc import Iterable

from cloudmon.clock import Clock
from cloudmon.model.identity import ApplianceId
from cloudmon.monitor.line import Line
from cloudmon.testing.guests.inn import Inn


class Bells:
    """Tells the channel first, which then has what a guest that was rung asks for."""

    def __init__(self, line: Line, inn: Inn, clock: Clock) -> None:
        self._line = line
        self._inn = inn
        self._clock = clock

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        """There is something for these to fetch."""
        rung = tuple(appliances)
        self._line.ring(rung)
        self._inn.ring(rung, self._clock.now())

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """These are not believed any more, or others are."""
        self._line.reload(appliances)

    def retell(self, set_uids: Iterable[str]) -> None:
        """What the agents of these sets are told is another thing now."""
        uids = tuple(set_uids)
        self._line.retell(uids)
        self._inn.ring_sets(uids, self._clock.now())

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        """What these said does not add up."""
        self._line.want_full(appliances)
