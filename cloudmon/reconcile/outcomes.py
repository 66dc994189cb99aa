"""What the outcome of a call changes: the intent, and the row that waits for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from cloudmon.model.actions import OPEN_INTENTS, IntentState, LogEntry, Outcome, Verb
from cloudmon.model.appliances import ApplianceState, Cause, HistoryEntry, IncarnationState
from cloudmon.model.changes import Change, Expect, IncarnationUpdate, IntentUpdate
from cloudmon.model.nodes import Node
from cloudmon.model.sets import Healing
from cloudmon.model.usage import Dimension, Mark
from cloudmon.reconcile import adoption, setbacks, tries
from cloudmon.reconcile.case import Whose
from cloudmon.reconcile.plan import Step
from cloudmon.reconcile.setbacks import Whom

_PURSUED = frozenset({Verb.TERMINATE, Verb.SNAPSHOT_END, Verb.PEERS_OPEN, Verb.PEERS_CLOSE})
"""What is tried on whatever the cloud says."""


def record(  # noqa: PLR0913  # one thing each, named by the caller
    step: Step, outcome: Outcome, node: Node | None, *, attempts: int, healing: Healing, set_name: str, now: dt.datetime
) -> Change:
    """The change that writes an outcome down.

    Arguments:
        step: what was performed.
        outcome: what it came to.
        node: what the cloud answered to a launch; None for other verbs and failures.
        attempts: failed actions of this appliance so far.
        healing: the set's policy.
        set_name: for people.
        now: the instant after the call.
    """
    intent = step.intent
    if intent.verb is Verb.LAUNCH and outcome.accepted and node is not None:
        return _launched(step, node, now)
    if intent.verb is Verb.LAUNCH and outcome.final:
        return _not_launched(step, outcome, attempts, healing, set_name, now)
    if intent.verb is Verb.SNAPSHOT and (outcome.accepted or outcome.final):
        return _kept(step, outcome, now)
    if intent.verb is Verb.SNAPSHOT_END and outcome.accepted:
        return _forgotten(step, now)
    if outcome.accepted:
        return _accepted(step, outcome, now)
    if adoption.given_up(intent, outcome, healing.max_attempts):
        return adoption.not_tagged(step, outcome, set_name, now)
    if not outcome.final or intent.verb in _PURSUED:
        return _later(step, outcome, now)
    return _failed(step, outcome, attempts, healing, now)


def _moved(step: Step, state: IntentState, values: Mapping[str, object]) -> IntentUpdate:
    """Where the intent stands after its call, if it is as its step left it: what a sighting closed meanwhile stays
    closed, and an incident is one until its end is seen."""
    intent = step.intent
    if intent.state is not IntentState.INCIDENT:
        return IntentUpdate(intent.id, frozenset({IntentState.RECORDED}), state, values)
    after = IntentState.INCIDENT if state in OPEN_INTENTS else state
    return IntentUpdate(intent.id, frozenset({IntentState.INCIDENT}), after, values)


def _log(step: Step, kind: str, now: dt.datetime, **body: object) -> LogEntry:
    intent = step.intent
    return LogEntry(
        intent.appliance.set_uid or "estate", now, kind, intent.id,
        {"verb": intent.verb.value, "ordinal": intent.appliance.ordinal, "incarnation": intent.incarnation, **body},
    )  # fmt: skip


def _launched(step: Step, node: Node, now: dt.datetime) -> Change:
    """The cloud took the order and named the node: from here on it is paid for."""
    intent = step.intent
    created = node.created_at
    at = created if created is not None and intent.created_at - dt.timedelta(seconds=2) <= created <= now else now
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        expect=Expect(ApplianceState.LAUNCHING, intent.incarnation),
        member={"node_id": node.id, "location": node.location},
        incarnations=(IncarnationUpdate(intent.incarnation, {"node_id": node.id, "since": at}),),
        intents=(_moved(step, IntentState.PERFORMED, {"node_id": node.id, "error": ""}),),
        usage=(
            Whose(intent.tenant, *intent.appliance, intent.incarnation, intent.cloud, node.id).event(
                Dimension.NODE_RUNNING,
                Mark.BEGAN,
                at,
                {"source": "cloud" if at is created else "command", "intent": intent.id, "word": node.word},
            ),
        ),
        log=(_log(step, "intent.performed", now, node=node.id, cloud=intent.cloud),),
    )


def _not_launched(
    step: Step, outcome: Outcome, attempts: int, healing: Healing, set_name: str, now: dt.datetime
) -> Change:
    """Definitely refused: no node was made, the next offer may be tried, a bounded number of times."""
    intent = step.intent
    uid, ordinal = intent.appliance
    whom = Whom(intent.appliance, intent.tenant, set_name, healing)
    evidence = {"intent": intent.id, "error": outcome.error}
    failed = setbacks.launch_failed(whom, attempts, outcome.error, evidence, now, next_at_once=True)
    if outcome.retry_at is not None:
        failed = failed._replace(retry_at=max(outcome.retry_at, failed.retry_at or outcome.retry_at))
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        expect=Expect(ApplianceState.LAUNCHING, intent.incarnation),
        member={"state": ApplianceState.REQUESTED, "since": now, "node_id": "", **failed.values},
        history=HistoryEntry(
            uid, ordinal, now, ApplianceState.LAUNCHING, ApplianceState.REQUESTED, Cause.FAULT, outcome.error,
            {"intent": intent.id},
        ),
        incarnations=(
            IncarnationUpdate(
                intent.incarnation, {"state": IncarnationState.FAILED, "until": now, "cause": Cause.FAULT}
            ),
        ),
        intents=(
            _moved(step, IntentState.FAILED, {"error": outcome.error, "ended_at": now}),
        ),
        findings=failed.findings,
        log=(_log(step, "intent.failed", now, error=outcome.error),),
    )  # fmt: skip


def _kept(step: Step, outcome: Outcome, now: dt.datetime) -> Change:
    """A snapshot is begun, which is all that there is to see of it, or cannot be had; its node is as it was."""
    intent = step.intent
    values: dict[str, object] = {"error": outcome.error, "ended_at": now}
    if outcome.accepted:
        values["result"] = {"snapshot": outcome.made}
        state, entry = IntentState.DONE, _log(step, "intent.done", now, snapshot=outcome.made)
    else:
        state, entry = IntentState.FAILED, _log(step, "intent.failed", now, error=outcome.error)
    return Change(
        tenant=intent.tenant, appliance=intent.appliance, intents=(_moved(step, state, values),), log=(entry,)
    )


def _forgotten(step: Step, now: dt.datetime) -> Change:
    """A snapshot is deleted, which is all that there is to see of it."""
    return Change(
        tenant=step.intent.tenant,
        appliance=step.intent.appliance,
        intents=(_moved(step, IntentState.DONE, {"error": "", "ended_at": now}),),
        findings=(tries.ended(step.intent),),
        log=(_log(step, "intent.done", now),),
    )


def _accepted(step: Step, outcome: Outcome, now: dt.datetime) -> Change:
    intent = step.intent
    body: dict[str, object] = {"performed_as": outcome.verb.value} if outcome.verb is not None else {}
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        intents=(_moved(step, IntentState.PERFORMED, {"error": ""}),),
        log=(_log(step, "intent.performed", now, **body),),
    )


def _later(step: Step, outcome: Outcome, now: dt.datetime) -> Change:
    """Perhaps performed, perhaps not; or what is never given up: a termination, the end of a snapshot, or what a group
    of peers is to be."""
    intent = step.intent
    wait = dt.timedelta(seconds=min(900, 15 * 2 ** min(intent.attempts, 6)))
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        intents=(
            _moved(step, IntentState.RECORDED, {"error": outcome.error, "retry_at": outcome.retry_at or now + wait}),
        ),
        log=(_log(step, "intent.unanswered", now, error=outcome.error),) if intent.attempts == 0 else (),
    )


def _failed(step: Step, outcome: Outcome, attempts: int, healing: Healing, now: dt.datetime) -> Change:
    """A power action that the cloud refused; the appliance is looked at anew after a pause."""
    intent = step.intent
    retry_at = outcome.retry_at or now + setbacks.pause(healing, attempts + 1)
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        member={"attempts": attempts + 1, "retry_at": retry_at},
        intents=(
            _moved(step, IntentState.FAILED, {"error": outcome.error, "ended_at": now}),
        ),
        log=(_log(step, "intent.failed", now, error=outcome.error),),
    )  # fmt: skip
