"""When each appliance is to be looked at again."""

from __future__ import annotations

import datetime as dt
import heapq
import threading
from collections.abc import Container

from cloudmon.model.identity import ApplianceId

SPARE = 64
"""Outdated entries that are always borne with."""


class Instants:
    """One instant for each of many appliances. To find those whose time has come takes as long as they are many,
    however many others wait: it is asked several times a second, for ten thousands. Safe to share between threads."""

    def __init__(self) -> None:
        self._at: dict[ApplianceId, dt.datetime] = {}
        self._sooner: list[tuple[dt.datetime, ApplianceId]] = []
        """A heap. What :attr:`_at` does not say is outdated, and dropped when it comes up."""
        self._lock = threading.Lock()

    def __contains__(self, appliance: object) -> bool:
        return appliance in self._at

    def put(self, appliance: ApplianceId, at: dt.datetime | None) -> None:
        """Look at it again then; None: not before something else says so."""
        with self._lock:
            if at is None:
                self._at.pop(appliance, None)
            elif self._at.get(appliance) != at:
                self._at[appliance] = at
                heapq.heappush(self._sooner, (at, appliance))
                if len(self._sooner) > 2 * len(self._at) + SPARE:
                    self._sooner = [(at, appliance) for appliance, at in self._at.items()]
                    heapq.heapify(self._sooner)

    def has_come(self, appliance: ApplianceId, now: dt.datetime) -> bool:
        """Whether its instant has come; so it has for one that has none."""
        return now >= self._at.get(appliance, now)

    def any_come(self, now: dt.datetime) -> bool:
        """Whether any instant has come."""
        with self._lock:
            while self._sooner and self._outdated(self._sooner[0]):
                heapq.heappop(self._sooner)
            return bool(self._sooner) and self._sooner[0][0] <= now

    def come(self, now: dt.datetime) -> list[ApplianceId]:
        """Whose instant has come, the soonest first. They stay until they are put anew."""
        found: dict[tuple[dt.datetime, ApplianceId], None] = {}
        with self._lock:
            while self._sooner and self._sooner[0][0] <= now:
                entry = heapq.heappop(self._sooner)
                if not self._outdated(entry):
                    found[entry] = None
            for entry in found:
                heapq.heappush(self._sooner, entry)
        return [appliance for _, appliance in found]

    def first(self, but: Container[ApplianceId]) -> dt.datetime | None:
        """The soonest of all others; goes through all of them."""
        with self._lock:
            return min((at for appliance, at in self._at.items() if appliance not in but), default=None)

    def _outdated(self, entry: tuple[dt.datetime, ApplianceId]) -> bool:
        return self._at.get(entry[1]) != entry[0]
