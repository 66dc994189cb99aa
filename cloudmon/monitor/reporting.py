"""A plan in the words of people."""

from __future__ import annotations

import datetime as dt

from cloudmon.model.actions import ActionClass, Verb
from cloudmon.model.offers import Price
from cloudmon.model.sets import ApplianceSet
from cloudmon.monitor.reports import PlanRow, Wait
from cloudmon.reconcile import leases
from cloudmon.reconcile.picture import Estate
from cloudmon.reconcile.plan import Plan, Step
from cloudmon.reconcile.wanted import Put, Wanted


def rows(plan: Plan, estate: Estate) -> tuple[PlanRow, ...]:
    """What passes, then what is held back, or waits for its turn."""
    found = [_row(step, estate, "") for step in plan.steps]
    found += [_row(held.step, estate, held.breaker) for held in plan.held]
    for waiting in plan.waiting:
        if waiting.replaced:
            name, destructive = _named(waiting.subject, estate), ActionClass.DESTRUCTIVE.value
            found.append(PlanRow(name, Verb.TERMINATE.value, destructive, waiting.replaced, waiting.reason))
    for back in plan.generations:
        aset = estate.sets[back.fresh.uid]
        found.append(PlanRow(aset.name, "change", ActionClass.SAFE.value, back.fresh.reason))
    for update in plan.set_updates:
        aset = estate.sets[update.uid]
        found.append(PlanRow(aset.name, update.kind, ActionClass.SAFE.value, update.message))
    return tuple(found)


def wanted_rows(wanted: Wanted) -> tuple[PlanRow, ...]:
    """What becomes of sets, what is held back last."""
    return (
        *(_put_row(put, "") for put in wanted.puts),
        *(_leaving_row(aset, "") for aset in wanted.retire),
        *(_put_row(put, wanted.held) for put in wanted.shrinking),
        *(_leaving_row(aset, wanted.held) for aset in wanted.leaving),
    )


def _put_row(put: Put, held: str) -> PlanRow:
    verb = "create" if put.previous is None else "change"
    reason = f"{put.spec.count} appliances of template {put.spec.template.name}"
    if put.previous is not None and put.previous.count != put.spec.count:
        reason = f"{put.previous.count} → {reason}"
    return PlanRow(put.spec.name, verb, ActionClass.SAFE.value, reason, held)


def _leaving_row(aset: ApplianceSet, held: str) -> PlanRow:
    return PlanRow(aset.name, "retire", ActionClass.RETIREMENT.value, "is not named any more", held)


def waits(plan: Plan, estate: Estate) -> tuple[Wait, ...]:
    """Who waits for what."""
    return tuple(Wait(_named(one.subject, estate), one.reason, one.until) for one in plan.waiting if not one.replaced)


def _named(subject: str, estate: Estate) -> str:
    uid, _, rest = subject.rpartition("/")
    aset = estate.sets.get(uid)
    return f"{aset.name}/{rest}" if aset is not None else subject


def subject(estate: Estate, set_uid: str, ordinal: int) -> str:
    aset = estate.sets.get(set_uid)
    name = aset.name if aset is not None else set_uid
    return f"{name}/{ordinal}" if ordinal else name


def _row(step: Step, estate: Estate, held: str) -> PlanRow:
    intent = step.intent
    price: Price | None = step.offer.price if step.offer is not None else None
    uid, ordinal = intent.appliance
    return PlanRow(
        subject(estate, uid, ordinal) if uid else f"{intent.cloud}:{intent.node_id}",
        f"{intent.verb}{' (again)' if step.again else ''}",
        intent.action_class.value,
        intent.reason,
        held,
        intent.cloud,
        intent.offer,
        price,
    )


def next_at(plan: Plan, estate: Estate, now: dt.datetime) -> dt.datetime | None:
    """When the next thing that is waited for falls due."""
    instants = [waiting.until for waiting in plan.waiting if waiting.until is not None]
    for aset in estate.sets.values():
        due = leases.due_at(aset, now)
        if due is not None:
            instants.append(due)
    return min(instants) if instants else None
