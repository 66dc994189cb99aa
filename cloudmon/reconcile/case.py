"""One appliance at one moment, and the changes that can be made of it.

Every change carries its condition, its history and its log line, so that no caller can forget one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cloudmon.model.actions import CLASS_OF, OPEN_INTENTS, ActionClass, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, HistoryEntry, IncarnationState, Member, Power
from cloudmon.model.changes import (
    Change,
    Expect,
    FindingEnd,
    IncarnationUpdate,
    IntentUpdate,
    Timer,
    TimerClear,
    TimerKind,
)
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.model.usage import Dimension, Mark, UsageEvent, node_event
from cloudmon.reconcile import setbacks
from cloudmon.reconcile.picture import CloudView, Condition, Moment
from cloudmon.reconcile.setbacks import Setback, Whom

STOPPED_STATES = frozenset({ApplianceState.STOPPED, ApplianceState.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is known of one member now."""

    member: Member
    aset: ApplianceSet
    view: CloudView | None
    """Of the cloud of its current incarnation; None when it has none, or the cloud is not configured any more."""
    node: Node | None
    condition: Condition
    intent: Intent | None
    """The open intent of its current incarnation."""
    timers: Mapping[TimerKind, dt.datetime]
    moment: Moment
    findings: Mapping[tuple[FindingKind, str], Finding] = field(default_factory=dict)

    @property
    def now(self) -> dt.datetime:
        return self.moment.now

    @property
    def subject(self) -> str:
        return f"{self.member.set_uid}/{self.member.ordinal}"

    @property
    def seen_at(self) -> dt.datetime:
        """The instant that a fact of this tick's view is about."""
        return self.view.observed_at if self.view is not None else self.moment.now

    def later(self, seconds: float) -> dt.datetime:
        return self.moment.now + dt.timedelta(seconds=seconds)

    def over(self, kind: TimerKind, seconds: float) -> bool:
        """Whether a timer runs for at least so long."""
        since = self.timers.get(kind)
        return since is not None and self.moment.now >= since + dt.timedelta(seconds=seconds)

    def missed_at(self) -> dt.datetime:
        """When a node that is gone ended: when it was first missed, however long the cloud's denial took, if the cloud
        was watched ever since; else nobody knows, and what lies in between is left to be estimated."""
        missed = self.timers.get(TimerKind.ABSENT)
        watched = self.view.watched_since if self.view is not None else None
        return missed if missed is not None and watched is not None and missed >= watched else self.seen_at

    def control(self, kind: ControlKind) -> bool:
        return self.aset.control(kind, self.member.ordinal, self.moment.now) is not None

    def cause(self) -> Cause:
        """Why something unasked happened to its node."""
        if self.control(ControlKind.MAINTENANCE):
            return Cause.MAINTENANCE
        if self.view is not None and self.view.after_gap:
            return Cause.CLOUD_OUTAGE
        return Cause.FAULT

    def backoff(self, failures: int) -> dt.datetime:
        """When to try again after so many failures."""
        return self.now + setbacks.pause(self.aset.spec.healing, failures)

    def launch_failed(self, why: str) -> Setback:
        """What it means that its launch came to nothing, perhaps with a node for a while."""
        member = self.member
        whom = Whom(member.id, member.tenant, self.aset.name, self.aset.spec.healing)
        evidence = {"incarnation": member.incarnation, **self.evidence()}
        return setbacks.launch_failed(whom, member.attempts, why, evidence, self.now, next_at_once=False)

    def evidence(self) -> dict[str, object]:
        """What the decision saw."""
        found: dict[str, object] = {"condition": self.condition.value, "seen_at": self.seen_at.isoformat()}
        if self.node is not None:
            found["word"] = self.node.word
        return found


def seconds(count: float) -> dt.timedelta:
    return dt.timedelta(seconds=count)


def expect(member: Member) -> Expect:
    return Expect(member.state, member.incarnation)


def log(case: Case, kind: str, subject: str, **body: object) -> LogEntry:
    return LogEntry(chain=case.member.set_uid, at=case.now, kind=kind, subject=subject, body=body)


def history(case: Case, state: ApplianceState, cause: Cause, reason: str) -> HistoryEntry:
    member = case.member
    return HistoryEntry(member.set_uid, member.ordinal, case.now, member.state, state, cause, reason, case.evidence())


