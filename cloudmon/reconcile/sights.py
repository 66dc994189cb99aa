"""What upkeep is decided from: the sight of the whole, roll-outs by name, and what holds for any of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import Intent
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import TimerKind
from cloudmon.model.findings import Finding
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.model.updates import Updates
from cloudmon.reconcile import rollouts
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.picture import Estate, Moment

ROLLOUT = "rollout"
"""In the evidence of intents and incidents: the key of their roll-out."""
GONE = frozenset({ApplianceState.RETIRED, ApplianceState.RETIRING})


@dataclass(frozen=True, slots=True)
class Sight:
    """What upkeep is decided from."""

    estate: Estate
    members: Mapping[str, Sequence[Member]]
    """By set."""
    asked: Mapping[str, Sequence[Intent]]
    """By key: intents of earlier, for :func:`cloudmon.reconcile.upkeep.keys`."""
    under_way: Mapping[ApplianceId, Sequence[Intent]]
    """Commands that have not come to their end."""
    opening: Collection[ApplianceId]
    """Appliances with an incarnation that is opening or ending."""
    taken: Collection[ApplianceId]
    """Appliances for which something is decided already."""
    moment: Moment
    case: Callable[[Member], Case]
    timers: Mapping[tuple[str, int], Mapping[TimerKind, dt.datetime]]
    """By set uid and ordinal."""

    def busy(self, member: Member) -> str:
        """What else a member has to do; empty when nothing."""
        if member.id in self.taken:
            return "has something else to do"
        under_way = self.under_way.get(member.id)
        return f"{under_way[0].verb} is on its way inside it" if under_way else ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One version of one application, over a set; or, without an application, what its members are made of."""

    aset: ApplianceSet
    updates: Updates
    application: str
    target: str

    @property
    def key(self) -> str:
        if self.replaces:
            return rollouts.key_of_image(self.aset.uid, self.aset.spec.template)
        return rollouts.key(self.aset.uid, self.aset.generation, self.application, self.target)

    @property
    def replaces(self) -> bool:
        return not self.application


def alarm(member: Member, findings: Sequence[Finding]) -> dt.datetime | None:
    """When the newest of a member's critical findings opened that are open, other than that a roll-out failed."""
    subject = f"{member.set_uid}/{member.ordinal}"
    return max(
        (
            one.opened_at
            for one in findings
            if one.severity == "critical"
            and ROLLOUT not in one.evidence
            and (one.subject == subject or one.subject.startswith(subject + ":"))
        ),
        default=None,
    )


def laid(aset: ApplianceSet, ordinal: int, now: dt.datetime) -> str:
    """What people have laid on a member that keeps updates from it; empty when nothing."""
    for kind in (ControlKind.PAUSE, ControlKind.MAINTENANCE):
        control = aset.laid(kind, ordinal, now)
        if control is not None:
            return f"held by {kind} of {control.owner}: {control.reason}"
    return ""
