"""The ground a dummy world stands on: its machines with their indexes, its time, and its turns.

Everything happens in a turn: one thread of one process at a time, changes of other processes read before it, time
settled up to now, own changes written after it. The world's time never runs backwards, whatever the clock does.
"""

from __future__ import annotations

import datetime as dt
import heapq
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cloudmon.model.nodes import CommandResult, NodeEvent, PeerGroup
from cloudmon_providers.dummy import life
from cloudmon_providers.dummy.catalogue import Shelf
from cloudmon_providers.dummy.machine import Machine
from cloudmon_providers.dummy.settings import DummySettings
from cloudmon_providers.dummy.storage import Storage

EVENTS_KEPT = 10_000


class Ground:
    """Machines in memory, kept in step with where they are stored."""

    def __init__(self, settings: DummySettings, *, now: Callable[[], dt.datetime], storage: Storage) -> None:
        self.settings = settings
        self._clock = now
        self._storage = storage
        self._lock = threading.RLock()
        self._deep = False
        self.commands: list[tuple[str, list[list[str]]]] = []
        """What was run, and in which machine: in this process alone, for tests."""
        self.comes_to: dict[str, CommandResult] = {}
        """What programs come to, by their name: for tests to say."""
        self._stirred: dict[str, int] = {}
        """For whoever plays the insides: machines in the order of their last change, with its number."""
        self._stirred_ever = 0
        self._fresh()

    def _fresh(self) -> None:
        self._began = 0.0
        self._at = 0.0
        self._revision = 0
        self._serial = 0
        self._calls: Counter[str] = Counter()
        self._switches: dict[str, bool] = {}
        self._planned: deque[tuple[str, str]] = deque()
        self._machines: dict[str, Machine] = {}
        self._by_token: dict[str, str] = {}
        self._listed: dict[str, Machine] = {}
        self._living: Counter[Shelf] = Counter()
        self._due: list[tuple[float, int, str]] = []
        self._changed: dict[str, Machine] = {}
        self._groups: dict[str, PeerGroup] = {}
        self._told: dict[str, NodeEvent] = {}
        self._told_ever = 0
        self._results: dict[str, CommandResult] = {}
        self._list_serials: list[int] | None = None
        self._list_nodes: list[Any] = []

    # --- turns -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[float]:
        """One turn; gives the world's time in seconds since 1970. What goes wrong inside leaves the changes made:
        a call that times out after its effect had its effect."""
        with self._lock:
            if self._deep:
                yield self._at
                return
            self._deep = True
            whole = False
            try:
                self._take_in(*self._storage.begin(self._revision))
                self._settle()
                try:
                    yield self._at
                except Exception:
                    self._write()
                    whole = True
                    raise
                self._write()
                whole = True
            finally:
                self._deep = False
                if not whole:
                    self._storage.abandon()
                    if self._storage.shared:
                        # What memory holds now is not what the file says: read it anew in the next turn.
                        self._fresh()

    def _write(self) -> None:
        self._settle()
        self._revision += 1
        changed, self._changed = self._changed, {}
        self._storage.commit(self._values(), changed.values())

    def _values(self) -> dict[str, Any]:
        return {
            "revision": self._revision,
            "began": self._began,
            "at": self._at,
            "serial": self._serial,
            "calls": dict(self._calls),
            "switches": self._switches,
            "planned": list(self._planned),
            "groups": [[group.name, list(group.ports), dict(group.tags)] for group in self._groups.values()],
        }

    def _take_in(self, values: dict[str, Any] | None, machines: list[Machine]) -> None:
        """Take in what other processes did since our last turn."""
        if values is not None:
            self._revision = values["revision"]
            self._began = values["began"]
            self._at = values["at"]
            self._serial = values["serial"]
            self._calls = Counter(values["calls"])
            self._switches = values["switches"]
            self._planned = deque((verb, fault) for verb, fault in values["planned"])
            groups = [PeerGroup(name, tuple(ports), tags) for name, ports, tags in values.get("groups", ())]
            self._groups = {group.name: group for group in groups}
        for machine in machines:
            earlier = self._machines.get(machine.id)
            self._index(machine, before=earlier)

    # --- machines --------------------------------------------------------------------------------------------------

    def _index(self, machine: Machine, *, before: Machine | None) -> None:
        """Put a machine, new or replaced, into every index."""
        shelf = Shelf(machine.location, machine.size, machine.spot)
        self._living[shelf] += machine.lives - (before.lives if before else False)
        self._machines[machine.id] = machine
        if machine.token:
            self._by_token[machine.token] = machine.id
        self._relist(machine)
        self._stir(machine)
        self._tell(machine, before.word if before is not None else "")
        if machine.coming:
            heapq.heappush(self._due, (machine.coming[0].at, machine.serial, machine.id))

    def _tell(self, machine: Machine, before: str) -> None:
        """An event for whoever listens, where this cloud tells of any; the oldest are lost when nobody does."""
        if not self.settings.events or machine.word == before:
            return
        self._told_ever += 1
        receipt = f"event-{self._told_ever}"
        self._told[receipt] = NodeEvent(machine.id, machine.word, receipt)
        while len(self._told) > EVENTS_KEPT:
            del self._told[next(iter(self._told))]

    def _add(self, machine: Machine) -> None:
        self._index(machine, before=None)
        self._changed[machine.id] = machine

    @contextmanager
    def _edit(self, machine: Machine) -> Iterator[None]:
        """Change a machine in place; its indexes follow."""
        lived, looked, word = machine.lives, machine.seen, machine.word
        yield
        life.settle(machine, self._at, self.settings)
        self._living[Shelf(machine.location, machine.size, machine.spot)] += machine.lives - lived
        if machine.seen is None or machine.seen is not looked:
            self._relist(machine)
        if machine.coming:
            heapq.heappush(self._due, (machine.coming[0].at, machine.serial, machine.id))
        self._changed[machine.id] = machine
        self._stir(machine)
        self._tell(machine, word)

    def _stir(self, machine: Machine) -> None:
        """Something of it changed, perhaps what its inside notices."""
        if self.settings.guests is None:
            return
        self._stirred_ever += 1
        self._stirred.pop(machine.id, None)  # to the end of the order
        self._stirred[machine.id] = self._stirred_ever

    def _relist(self, machine: Machine) -> None:
        if machine.shown:
            self._listed[machine.id] = machine
        else:
            self._listed.pop(machine.id, None)
        self._list_serials = None

    def _settle(self) -> None:
        """Let the world's time come up to the clock's, and everything happen that was due until then."""
        clock = self._clock().timestamp()
        if not self._began:
            self._began = self._at = clock
        self._at = max(self._at, clock)
        while self._due and self._due[0][0] <= self._at:
            machine = self._machines[heapq.heappop(self._due)[2]]
            if machine.coming and machine.coming[0].at <= self._at:
                with self._edit(machine):
                    life.settle(machine, self._at, self.settings)

    def close(self) -> None:
        """Let go of the file, if there is one."""
        with self._lock:
            self._storage.close()