class Whose(NamedTuple):
    """Whose usage it is: a node, and the incarnation that it stands behind."""

    tenant: str
    set_uid: str
    ordinal: int
    incarnation: int
    cloud: str
    node_id: str

    def event(self, dimension: Dimension, mark: Mark, at: dt.datetime, evidence: Mapping[str, object]) -> UsageEvent:
        return node_event(**self._asdict(), dimension=dimension, mark=mark, at=at, evidence=evidence)

    def ended(self, at: dt.datetime, evidence: Mapping[str, object]) -> tuple[UsageEvent, ...]:
        """The end of whatever dimension was open for the node: an end without a beginning says nothing."""
        if not self.node_id:
            return ()
        return tuple(
            self.event(dimension, Mark.ENDED, at, evidence)
            for dimension in (Dimension.NODE_RUNNING, Dimension.NODE_STOPPED)
        )

    def gone(
        self, node: Node | None, said_at: dt.datetime | None, at: dt.datetime, evidence: Mapping[str, object]
    ) -> tuple[UsageEvent, ...]:
        """The end of whatever was open, at ``said_at`` by the cloud's own word, else at ``at``, as it was seen."""
        if node is None or said_at is None:
            return self.ended(at, evidence)
        word = {**evidence, "source": "cloud"}
        if node.created_at is not None:
            word["began_at"] = node.created_at.isoformat()
        # The end that was seen ends what the cloud's word cannot have meant: what was seen to begin after it.
        return (*self.ended(said_at, word), *(self.ended(at, evidence) if said_at < at else ()))


def whose(member: Member, node_id: str = "") -> Whose:
    """The member's current node, or the one that was just found to be it."""
    return Whose(
        member.tenant, member.set_uid, member.ordinal, member.incarnation, member.cloud, node_id or member.node_id
    )


def began_at(node: Node, seen_at: dt.datetime, not_before: dt.datetime) -> tuple[dt.datetime, str]:
    """When a node first seen now began, and whose word that is: the cloud's, where it can be true."""
    created = node.created_at
    if created is not None and not_before - dt.timedelta(seconds=2) <= created <= seen_at:
        return created, "cloud"
    return seen_at, "listing"


class Found(NamedTuple):
    """What is written once of a node whose id was not known: nothing, where there is none."""

    values: Mapping[str, object] = {}
    """Columns of its incarnation's row."""
    usage: tuple[UsageEvent, ...] = ()


def first_found(of: Whose, node: Node, seen_at: dt.datetime, not_before: dt.datetime) -> Found:
    """A node that is seen for the first time, perhaps when it is no more: it was paid for since it began."""
    at, source = began_at(node, seen_at, not_before)
    event = of.event(Dimension.NODE_RUNNING, Mark.BEGAN, at, {"source": source, "word": node.word})
    return Found({"node_id": node.id, "since": at}, (event,))


def ended_at(node: Node | None, known_since: dt.datetime, seen_at: dt.datetime) -> dt.datetime | None:
    """When a node that is no more ended, by its cloud's own word, where that can be true: not before it began, as far
    as that is known, and not after it was seen to be no more."""
    ended = node.ended_at if node is not None else None
    created = node.created_at if node is not None else None
    began = known_since if created is None else max(created, known_since)
    return ended if ended is not None and began <= ended <= seen_at else None


def retried(intent: Intent, moment: Moment) -> IntentUpdate:
    """One more try of the same intent, by this monitor. An incident stays one."""
    return IntentUpdate(
        intent.id,
        OPEN_INTENTS,
        IntentState.INCIDENT if intent.state is IntentState.INCIDENT else IntentState.RECORDED,
        {"attempts": intent.attempts + 1, "retry_at": None, "epoch": moment.epoch},
    )


def close_intent(
    intent: Intent | None, state: IntentState, now: dt.datetime, error: str = ""
) -> tuple[IntentUpdate, ...]:
    if intent is None:
        return ()
    return (IntentUpdate(intent.id, OPEN_INTENTS, state, {"ended_at": now, "error": error}),)


def intent_log(case: Case, intent: Intent | None, kind: str, **body: object) -> tuple[LogEntry, ...]:
    if intent is None:
        return ()
    return (log(case, kind, intent.id, verb=intent.verb.value, ordinal=case.member.ordinal, **body),)


