"""What is true of the dummy cloud, whatever its listings say: for tests and simulations, never for a provider."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import NamedTuple

from cloudmon.model import simulated
from cloudmon.model.nodes import NodeState
from cloudmon_providers.dummy import words
from cloudmon_providers.dummy.machine import Machine


class Spell(NamedTuple):
    """``word`` held from ``start`` until ``end``; None: it still does."""

    word: str
    start: dt.datetime
    end: dt.datetime | None


class TrueNode(NamedTuple):
    """One machine as it is."""

    id: str
    name: str
    token: str
    """Empty on machines that were made without one."""
    word: str
    state: NodeState
    location: str
    size: str
    spot: bool
    image: str
    tags: Mapping[str, str]
    addresses: tuple[str, ...]
    volumes: tuple[str, ...]
    created_at: dt.datetime
    ended_at: dt.datetime | None
    hung: bool
    isolated: bool
    peers: str
    """Name of the group of peers that it is in; empty: in none."""
    spells: tuple[Spell, ...]
    """Everything it did, in order: the ledger that metering is measured against."""

    @classmethod
    def of(cls, machine: Machine) -> TrueNode:
        """The truth of a machine."""
        lives = machine.lives
        return cls(
            machine.id,
            machine.name,
            machine.token,
            machine.word,
            words.STATES[machine.word],
            machine.location,
            machine.size,
            machine.spot,
            machine.image,
            dict(machine.tags),
            (*machine.public, *machine.private) if lives else (),
            tuple(machine.volumes) if lives else (),
            instant(machine.created),
            None if machine.ended is None else instant(machine.ended),
            machine.hung,
            machine.isolated,
            machine.peers,
            tuple(
                Spell(stay.word, instant(stay.start), None if stay.end is None else instant(stay.end))
                for stay in machine.stays()
            ),
        )

    def ran(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """When it was paid as running: ``[start, end)``, touching ones joined, open ones until ``now``."""
        return self._joined(words.RAN, now)

    def stood(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """When it existed without running."""
        return self._joined(words.STOOD, now)

    def _joined(self, among: Collection[str], now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        found: list[tuple[dt.datetime, dt.datetime]] = []
        for word, start, end in self.spells:
            if word not in among:
                continue
            until = now if end is None else end
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], until)
            else:
                found.append((start, until))
        return found


def inside(machine: Machine) -> simulated.Machine:
    """The machine as its own inside finds it."""
    talks = machine.word == words.RUNNING and not machine.hung and not machine.isolated
    return simulated.Machine(machine.id, machine.name, machine.user_data, machine.lives, talks, machine.boots)


def instant(seconds: float) -> dt.datetime:
    """Seconds since 1970 as an aware instant."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
