"""A plan in the words of people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

from cloudmon.model.actions import ActionClass, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.offers import Offer
from cloudmon.model.policies import Symptom
from cloudmon.model.sets import ApplianceSet
from cloudmon.monitor.reports import PlanRow, Wait
from cloudmon.reconcile import leases
from cloudmon.reconcile.picture import Estate
from cloudmon.reconcile.plan import Plan, Step
from cloudmon.reconcile.wanted import Put, Wanted


def rows(plan: Plan, estate: Estate, best: Mapping[str, Offer] | None = None) -> tuple[PlanRow, ...]:
    """What passes, then what is held back, or waits for its turn.

    Arguments:
        plan: the plan.
        estate: what it was made for.
        best: by set uid, the offer that a node in the place of another would have; None: nobody looked.
    """
    best = best or {}
    found = [_row(step, estate, "", best) for step in plan.steps]
    for held in plan.held:
        found.append(replace(_row(held.step, estate, held.breaker, best), until=held.until, lasts=True))
    for waiting in plan.waiting:
        if waiting.replaced:
            name, destructive = _named(waiting.subject, estate), ActionClass.DESTRUCTIVE.value
            offer = best.get(waiting.subject.rpartition("/")[0])
            key, price = (offer.key, offer.price) if offer is not None else ("", None)
            found.append(
                PlanRow(
                    name, Verb.TERMINATE.value, destructive, waiting.replaced, waiting.reason, offer=key, price=price,
                    lasts=waiting.lasts,
                )
            )  # fmt: skip
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


def replaced(plan: Plan) -> set[str]:
    """Uids of sets of which a member is to be replaced, now or once nothing holds it."""
    steps = (*plan.steps, *(held.step for held in plan.held))
    waiting = {one.subject.rpartition("/")[0] for one in plan.waiting if one.replaced}
    return waiting | {step.intent.appliance.set_uid for step in steps if _replaces(step)}


def waits(plan: Plan, estate: Estate) -> tuple[Wait, ...]:
    """Who waits for what."""
    return tuple(
        Wait(_named(one.subject, estate), one.reason, one.until, one.rule, one.lasts)
        for one in plan.waiting
        if not one.replaced
    )


def _named(subject: str, estate: Estate) -> str:
    uid, _, rest = subject.rpartition("/")
    aset = estate.sets.get(uid)
    return f"{aset.name}/{rest}" if aset is not None else subject


def subject(estate: Estate, set_uid: str, ordinal: int) -> str:
    aset = estate.sets.get(set_uid)
    name = aset.name if aset is not None else set_uid
    return f"{name}/{ordinal}" if ordinal else name


def _row(step: Step, estate: Estate, held: str, best: Mapping[str, Offer]) -> PlanRow:
    intent = step.intent
    uid, ordinal = intent.appliance
    offer = step.offer if step.offer is not None or not _replaces(step) else best.get(uid)
    symptom = _symptom(step, estate)
    return PlanRow(
        subject(estate, uid, ordinal) if uid else f"{intent.cloud}:{intent.node_id}",
        f"{intent.verb}{' (again)' if step.again else ''}",
        intent.action_class.value,
        intent.reason,
        held,
        intent.cloud,
        intent.offer or (offer.key if offer is not None else ""),
        offer.price if offer is not None else None,
        symptom.key if symptom is not None else "",
        symptom.facts if symptom is not None else {},
    )


def _replaces(step: Step) -> bool:
    """Whether the appliance gets another node once this one has ended."""
    return step.intent.verb is Verb.TERMINATE and step.change.member.get("state") is ApplianceState.REQUESTED


def _symptom(step: Step, estate: Estate) -> Symptom | None:
    """What it is to put right, where a rule wants it: one whose ladder it climbs, or climbed when it was decided."""
    climbed = {one.rule for one in step.change.rules}
    for symptom in estate.inside.symptoms.get(step.intent.appliance, ()):
        if symptom.key in climbed or symptom.state.intent_id == step.intent.id:
            return symptom
    return None


def next_at(plan: Plan, estate: Estate, now: dt.datetime) -> dt.datetime | None:
    """When the next thing that is waited for falls due."""
    instants = [waiting.until for waiting in plan.waiting if waiting.until is not None]
    for aset in estate.sets.values():
        due = leases.due_at(aset, now)
        if due is not None:
            instants.append(due)
    return min(instants) if instants else None
