"""What is to be written of calls that came back from clouds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import structlog

from cloudmon.model.actions import Outcome
from cloudmon.model.changes import Change
from cloudmon.model.nodes import Node
from cloudmon.model.sets import ApplianceSet, Healing
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.act import Call
from cloudmon.reconcile import outcomes
from cloudmon.store import Store

_log = structlog.get_logger(__name__)

Landed = tuple[Call, Outcome, Node | None]


def changes(store: Store, landed: Sequence[Landed], now: dt.datetime) -> list[Change]:
    """One change for each of these calls; what was refused counts against its appliance."""
    sets: Mapping[str, ApplianceSet] = {}
    if not all(outcome.accepted for _, outcome, _ in landed):
        sets = {aset.uid: aset for aset in store.sets.active(EVERYONE)}
    return [_change(store, one, sets, now) for one in landed]


def _change(store: Store, landed: Landed, sets: Mapping[str, ApplianceSet], now: dt.datetime) -> Change:
    call, outcome, node = landed
    intent = call.step.intent
    member = store.members.get(EVERYONE, intent.appliance) if not outcome.accepted else None
    aset = sets.get(intent.appliance.set_uid)
    if not outcome.accepted:
        _log.warning("action failed", intent=intent.id, verb=intent.verb.value, cloud=intent.cloud, error=outcome.error)
    return outcomes.record(
        call.step,
        outcome,
        node,
        attempts=member.attempts if member is not None else 0,
        healing=aset.spec.healing if aset is not None else Healing(),
        set_name=aset.name if aset is not None else intent.appliance.set_uid,
        now=now,
    )
