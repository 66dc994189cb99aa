"""Taking nodes that exist already into a set: where there is room, and what becomes of one whose tags are not written.

Until its tags name its new appliance a node that carried others is not lost to that appliance, and once they cannot
be written it is given back: it goes on as what it was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry, Outcome, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Member, Power
from cloudmon.model.changes import Change, Expect, FindingEnd, IncarnationUpdate, IntentUpdate
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import DEFAULT_TENANT, TAG_TENANT, Token
from cloudmon.model.nodes import ENDED, Node
from cloudmon.model.requests import Request, RequestState
from cloudmon.model.sets import ApplianceSet, NextGeneration
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.case import Case, Whose
from cloudmon.reconcile.plan import Step
from cloudmon.reconcile.requests import Answer

CARRIED = "carried"
"""In an adoption's evidence: the token that the node came with."""


# --- room -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """Who takes the nodes."""

    members: Sequence[Member] = ()
    """As many as there are nodes, as they will be once ``generation`` is written."""
    generation: NextGeneration | None = None
    """What the set has to become first; None when it has places enough."""
    refusal: str = ""
    """Why there is no room; empty when there is."""


def room(  # one thing each, named by the caller
    aset: ApplianceSet, members: Sequence[Member], nodes: Sequence[Node], ordinal: int | None, author: str
) -> Room:
    """Members without a node for ``nodes``, in their order; the set grows where there are not enough.

    A node that says it is one of them becomes that one again, where that one is free.

    Arguments:
        aset: an active set.
        members: all of its rows.
        nodes: what is to be adopted.
        ordinal: the one appliance that is to take the node; None leaves the choice.
        author: who has the set grow.
    """
    name, size = aset.name, aset.spec.count
    rows = {m.ordinal: m for m in members}
    free = {m.ordinal: m for m in members if m.state is ApplianceState.REQUESTED and m.ordinal <= size}
    if ordinal is not None:
        free = {ordinal: free[ordinal]} if ordinal in free else {}
        if len(free) < len(nodes):
            return Room(refusal=f"{name} has no free appliance with that ordinal; leave the ordinal out")
    while len(free) < len(nodes):
        size += 1
        row = rows.get(size)
        if row is not None and row.state not in (ApplianceState.RETIRED, ApplianceState.REQUESTED):
            return Room(refusal=f"{name} would grow by {name}/{size}, which is still {row.state}; ask again after that")
        free[size] = _as_wanted(aset, size, row)
    taken: dict[str, Member] = {}
    for node in nodes:
        own = _token(node)
        if own is not None and own.set_uid == aset.uid and own.ordinal in free:
            taken[node.id] = free.pop(own.ordinal)
    left = iter(free.values())
    found = [taken[node.id] if node.id in taken else next(left) for node in nodes]
    if size == aset.spec.count:
        return Room(found)
    spec = replace(aset.spec, count=size)
    return Room(found, NextGeneration(aset.uid, aset.generation, spec, author, "grows by adoption"))


def number(member: Member, node: Node, others: Iterable[Node]) -> int:
    """Of the incarnation that ``node`` becomes: its own, where it says that it is a later one of this very appliance
    than is known; else the next one whose token no other node carries."""
    own = _token(node)
    if own is not None and own.appliance == member.id and own.incarnation > member.incarnation:
        return own.incarnation
    tokens = [token for token in map(_token, others) if token is not None and token.appliance == member.id]
    return 1 + max([member.incarnation, *(token.incarnation for token in tokens)])


def _token(node: Node) -> Token | None:
    return Token.parse(node.token) if node.token else None


def _as_wanted(aset: ApplianceSet, ordinal: int, row: Member | None) -> Member:
    """A member as it is once its set has grown so far."""
    state, wanted = ApplianceState.REQUESTED, Power.RUNNING
    if row is not None:
        return row._replace(state=state, wanted=wanted, node_id="")
    return Member(
        set_uid=aset.uid,
        ordinal=ordinal,
        tenant=aset.tenant,
        state=state,
        since=aset.created_at,
        wanted=wanted,
        incarnation=0,
        token="",
        cloud="",
        location="",
        node_id="",
        rung=0,
        attempts=0,
        retry_at=None,
    )


# --- its end ----------------------------------------------------------------------------------------------------------


