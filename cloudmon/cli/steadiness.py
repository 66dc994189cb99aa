"""When ``apply`` has come to its end: what is wanted is there, or what is left of it waits for what patience does not
bring.

What ends it is what ``plan`` calls nothing to do. While something is under way the store says so; only where nothing is
and something is not as it is wanted, the clouds are looked at as ``plan`` does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cloudmon.cli import opening
from cloudmon.cli.watching import REACHED
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Timer, TimerKind
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.reports import Wait

if TYPE_CHECKING:
    from cloudmon.monitor.reports import PlanReport
    from cloudmon.monitor.service import Service
    from cloudmon.store import Store

LOOK_S = 5.0
"""Between two looks at the clouds, in seconds."""


class Steadiness:
    """Whether all is done that can be done now.

    Arguments:
        service: whose store it is.
        patience_s: how long the command stays for it, in seconds.
        plan: what was to be done at first. What it holds back may be held back in the end.
    """

    def __init__(self, service: Service, patience_s: float, plan: PlanReport) -> None:
        self._service = service
        self._held = any(row.held for row in plan.rows)
        self._looked_at: float | None = None
        self._unexplained: frozenset[str] = frozenset()
        self.until: dt.datetime = service.clock.now() + dt.timedelta(seconds=patience_s)
        self.waits: Sequence[Wait] = ()
        """What is left when it has come to its end, and waits for somebody, or for longer than this command stays."""

    def reached(self) -> bool:
        """Whether it has come to its end."""
        store, clock = self._service.store, self._service.clock
        self.waits = ()
        if store.intents.open(EVERYONE) or store.requests.pending(EVERYONE) or store.incarnations.open(EVERYONE):
            return False
        # A roll-out goes on once whom it watches is well.
        watched = [timer for timer in store.timers.all(EVERYONE) if timer.kind is TimerKind.REPLACED]
        kept = [_kept(timer, store.sets.active(EVERYONE), clock.now()) for timer in watched]
        if any(self._ends_soon(wait) for wait in kept):
            return False
        undone = _undone(store)
        if not undone and not self._held:
            self.waits = kept
            return True
        if self._looked_at is not None and clock.monotonic() < self._looked_at + LOOK_S:
            return False
        self._looked_at = clock.monotonic()
        if not self._explained(self._service.plan(), undone):
            return False
        self.waits = [*kept, *self.waits]
        return True

    def _explained(self, report: PlanReport, undone: frozenset[str]) -> bool:
        # Something is due, and whoever is the monitor does it.
        if not all(row.held for row in report.rows):
            return False
        waits = [wait for wait in report.waits if wait.subject in undone]
        waits += [
            Wait(row.subject, f"{row.action} is held back: {row.held}", row.until, lasts=row.lasts)
            for row in report.rows
        ]
        if any(self._ends_soon(wait) for wait in waits):
            return False
        # Nothing is to be done about it, and nothing waits: so it stays, once that was seen twice.
        unexplained = undone - {wait.subject for wait in waits}
        seen_before, self._unexplained = self._unexplained, unexplained
        self.waits = waits
        return unexplained == seen_before or not unexplained

    def _ends_soon(self, wait: Wait) -> bool:
        """Whether it is over by itself while this command stays; what nobody can say is waited for."""
        return wait.until <= self.until if wait.until is not None else not wait.lasts


def _kept(watched: Timer, sets: Iterable[ApplianceSet], now: dt.datetime) -> Wait:
    """What a roll-out waits for that watches a new node: time does not pass for it while somebody holds it."""
    aset = next((one for one in sets if one.uid == watched.set_uid), None)
    name = f"{aset.name if aset is not None else watched.set_uid}/{watched.ordinal}"
    for kind in (ControlKind.PAUSE, ControlKind.MAINTENANCE):
        control = aset.laid(kind, watched.ordinal, now) if aset is not None else None
        if control is not None:
            why = f"is watched since it was replaced; held by {kind} of {control.owner}: {control.reason}"
            return Wait(name, why, control.until, lasts=True)
    return Wait(name, "is watched since it was replaced", None)


def _undone(store: Store) -> frozenset[str]:
    """Appliances that are not as they are wanted, and sets that retire, by name."""
    sets = {aset.uid: aset for aset in store.sets.active(EVERYONE)}
    ends = {uid for uid, aset in sets.items() if aset.retiring_since is not None}
    left = []
    for member in store.members.all(EVERYONE):
        aset = sets.get(member.set_uid)
        if member.state is ApplianceState.RETIRED or aset is None:
            continue
        surplus = member.ordinal > aset.spec.count
        if member.set_uid in ends or surplus or member.state not in REACHED[member.wanted]:
            left.append(member.id)
    whole = ends - {uid for uid, _ in left}
    # Most estates are as they are wanted: names are for those that are not.
    if not left and not whole:
        return frozenset()
    names = opening.Names(store, EVERYONE)
    return frozenset([*(names.appliance(one) for one in left), *(names.set(uid) for uid in whole)])
