"""The line to the agents inside appliances, as the monitor needs it: whoever serves them hands it in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cloudmon.model.identity import ApplianceId


class Line(Protocol):
    """Each call may come from any thread, and returns at once."""

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        """There is something for these agents to fetch."""

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """These agents are not believed any more, or others are."""

    def retell(self, set_uids: Iterable[str]) -> None:
        """What the agents of these sets are told is another thing now."""

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        """What these appliances said does not add up: only a full report helps."""


class Silent:
    """Nobody is at the other end: no channel is served by this process."""

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        """Whoever serves agents later finds what is there to fetch in the store."""

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """Whoever serves agents later reads them from the store."""

    def retell(self, set_uids: Iterable[str]) -> None:
        """Whoever serves agents later tells them what the store has."""

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        """It is found out again."""
