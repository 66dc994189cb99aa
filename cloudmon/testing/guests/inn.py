"""The inn: which guest lives in which simulated machine, whose turn it is, and what came over whom.

Guests do as their machines do: they boot, fall silent and end with them. Who steps them is somebody else's matter, on
as many threads as he likes: a guest is never in two hands.
"""

from __future__ import annotations

import datetime as dt
import heapq
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import structlog

from cloudmon.channel import tokens
from cloudmon.model.identity import ApplianceId
from cloudmon.model.simulated import Insides, Machine
from cloudmon.provider import Simulated
from cloudmon.testing.guests import troubles
from cloudmon.testing.guests.agency import Answer
from cloudmon.testing.guests.guest import Guest
from cloudmon.testing.guests.troubles import Trouble

_log = structlog.get_logger(__name__)

_ENROLMENT = re.compile(r"cm1\.[^.']+\.([a-z0-9-]+)\.")

POLL_S = 300.0
"""Seconds between two questions of a guest for commands: it is rung when there is one."""

BROKEN = dt.timedelta(minutes=1)
"""How long a guest that broke is left alone."""

FORGOTTEN = dt.timedelta(hours=1)
"""What should have come over a machine that slept, longer ago than this, never does."""

MOST_TOLD = 10_000
"""Troubles that came to their end and are remembered."""


class Struck(NamedTuple):
    """A fault that struck a guest, and what became of it."""

    name: str
    """Of its machine."""
    fault: str
    at: dt.datetime
    well_at: dt.datetime | None = None
    """When it was over; None while it is not, and where the machine ended before."""


class Count(NamedTuple):
    """How the guests are."""

    living: int
    """Guests whose machines are there."""
    talking: int
    """Those of them whose machines run and reach the network."""
    struck: Mapping[str, int]
    """How often each fault struck so far."""
    well_again: Mapping[str, int]
    """How often each was over again."""
    ended: int
    """How often a machine ended while its guest was struck."""


class Lodger:
    """A guest in its machine. What is written here is written under the inn's lock, but for what only the one who has
    it in hand touches."""

    __slots__ = ("again", "boots", "busy", "guest", "insides", "node_id", "number", "reboots", "rung", "seat", "struck",
                 "talks", "ticket", "trouble")  # fmt: skip

    def __init__(self, guest: Guest, machine: Machine, insides: Insides, now: dt.datetime) -> None:
        self.guest = guest
        self.insides = insides
        self.node_id = machine.node_id
        self.seat = _seat(machine.user_data)
        self.talks = machine.talks
        self.boots = machine.boots
        self.number = 0
        begin = now + dt.timedelta(seconds=insides.quiet_s)
        self.trouble: Trouble | None = troubles.following(insides, guest.seed, 0, begin)
        self.struck: Struck | None = None
        self.busy = self.rung = self.reboots = self.again = False
        self.ticket = 0
        """Number of the one entry in the queue that counts; 0: it has none."""