def progress(request: Request, intents: Sequence[Intent]) -> Answer | None:
    """Whether an accepted adoption has come to its end; None while tags are still to be written or seen."""
    if not intents or any(intent.state in OPEN_INTENTS for intent in intents):
        return None
    name = request.arguments.get("set", "")
    by_ordinal = sorted(intents, key=lambda intent: intent.appliance.ordinal)
    done = ", ".join(f"{name}/{i.appliance.ordinal}" for i in by_ordinal if i.state is IntentState.DONE)
    failed = [i for i in by_ordinal if i.state is not IntentState.DONE]
    said = [f"adopted as {done}"] if done else []
    said += [f"adoption of {i.node_id} as {name}/{i.appliance.ordinal} failed: {i.error}" for i in failed]
    return Answer(RequestState.FAILED if failed else RequestState.DONE, "; ".join(said))


def given_up(intent: Intent, outcome: Outcome, most: int) -> bool:
    """Whether an adoption's tags are not tried any more: refused for good, or without an answer ``most`` times."""
    if intent.verb is not Verb.ADOPT or outcome.accepted:
        return False
    return outcome.final or (outcome.retry_at is None and intent.attempts + 1 >= most)


def not_tagged(step: Step, outcome: Outcome, set_name: str, now: dt.datetime) -> Change:
    """Its tags cannot be written. A node of no estate is its appliance's all the same, known by its id alone; whether
    one that came with other tags is given back is decided by what will be seen of it, see :func:`settle`."""
    intent = step.intent
    name = f"{set_name}/{intent.appliance.ordinal}"
    came_with = CARRIED in intent.evidence
    after = f"{name} has it without them; adopt it again once they can be written"
    if came_with:
        after = f"it stays what it was, and {name} without a node until somebody starts it"
    error = f"its tags cannot be written ({outcome.error}); {after}"
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        expect=Expect(ApplianceState.LAUNCHING, intent.incarnation) if came_with else None,
        # The last try may have done it after all: it is given back a whole lag later at the earliest.
        member={"since": now} if came_with else {},
        intents=(
            IntentUpdate(
                intent.id, frozenset({IntentState.RECORDED}), IntentState.FAILED, {"error": error, "ended_at": now}
            ),
        ),
        log=(
            LogEntry(
                intent.appliance.set_uid, now, "intent.failed", intent.id,
                {
                    "verb": intent.verb.value, "ordinal": intent.appliance.ordinal,
                    "incarnation": intent.incarnation, "error": error,
                },
            ),
        ),
    )  # fmt: skip


# --- a node that still says that it is another appliance's ------------------------------------------------------------


def another(case: Case) -> Node | None:
    """The living node that a launching appliance is to take, while it carries the token of another one."""
    member = case.member
    node = case.view.nodes.get(member.node_id) if case.view is not None else None
    if node is None or node.token in (None, member.token) or node.state in ENDED:
        return None
    # Its own launch named that id: the cloud gave it to somebody else's since.
    return None if case.intent is not None and case.intent.verb is not Verb.ADOPT else node


def settle(case: Case, node: Node) -> Change | None:
    """None while its tags may still come to be what they should; then the node is given back."""
    if case.intent is not None or case.view is None or not case.view.proves_absence(case.member.since):
        return None
    member, reason = case.member, f"node {node.id} kept the tags that it came with, and is given back"
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        # Nobody asked for a new node in its place.
        member={"state": ApplianceState.REQUESTED, "since": case.now, "node_id": "", "wanted": Power.STOPPED},
        history=cases.history(case, ApplianceState.REQUESTED, Cause.FAULT, reason),
        incarnations=(
            IncarnationUpdate(
                member.incarnation, {"state": IncarnationState.ENDED, "until": case.seen_at, "cause": Cause.FAULT}
            ),
        ),
        usage=(*cases.whose(member).ended(case.seen_at, {"source": "adoption"}), *_goes_on(case, node)),
        timers=cases.clear(case, *case.timers),
        findings=(FindingEnd(FindingKind.FAULT, case.subject),),
        log=(cases.log(case, "appliance.given-back", f"{member.ordinal}", node=node.id, reason=reason),),
    )


def _goes_on(case: Case, node: Node) -> tuple[UsageEvent, ...]:
    """The usage of what it was, from here on: the sweep will say that it began when the node did, which is known."""
    token = _token(node)
    if token is None:
        return ()
    tenant = node.tags.get(TAG_TENANT, DEFAULT_TENANT)
    whose = Whose(tenant, *token.appliance, token.incarnation, case.member.cloud, node.id)
    return (whose.event(Dimension.NODE_RUNNING, Mark.BEGAN, case.seen_at, {"source": "adoption", "word": node.word}),)
