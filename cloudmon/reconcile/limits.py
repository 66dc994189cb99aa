"""The limits that breakers keep to, and how the sweep treats what nobody explains."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cloudmon.model.actions import ActionClass
from cloudmon.model.changes import Budget


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """How many actions of one class may be begun within a window, by scope. None means no limit."""

    per_set: int | None
    per_tenant: int | None
    per_cloud: int | None
    window_s: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Breakers, on by default. The defaults protect an estate whose owner never read about them."""

    disruptive: ClassLimits = ClassLimits(10, 50, 50, 3_600)
    destructive: ClassLimits = ClassLimits(3, 10, 10, 3_600)
    retirement: ClassLimits = ClassLimits(1_000, 1_000, 1_000, 60)
    vanish_fraction: float = 0.5
    """Part of a cloud's known nodes that may be missing from one listing before the listing itself is doubted."""
    vanish_min: int = 3
    """Fewer missing nodes than this are never suspicious."""
    vanish_grace_s: int = 900
    """Seconds after which a doubted listing is believed, if the cloud also denies the nodes one by one."""
    shrink_fraction: float = 0.5
    """Part of an author's members that a changed file may drop before it is held."""
    shrink_min: int = 2
    shrink_grace_s: int = 3_600
    first_tick_hold: bool = True
    """Whether the first tick after a start holds destruction that was born of observation."""
    verify_per_tick: int = 20
    """Missing nodes that are asked for one by one, per cloud and tick."""
    end_orphans: bool = False
    """Orphans of our estate are ended, inside the destructive budget; by default they are only shown."""
    end_duplicates: bool = True
    """A second node of one incarnation, or a leftover of an ended one, is ended, inside its budget."""

    def of(self, action_class: ActionClass) -> ClassLimits | None:
        return {
            ActionClass.DISRUPTIVE: self.disruptive,
            ActionClass.DESTRUCTIVE: self.destructive,
            ActionClass.RETIREMENT: self.retirement,
        }.get(action_class)


def budgets(limits: Limits, action_class: ActionClass, tenant: str, set_uid: str, cloud: str) -> Iterator[Budget]:
    """The budgets that an action of this class on this set, tenant and cloud has to pass."""
    found = limits.of(action_class)
    if found is None:
        return
    if found.per_set is not None:
        yield Budget(f"{action_class} per set", action_class, found.per_set, found.window_s, set_uid=set_uid)
    if found.per_tenant is not None:
        yield Budget(
            f"{action_class} per tenant {tenant}", action_class, found.per_tenant, found.window_s, tenant=tenant
        )
    if found.per_cloud is not None:
        yield Budget(f"{action_class} per cloud {cloud}", action_class, found.per_cloud, found.window_s, cloud=cloud)


@dataclass(frozen=True, slots=True)
class Confirmations:
    """What people let pass although a breaker would hold it: subject -> until when."""

    until: Mapping[str, dt.datetime] = field(default_factory=dict)

    def cover(self, subject: str, now: dt.datetime) -> bool:
        until = self.until.get(subject)
        return until is not None and now < until