def gone(case: Case, state: ApplianceState, cause: Cause, reason: str) -> Change:
    """The current node is no more: its incarnation ends, the appliance goes on without it."""
    member = case.member
    said_at = ended_at(case.node, member.since, case.seen_at)
    at, missed = case.seen_at if said_at else case.missed_at(), case.timers.get(TimerKind.ABSENT)
    ends, found = {"state": IncarnationState.ENDED, "until": said_at or at, "cause": cause}, Found()
    if case.node is not None and not member.node_id:
        found = first_found(whose(member, case.node.id), case.node, case.seen_at, member.since)
    evidence: dict[str, object] = {"source": "absence", **case.evidence()}
    if missed is not None and missed < at and not said_at:
        # It was missed, then the cloud was not watched: what lies between is nobody's knowledge.
        evidence["missed_at"] = missed.isoformat()
    values: dict[str, object] = {"state": state, "since": case.now, "node_id": "", **afresh(member)}
    if cause is Cause.FAULT:
        values |= setbacks.lost(case.aset.spec.healing, member.rung, case.now)
    incidents: tuple[Finding, ...] = ()
    if case.intent is not None and case.intent.verb is Verb.LAUNCH:
        failed = case.launch_failed(reason)
        values, incidents = values | failed.values, failed.findings
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=expect(member),
        member=values,
        history=history(case, state, cause, reason),
        incarnations=(IncarnationUpdate(member.incarnation, {**found.values, **ends}),),
        intents=close_intent(case.intent, IntentState.FAILED, case.now, reason),
        usage=(
            *found.usage, *whose(member, case.node.id if case.node is not None else "").gone(
                case.node, said_at, at, evidence
            ),
        ),
        timers=clear(case, TimerKind.ABSENT, TimerKind.FAULT, TimerKind.STEADY),
        findings=(FindingEnd(FindingKind.FAULT, case.subject), *incidents),
        log=(
            log(case, "appliance.lost", f"{member.ordinal}", incarnation=member.incarnation, reason=reason),
            *intent_log(case, case.intent, "intent.failed", reason=reason),
        ),
    )  # fmt: skip


def afresh(member: Member) -> Mapping[str, object]:
    """What a member without its node is wanted to be from now on: it was that node that was isolated, and not what
    comes after it."""
    return {"wanted": Power.RUNNING} if member.wanted is Power.ISOLATED else {}


def clear(case: Case, *kinds: TimerKind) -> tuple[Timer | TimerClear, ...]:
    member = case.member
    return tuple(TimerClear(member.set_uid, member.ordinal, kind) for kind in kinds if kind in case.timers)


def timer(case: Case, kind: TimerKind) -> Timer:
    return Timer(case.member.set_uid, case.member.ordinal, kind, case.now)


def incident(case: Case, message: str, **evidence: object) -> Finding:
    member = case.member
    return Finding(
        FindingKind.INCIDENT, case.subject, member.tenant, "critical", message,
        {"incarnation": member.incarnation, **evidence}, case.now,
    )  # fmt: skip


def new_intent(  # noqa: PLR0913  # one thing each, named by the caller
    case: Case,
    verb: Verb,
    *,
    origin: Origin,
    reason: str,
    action_class: ActionClass | None = None,
    incarnation: int | None = None,
    token: str | None = None,
    cloud: str | None = None,
    offer: str = "",
    request_id: str = "",
    evidence: Mapping[str, object] | None = None,
) -> Intent:
    """An intent on this appliance; unnamed parts are the current incarnation's."""
    member, moment = case.member, case.moment
    return Intent(
        id=moment.new_id(),
        appliance=ApplianceId(member.set_uid, member.ordinal),
        tenant=member.tenant,
        verb=verb,
        action_class=action_class or CLASS_OF[verb],
        origin=origin,
        incarnation=member.incarnation if incarnation is None else incarnation,
        token=member.token if token is None else token,
        cloud=member.cloud if cloud is None else cloud,
        node_id="" if verb is Verb.LAUNCH else member.node_id,
        reason=reason,
        evidence={**case.evidence(), **(evidence or {})},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
        offer=offer,
        request_id=request_id,
    )


def recorded(case: Case, intent: Intent) -> LogEntry:
    return log(
        case, "intent.recorded", intent.id, verb=intent.verb.value, ordinal=case.member.ordinal,
        incarnation=intent.incarnation, cloud=intent.cloud, node=intent.node_id, origin=intent.origin.value,
        action_class=intent.action_class.value, reason=intent.reason,
    )  # fmt: skip
