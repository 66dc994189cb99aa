"""Nodes that no row explains: orphans and duplicates of our own estate, leftovers, and wild nodes.

Our own are found, metered and, where the policy says so, ended inside the destructive budget. Wild ones are counted
and never touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cloudmon.model.actions import ActionClass, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, Incarnation, IncarnationState, Member
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import DEFAULT_TENANT, TAG_TENANT, ApplianceId, Token
from cloudmon.model.nodes import ENDED, ENDING, Node
from cloudmon.model.sets import ControlKind
from cloudmon.model.usage import Dimension, Mark
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import tries
from cloudmon.reconcile.case import Whose
from cloudmon.reconcile.picture import CloudView, Condition, Estate, Moment
from cloudmon.reconcile.plan import Step

ESTATE_CHAIN = "estate"

RETRY_S = 60
RETRY_MAX_S = 900


def unexplained(
    view: CloudView, estate: str, members: Collection[Member], incarnations: Iterable[Incarnation]
) -> Iterator[Node]:
    """Living nodes of our estate in this view that are neither the node of a member or open incarnation, nor, where
    that one's id is not known yet, carry its token.

    Arguments:
        view: one cloud.
        estate: our estate's id.
        members: those whose current incarnation is on this cloud.
        incarnations: open ones on this cloud.
    """
    ids = {member.node_id for member in members}
    ids.discard("")
    # A launch looks for its node by its token; what ended or was given up keeps its token and explains nothing.
    tokens = {m.token for m in members if not m.node_id and m.state is ApplianceState.LAUNCHING}
    for row in incarnations:
        if row.node_id:
            ids.add(row.node_id)
        else:
            tokens.add(row.token)
    for node in view.nodes.values():
        if node.estate != estate or node.id in ids or node.state in ENDED:
            continue
        if node.token in tokens:
            # The first node of a token explains it; another one with the same token is a duplicate.
            tokens.discard(node.token)
            continue
        yield node


@dataclass(frozen=True, slots=True)
class Stray:
    """A node of ours that no row explains, and what we know of its token."""

    node: Node
    cloud: str
    kind: FindingKind
    message: str
    appliance: ApplianceId
    incarnation: int
    tenant: str
    commanded: bool
    """Its end was ordered already: ending it again is part of a retirement."""
    metered_until: dt.datetime | None = None
    """Until when its row has metered this very node, taking it for ended."""

    @property
    def subject(self) -> str:
        return f"node:{self.cloud}:{self.node.id}"


def classify(node: Node, cloud: str, estate: Estate) -> Stray:
    """What a node of ours is that nothing explains."""
    token = Token.parse(node.token or "")
    row = estate.known.get(node.token or "")
    tenant = node.tags.get(TAG_TENANT, DEFAULT_TENANT)
    appliance = token.appliance if token is not None else ApplianceId("", 0)
    number = token.incarnation if token is not None else 0
    if row is None:
        message = f"node {node.id} on {cloud} carries our estate's tags, but no row of the store explains it"
        return Stray(node, cloud, FindingKind.ORPHAN, message, appliance, number, tenant, commanded=False)
    name = f"{row.set_uid}/{row.ordinal}#{row.number}"
    if row.cloud != cloud:
        # Its launch was asked of another cloud: it is of a time that the store does not know of any more.
        message = f"node {node.id} on {cloud} carries the token of {name}, which was launched on {row.cloud}"
        return Stray(node, cloud, FindingKind.ORPHAN, message, appliance, number, row.tenant, commanded=False)
    if row.state in (IncarnationState.ENDED, IncarnationState.FAILED):
        message = f"node {node.id} on {cloud} is a leftover of {name}, which has ended"
        commanded = row.cause is Cause.COMMANDED and row.node_id in ("", node.id)
        until = row.until if row.node_id == node.id else None
    else:
        message = f"node {node.id} on {cloud} is a second node of {name}"
        commanded, until = False, None
    return Stray(node, cloud, FindingKind.DUPLICATE, message, appliance, number, row.tenant, commanded, until)


def sweep(
    strays: Iterable[Stray], estate: Estate, moment: Moment, orphans_asked: frozenset[str]
) -> Iterator[Change | Step]:
    """Findings for strays, and their ends where policy or a person says so.

    ``orphans_asked`` names the subjects whose end a person asked for.
    """
    opened = {(finding.kind, finding.subject): finding for finding in estate.findings}
    pending = {f"node:{intent.cloud}:{intent.node_id}": intent for intent in estate.intents if intent.node_id}
    for stray in strays:
        # Seen first: written down and metered; acted on from the next tick.
        if (stray.kind, stray.subject) not in opened:
            yield _found(stray, moment)
            continue
        asked = stray.subject in orphans_asked
        wanted = moment.limits.end_orphans if stray.kind is FindingKind.ORPHAN else moment.limits.end_duplicates
        if not (wanted or asked) or stray.node.state in ENDING or _spared(stray, estate, moment, asked=asked):
            continue
        intent = pending.get(stray.subject)
        if intent is None:
            yield _end(stray, moment, asked=asked)
        elif _due(intent, moment):
            yield _again(stray, intent, moment, opened)


def _spared(stray: Stray, estate: Estate, moment: Moment, *, asked: bool) -> bool:
    """Whether somebody laid a pause or a protection upon its appliance. What retires is not held by a pause."""
    aset = estate.sets.get(stray.appliance.set_uid)
    if aset is None or stray.commanded:
        return False
    held = (ControlKind.PROTECT,) if asked else (ControlKind.PROTECT, ControlKind.PAUSE)
    return any(aset.control(kind, stray.appliance.ordinal, moment.now) is not None for kind in held)


def _due(intent: Intent, moment: Moment) -> bool:
    if intent.id in moment.in_flight:
        return False
    if intent.retry_at is not None:
        return moment.now >= intent.retry_at
    if not tries.accepted(intent):
        return True
    # Accepted, and clouds take their time: each try waits longer for its effect than the one before.
    waited = sum(min(RETRY_MAX_S, RETRY_S * 2 ** min(number, 10)) for number in range(intent.attempts + 1))
    return moment.now >= intent.created_at + dt.timedelta(seconds=waited)


def _found(stray: Stray, moment: Moment) -> Change:
    at = stray.node.created_at or moment.now
    if stray.metered_until is not None:
        # Its row has counted it so far; a beginning before that end would be lost in it.
        at = max(at, stray.metered_until)
    evidence = {
        "token": stray.node.token or "",
        "word": stray.node.word,
        "location": stray.node.location,
        "size": stray.node.size,
    }
    return Change(
        tenant=stray.tenant,
        usage=(
            Whose(stray.tenant, *stray.appliance, stray.incarnation, stray.cloud, stray.node.id).event(
                Dimension.NODE_RUNNING,
                Mark.BEGAN,
                min(at, moment.now),
                {"source": "cloud" if stray.node.created_at else "listing", "stray": stray.kind.value},
            ),
        ),
        findings=(
            Finding(stray.kind, stray.subject, stray.tenant, "warning", stray.message, evidence, moment.now),
        ),
        log=(
            LogEntry(
                ESTATE_CHAIN, moment.now, f"{stray.kind}.found", stray.subject, {"message": stray.message, **evidence}
            ),
        ),
    )  # fmt: skip


def _end(stray: Stray, moment: Moment, *, asked: bool) -> Step:
    origin = Origin.REQUEST if asked else Origin.WANTED if stray.commanded else Origin.OBSERVATION
    intent = Intent(
        id=moment.new_id(),
        appliance=stray.appliance,
        tenant=stray.tenant,
        verb=Verb.TERMINATE,
        action_class=ActionClass.RETIREMENT if stray.commanded else ActionClass.DESTRUCTIVE,
        origin=origin,
        incarnation=stray.incarnation,
        token=stray.node.token or "",
        cloud=stray.cloud,
        node_id=stray.node.id,
        reason=stray.message,
        evidence={"word": stray.node.word},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
    )
    entry = LogEntry(
        ESTATE_CHAIN, moment.now, "intent.recorded", intent.id,
        {"verb": "terminate", "cloud": stray.cloud, "node": stray.node.id, "reason": stray.message},
    )  # fmt: skip
    return Step(intent, Change(tenant=stray.tenant, opens_intent=intent, log=(entry,)))


def _again(stray: Stray, intent: Intent, moment: Moment, opened: Mapping[tuple[FindingKind, str], Finding]) -> Step:
    message = f"node {intent.node_id} on {intent.cloud}, which no row explains, does not end"
    found = tries.again(intent, moment, opened, chain=ESTATE_CHAIN, message=message)
    change = Change(tenant=stray.tenant, intents=(found.update,), findings=found.findings, log=found.log)
    return Step(found.intent, change, again=True)


def ended(
    estate: Estate, views: Mapping[str, CloudView], strays: Mapping[str, Stray], moment: Moment
) -> Iterator[Change]:
    """Strays that were found earlier and are no more, or are explained now."""
    intents = {f"node:{intent.cloud}:{intent.node_id}": intent for intent in estate.intents if intent.node_id}
    for finding in estate.findings:
        if finding.kind not in (FindingKind.ORPHAN, FindingKind.DUPLICATE) or finding.subject in strays:
            continue
        _, cloud, node_id = finding.subject.split(":", 2)
        view = views.get(cloud)
        if view is None or not view.healthy:
            continue
        condition = view.condition(node_id)
        if condition is not Condition.GONE:
            # It is there and a row explains it now: its usage goes on under that row.
            if condition is not Condition.UNSEEN:
                yield Change(tenant=finding.tenant, findings=(FindingEnd(finding.kind, finding.subject),))
            continue
        token = Token.parse(str(finding.evidence.get("token", "")))
        appliance = token.appliance if token is not None else ApplianceId("", 0)
        incarnation = token.incarnation if token is not None else 0
        intent, node = intents.get(finding.subject), view.nodes.get(node_id)
        said_at = cases.ended_at(node, finding.opened_at, view.observed_at)
        yield Change(
            tenant=finding.tenant,
            usage=Whose(finding.tenant, *appliance, incarnation, cloud, node_id).gone(
                node, said_at, view.observed_at, {"source": "absence"}
            ),
            intents=cases.close_intent(intent, IntentState.DONE, moment.now),
            findings=(
                FindingEnd(finding.kind, finding.subject), *((tries.ended(intent),) if intent is not None else ()),
            ),
            log=(
                LogEntry(ESTATE_CHAIN, moment.now, f"{finding.kind}.ended", finding.subject, {}),
                *((_log(intent, "intent.done", moment),) if intent is not None else ()),
            ),
        )  # fmt: skip


def unclaimed(estate: Estate, moment: Moment) -> Iterator[Change]:
    """Terminations that nobody pursues any more: what they were to end belongs to somebody again, or has ended as
    somebody else's. They failed, or would stay open for ever."""
    ending = {
        (ApplianceId(row.set_uid, row.ordinal), row.number): row.node_id
        for row in estate.incarnations
        if row.state is IncarnationState.ENDING
    }
    strays = {f.subject for f in estate.findings if f.kind in (FindingKind.ORPHAN, FindingKind.DUPLICATE)}
    for intent in estate.intents:
        if intent.verb is not Verb.TERMINATE or intent.id in moment.in_flight:
            continue
        pursued = ending.get((intent.appliance, intent.incarnation)) in ("", intent.node_id)
        if pursued or f"node:{intent.cloud}:{intent.node_id}" in strays:
            continue
        reason = "its node is not to end any more"
        yield Change(
            tenant=intent.tenant,
            intents=cases.close_intent(intent, IntentState.FAILED, moment.now, reason),
            findings=(tries.ended(intent),),
            log=(_log(intent, "intent.failed", moment, reason=reason),),
        )


def _log(intent: Intent, kind: str, moment: Moment, **body: object) -> LogEntry:
    told = {"verb": intent.verb.value, "cloud": intent.cloud, "node": intent.node_id}
    return LogEntry(ESTATE_CHAIN, moment.now, kind, intent.id, {**told, **body})


def wild(
    view: CloudView, estate: str, opened: Mapping[tuple[FindingKind, str], Finding], now: dt.datetime
) -> Change | None:
    """One finding a cloud that counts the nodes of no estate or of another one; written when the count changes."""
    foreign = sum(1 for node in view.nodes.values() if node.estate != estate and node.state not in ENDED)
    subject = f"cloud:{view.cloud}"
    found = opened.get((FindingKind.WILD, subject))
    if foreign == (found.evidence.get("nodes", 0) if found is not None else 0):
        return None
    if not foreign:
        return Change(tenant=DEFAULT_TENANT, findings=(FindingEnd(FindingKind.WILD, subject),))
    message = f"{foreign} nodes on {view.cloud} belong to no set of this estate; they are left alone"
    finding = Finding(FindingKind.WILD, subject, DEFAULT_TENANT, "info", message, {"nodes": foreign}, now)
    return Change(tenant=DEFAULT_TENANT, findings=(finding,))
