"""Incarnations that are to end, and are tried until no cloud shows a node of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from cloudmon.model.actions import ActionClass, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import Cause, Incarnation, IncarnationState
from cloudmon.model.changes import Change, FindingEnd, IncarnationUpdate
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import tries
from cloudmon.reconcile.case import Whose
from cloudmon.reconcile.picture import CloudView, Condition, Moment
from cloudmon.reconcile.plan import Step, Waiting

RETRY_S = 30
RETRY_MAX_S = 900


@dataclass(frozen=True, slots=True)
class Ending:
    """One incarnation that is to end, now."""

    row: Incarnation
    set_name: str
    view: CloudView | None
    node: Node | None
    condition: Condition
    intent: Intent | None
    moment: Moment
    findings: Mapping[tuple[FindingKind, str], Finding]

    @property
    def subject(self) -> str:
        return f"{self.row.set_uid}/{self.row.ordinal}#{self.row.number}"

    @property
    def seen_at(self) -> dt.datetime:
        return self.view.observed_at if self.view is not None else self.moment.now


def pursue(ending: Ending) -> Step | Change | Waiting | None:
    """What is due for one incarnation that is to end."""
    row, intent, now = ending.row, ending.intent, ending.moment.now
    # Nothing can be known: absence in an unhealthy view proves nothing, and an order could not be confirmed.
    if ending.view is None or not ending.view.healthy:
        return Waiting(ending.subject, f"cloud {row.cloud} is not seen", None)
    # It is no more.
    if ending.condition is Condition.GONE:
        return _ended(ending)
    # Its id was never learned, and a healthy listing past all lag shows no node with its token.
    if not row.node_id and ending.node is None and ending.view.proves_absence(row.last_call_at):
        return _ended(ending)
    if ending.condition is Condition.UNSEEN and not row.node_id:
        return Waiting(ending.subject, "may have a node that is not seen yet", None)
    # The node that a lost answer would have named: it was paid for all along.
    if ending.node is not None and not row.node_id:
        return _learn(ending)
    if intent is None:
        return _terminate(ending)
    if intent.retry_at is not None and now < intent.retry_at:
        return Waiting(ending.subject, f"its termination is tried again: {intent.error}", intent.retry_at)
    # On its way by this very process.
    if intent.id in ending.moment.in_flight:
        return Waiting(ending.subject, "its termination is on its way", None)
    # Accepted, and clouds take their time; leaving is a good sign.
    patience = min(RETRY_MAX_S, RETRY_S * 2 ** min(intent.attempts, 10))
    if tries.accepted(intent) and row.last_call_at is not None:
        due = row.last_call_at + cases.seconds(max(patience, ending.view.lag_s + ending.view.call_timeout_s))
        if now < due:
            return Waiting(ending.subject, "its termination was accepted", due)
    return _again(ending, intent)


def _terminate(ending: Ending) -> Step:
    """An ending whose intent was lost or given up gets a new one."""
    row, moment = ending.row, ending.moment
    commanded = row.cause is Cause.COMMANDED
    intent = Intent(
        id=moment.new_id(),
        appliance=ApplianceId(row.set_uid, row.ordinal),
        tenant=row.tenant,
        verb=Verb.TERMINATE,
        action_class=ActionClass.RETIREMENT if commanded else ActionClass.DESTRUCTIVE,
        origin=Origin.WANTED if commanded else Origin.OBSERVATION,
        incarnation=row.number,
        token=row.token,
        cloud=row.cloud,
        node_id=row.node_id,
        reason="its incarnation is to end and the node is still there",
        evidence={"condition": ending.condition.value, "seen_at": ending.seen_at.isoformat()},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
    )
    return Step(
        intent,
        Change(
            tenant=row.tenant,
            appliance=ApplianceId(row.set_uid, row.ordinal),
            incarnations=(IncarnationUpdate(row.number, {"last_call_at": moment.now}),),
            opens_intent=intent,
            log=(
                _log(
                    ending, "intent.recorded", intent.id, verb="terminate", cloud=row.cloud, node=row.node_id,
                    reason=intent.reason, action_class=intent.action_class.value, origin=intent.origin.value,
                ),
            ),
        ),
    )  # fmt: skip


def _again(ending: Ending, intent: Intent) -> Step:
    row, moment = ending.row, ending.moment
    message = f"{ending.set_name}/{row.ordinal}: node {row.node_id} on {row.cloud} does not end"
    found = tries.again(intent, moment, ending.findings, chain=row.set_uid, message=message)
    return Step(
        found.intent,
        Change(
            tenant=row.tenant,
            appliance=ApplianceId(row.set_uid, row.ordinal),
            incarnations=(IncarnationUpdate(row.number, {"last_call_at": moment.now}),),
            intents=(found.update,),
            findings=found.findings,
            log=found.log,
        ),
        again=True,
    )


def _ended(ending: Ending) -> Change:
    row, intent, now = ending.row, ending.intent, ending.moment.now
    evidence = {
        "source": "absence", "condition": ending.condition.value, "seen_at": ending.seen_at.isoformat()
    }  # fmt: skip
    findings: tuple[FindingEnd, ...] = ()
    log: tuple[LogEntry, ...] = (_log(ending, "incarnation.ended", str(row.number), node=row.node_id, cloud=row.cloud),)
    if intent is not None:
        findings = (tries.ended(intent),)
        log = (*log, _log(ending, "intent.done", intent.id, verb=intent.verb.value))
    node, found = ending.node, cases.Found()
    # It was there when its end was ordered last: a cloud whose clock is behind says otherwise.
    known_since = max(row.since or row.opened_at, row.last_call_at or row.opened_at)
    said_at = cases.ended_at(node, known_since, ending.seen_at)
    if node is not None and not row.node_id:
        found = cases.first_found(_whose(row, node.id), node, ending.seen_at, row.opened_at)
    ends = {"state": IncarnationState.ENDED, "until": said_at or ending.seen_at}
    return Change(
        tenant=row.tenant,
        appliance=ApplianceId(row.set_uid, row.ordinal),
        incarnations=(IncarnationUpdate(row.number, {**found.values, **ends}),),
        intents=cases.close_intent(intent, IntentState.DONE, now),
        usage=(
            *found.usage,
            *_whose(row, node.id if node is not None else row.node_id).gone(node, said_at, ending.seen_at, evidence),
        ),
        findings=findings,
        log=log,
    )


def _learn(ending: Ending) -> Change:
    row, node = ending.row, ending.node
    assert node is not None  # noqa: S101  # the caller looked
    found = cases.first_found(_whose(row, node.id), node, ending.seen_at, row.opened_at)
    return Change(
        tenant=row.tenant,
        appliance=ApplianceId(row.set_uid, row.ordinal),
        incarnations=(IncarnationUpdate(row.number, found.values),),
        usage=found.usage,
        log=(_log(ending, "incarnation.found", str(row.number), node=node.id, cloud=row.cloud),),
    )


def _whose(row: Incarnation, node_id: str) -> Whose:
    return Whose(row.tenant, row.set_uid, row.ordinal, row.number, row.cloud, node_id)


def _log(ending: Ending, kind: str, subject: str, **body: object) -> LogEntry:
    row = ending.row
    return LogEntry(
        row.set_uid, ending.moment.now, kind, subject, {"ordinal": row.ordinal, "incarnation": row.number, **body}
    )