class Inn:
    """Keeps the guests of simulated clouds.

    Arguments:
        clouds: those whose machines have insides, by name.
        answer: the channel that the guests speak to.
        make: makes a guest of user data, name and seed.
    """

    def __init__(self, clouds: Mapping[str, Simulated], answer: Answer, *, make: Callable[..., Guest] = Guest) -> None:
        self._clouds = clouds
        self._answer = answer
        self._make = make
        self._lock = threading.Lock()
        self._marks = dict.fromkeys(clouds, 0)
        self._lodgers: dict[str, Lodger] = {}
        self._seats: dict[ApplianceId, Lodger] = {}
        self._queue: list[tuple[dt.datetime, int, Lodger]] = []
        self._tickets = 0
        self._counted: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._ended = 0
        self.history: deque[Struck] = deque(maxlen=MOST_TOLD)
        """Troubles that are over, oldest end first."""

    # --- who lives here -----------------------------------------------------------------------------------------------

    def look(self, now: dt.datetime) -> None:
        """Take in what became of the machines. CloudError when a cloud's file cannot be read."""
        for cloud, provider in self._clouds.items():
            insides = provider.insides
            if insides is None:
                continue
            mark, changed = provider.machines(self._marks[cloud])
            for machine in changed:
                self._notice(insides, machine, now)
            self._marks[cloud] = mark

    def _notice(self, insides: Insides, machine: Machine, now: dt.datetime) -> None:
        with self._lock:
            lodger = self._lodgers.get(machine.node_id)
            if not machine.lives:
                self._leave(lodger)
            elif lodger is None:
                if machine.talks:
                    self._move_in(insides, machine, now)
            else:
                lodger.reboots = lodger.reboots or machine.boots > lodger.boots
                lodger.boots, lodger.talks = machine.boots, machine.talks
                if machine.talks:
                    self._hurry(lodger, now)
                else:
                    lodger.ticket = 0

    def _move_in(self, insides: Insides, machine: Machine, now: dt.datetime) -> None:
        seed = troubles.seed_of(insides, machine.name)
        try:
            guest = self._make(machine.user_data, name=machine.name, seed=seed, answer=self._answer, poll_s=POLL_S)
        except ValueError:
            return  # nobody speaks out of this one
        lodger = Lodger(guest, machine, insides, now)
        self._lodgers[machine.node_id] = lodger
        if lodger.seat is not None:
            self._seats[lodger.seat] = lodger
        self._put(lodger, now)

    def _leave(self, lodger: Lodger | None) -> None:
        if lodger is None:
            return
        del self._lodgers[lodger.node_id]
        if lodger.seat is not None and self._seats.get(lodger.seat) is lodger:
            del self._seats[lodger.seat]
        lodger.talks, lodger.ticket = False, 0
        if lodger.struck is not None:
            self.history.append(lodger.struck)
            self._ended += 1

    # --- bells --------------------------------------------------------------------------------------------------------

    def ring(self, appliances: Iterable[ApplianceId], now: dt.datetime) -> None:
        """There may be commands for these guests: each asks at once."""
        with self._lock:
            self._ring([self._seats[one] for one in appliances if one in self._seats], now)

    def ring_sets(self, set_uids: Iterable[str], now: dt.datetime) -> None:
        """There may be another configuration for the guests of these sets."""
        uids = frozenset(set_uids)
        with self._lock:
            self._ring([lodger for seat, lodger in self._seats.items() if seat.set_uid in uids], now)

    def _ring(self, lodgers: Iterable[Lodger], now: dt.datetime) -> None:
        for lodger in lodgers:
            lodger.rung = True
            if lodger.talks:
                self._hurry(lodger, now)

    # --- turns --------------------------------------------------------------------------------------------------------

    def take(self, now: dt.datetime) -> Lodger | None:
        """One whose turn it is, into the caller's hands; None when it is nobody's. Give it to :meth:`step`."""
        with self._lock:
            while self._queue and self._queue[0][0] <= now:
                _, ticket, lodger = heapq.heappop(self._queue)
                if ticket == lodger.ticket:
                    lodger.ticket, lodger.busy = 0, True
                    return lodger
        return None

    def next_at(self) -> dt.datetime | None:
        """When it may be somebody's turn; None when nobody waits for one."""
        with self._lock:
            return self._queue[0][0] if self._queue else None

    def step(self, lodger: Lodger, now: dt.datetime) -> None:
        """Let one that was taken do what is due, and give it back."""
        try:
            due = self._stepped(lodger, now)
        except Exception as error:  # one that breaks must not take the hand that steps thousands with it
            _log.error("a guest broke", guest=lodger.guest.name, exc_info=error)
            due = now + BROKEN
        with self._lock:
            lodger.busy = False
            if lodger.talks:
                self._put(lodger, now if lodger.again or lodger.reboots or lodger.rung else due)
            lodger.again = False

    def turn(self, now: dt.datetime) -> int:
        """Step all whose turn it is; how many steps that took. For whoever has one thread only."""
        steps = 0
        while (lodger := self.take(now)) is not None:
            self.step(lodger, now)
            steps += 1
        return steps

    def _stepped(self, lodger: Lodger, now: dt.datetime) -> dt.datetime:
        guest = lodger.guest
        with self._lock:
            reboots, rung = lodger.reboots, lodger.rung
            lodger.reboots = lodger.rung = False
        if reboots:
            guest.reboot(now)
            self._look_after(lodger, now)
        if rung:
            guest.ring()
        self._strike(lodger, now)
        due = guest.step(now)
        self._look_after(lodger, now)
        # What has nothing to say yet is not stepped for ever in one instant.
        due = max(due, now + dt.timedelta(milliseconds=1))
        return due if lodger.trouble is None else min(due, lodger.trouble.at)

    # --- troubles -----------------------------------------------------------------------------------------------------

    def _strike(self, lodger: Lodger, now: dt.datetime) -> None:
        """What is due comes over it, if it is well and could suffer from that: else it is spared this time."""
        while lodger.trouble is not None and lodger.trouble.at <= now:
            guest, fault = lodger.guest, lodger.trouble.fault
            if lodger.struck is None and guest.well() and guest.may_suffer(fault):
                guest.strike(fault, now)
                lodger.struck = Struck(guest.name, fault, now)
                self._count(0, fault)
                _log.debug("a guest is struck", guest=guest.name, fault=fault)
            lodger.number += 1
            after = max(lodger.trouble.at, now - FORGOTTEN)
            lodger.trouble = troubles.following(lodger.insides, guest.seed, lodger.number, after)

    def _look_after(self, lodger: Lodger, now: dt.datetime) -> None:
        if lodger.struck is not None and lodger.guest.well():
            over = lodger.struck._replace(well_at=now)
            lodger.struck = None
            self.history.append(over)
            self._count(1, over.fault)
            took_s = (now - over.at).total_seconds()
            _log.debug("a guest is well again", guest=over.name, fault=over.fault, took_s=round(took_s, 1))

    def _count(self, which: int, fault: str) -> None:
        with self._lock:
            self._counted[which][fault] += 1

    @property
    def count(self) -> Count:
        """How the guests are now."""
        with self._lock:
            talking = sum(lodger.talks for lodger in self._lodgers.values())
            struck, well = self._counted
            return Count(len(self._lodgers), talking, dict(struck), dict(well), self._ended)

    # --- the queue ----------------------------------------------------------------------------------------------------

    def _hurry(self, lodger: Lodger, now: dt.datetime) -> None:
        if lodger.busy:
            lodger.again = True
        else:
            self._put(lodger, now)

    def _put(self, lodger: Lodger, at: dt.datetime) -> None:
        self._tickets += 1
        lodger.ticket = self._tickets
        heapq.heappush(self._queue, (at, self._tickets, lodger))


def _seat(user_data: str) -> ApplianceId | None:
    """The appliance that the token in user data speaks for; None where it is one that was made by hand."""
    found = _ENROLMENT.search(user_data)
    seat = tokens.seat(found[1]) if found is not None else None
    return seat.appliance if seat is not None else None
