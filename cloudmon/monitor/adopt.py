"""Takes nodes that exist already into a set: by id or by tag. A node of another estate is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloudmon.model.actions import CLASS_OF, Intent, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, HistoryEntry, Incarnation, IncarnationState, Member
from cloudmon.model.changes import Change, Expect, FindingEnd
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import TAG_ESTATE, Token
from cloudmon.model.nodes import ENDING, Node, NodeState
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.model.usage import Dimension, Mark, node_event
from cloudmon.monitor.asks import Desk
from cloudmon.reconcile import adoption
from cloudmon.reconcile import requests as asking
from cloudmon.reconcile.case import Whose
from cloudmon.reconcile.picture import CloudView, Moment
from cloudmon.reconcile.requests import Answer
from cloudmon.store import Store

_OFF = frozenset({NodeState.STOPPED, NodeState.SUSPENDED})
_SEEN = frozenset({ApplianceState.RUNNING, ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.ISOLATED})


def pending(store: Store) -> list[Request]:
    """Adoptions that nobody has looked at yet, to be read before the clouds are: a view that is older than what is
    asked knows nothing of a node that was made just before."""
    return [request for request in store.requests.pending(EVERYONE) if request.verb is RequestVerb.ADOPT]


def answer(store: Store, asked: Sequence[Request], views: Mapping[str, CloudView], moment: Moment, desk: Desk) -> bool:
    """Answer adoptions, those of :func:`pending`; True when the state table changed. One whose cloud is not seen
    waits."""
    changed = False
    for request in asked:
        cloud, _, node_id = request.target.partition(":")
        view = views.get(cloud)
        if view is None:
            desk.move(
                request,
                asking.refused(f"no cloud named {cloud} is configured; `cloudmon doctor` lists those that are"),
                moment.now,
            )
        elif view.healthy:
            others = [node for seen in views.values() for node in seen.nodes.values() if node.estate == store.estate]
            found = _adopt(store, request, view, node_id, others, moment)
            desk.move(request, found, moment.now)
            changed = True
    return changed


@dataclass(frozen=True, slots=True)
class _Taken:
    """Whose the nodes of one cloud are."""

    by_id: Mapping[str, str]
    by_token: Mapping[str, str]
    """Of nodes whose id is not known yet."""

    def owner(self, node: Node) -> str:
        return self.by_id.get(node.id) or self.by_token.get(node.token or "", "")


def _adopt(  # one thing each, named by the caller
    store: Store, request: Request, view: CloudView, node_id: str, others: Sequence[Node], moment: Moment
) -> Answer:
    name = request.arguments.get("set", "")
    aset = store.sets.named(Scope.of(request.tenant), name)
    if aset is None or aset.retired_at is not None or aset.retiring_since is not None:
        return asking.refused(f"there is no active set named {name}; name it in the configuration, with count = 0")
    ordinal = request.arguments.get("ordinal", "")
    if ordinal and not ordinal.isdecimal():
        return asking.refused(f"{ordinal!r} is no ordinal; leave it out, or name a number")
    taken = _taken(store, view.cloud)
    nodes = _nodes(request, view, node_id, taken)
    again = _tags_again(store, aset, nodes, view, request, moment)
    if again is not None:
        return again
    if not nodes:
        return asking.refused(f"cloud {view.cloud} shows no such node; its own console lists what there is")
    refusal = next((why for why in (_refusal(store, node, taken) for node in nodes) if why), "")
    if refusal:
        return asking.refused(refusal)
    rows = store.members.of_set(EVERYONE, aset.uid)
    room = adoption.room(aset, rows, nodes, int(ordinal) if ordinal else None, request.author)
    if room.refusal:
        return asking.refused(room.refusal)
    pairs = [
        (member, Token(store.estate, *member.id, adoption.number(member, node, others)), node)
        for member, node in zip(room.members, nodes, strict=True)
    ]
    # It would go on saying that it is another appliance.
    wrong = next((node for _, token, node in pairs if node.token not in (None, str(token))), None)
    if wrong is not None and "tag_node" not in view.verbs:
        return asking.refused(f"node {wrong.id} carries tags of this estate that cloud {view.cloud} cannot change")
    generation = aset.generation if room.generation is None else room.generation.follows + 1
    changes = [
        replace(found, **_no_stray_any_more(store, node, view, found))
        for member, token, node in pairs
        for found in (_change(member, token, generation, node, view, request, moment),)
    ]
    names = ", ".join(f"{name}/{member.ordinal}" for member in room.members)
    return Answer(
        RequestState.ACCEPTED, f"being adopted as {names}", changes=tuple(changes), generation=room.generation
    )


def _tags_again(  # one thing each, named by the caller
    store: Store, aset: ApplianceSet, nodes: Sequence[Node], view: CloudView, request: Request, moment: Moment
) -> Answer | None:
    """The answer where the one node is an appliance of this set already, without our tags: they are written."""
    if len(nodes) != 1 or nodes[0].token is not None or "tag_node" not in view.verbs:
        return None
    (node,) = nodes
    rows = store.members.of_set(EVERYONE, aset.uid)
    member = next((m for m in rows if (m.cloud, m.node_id) == (view.cloud, node.id) and m.state in _SEEN), None)
    if member is None or any(i.appliance == member.id for i in store.intents.open(EVERYONE)):
        return None
    intent = _intent(member, node, view, request, moment, aset.generation)
    change = Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=Expect(member.state, member.incarnation),
        opens_intent=intent,
        log=(_recorded(intent, moment),),
    )
    return Answer(
        RequestState.ACCEPTED, f"is {aset.name}/{member.ordinal}; its tags are being written", changes=(change,)
    )


def _taken(store: Store, cloud: str) -> _Taken:
    rows: list[Member | Incarnation] = [*store.members.all(EVERYONE), *store.incarnations.open(EVERYONE)]
    by_id: dict[str, str] = {}
    by_token: dict[str, str] = {}
    for row in rows:
        if row.cloud == cloud:
            whose = f"appliance {row.set_uid}/{row.ordinal}"
            if row.node_id:
                by_id[row.node_id] = whose
            elif isinstance(row, Incarnation) or row.state is ApplianceState.LAUNCHING:
                by_token[row.token] = whose
    return _Taken(by_id, by_token)


def _nodes(request: Request, view: CloudView, node_id: str, taken: _Taken) -> Sequence[Node]:
    """The node of that id, or all living ones that carry the tag and are nobody's yet."""
    if node_id != "*":
        node = view.nodes.get(node_id)
        return [node] if node is not None and node.state not in ENDING else []
    key, _, value = request.arguments.get("tag", "").partition("=")
    return [
        node
        for node in view.nodes.values()
        if node.tags.get(key) == value and node.state not in ENDING and node.estate is None and not taken.owner(node)
    ]


def _refusal(store: Store, node: Node, taken: _Taken) -> str:
    if node.estate is not None and node.estate != store.estate:
        return f"node {node.id} belongs to estate {node.estate}; where that is no more, take its tag {TAG_ESTATE} away"
    if taken.owner(node):
        return f"node {node.id} is {taken.owner(node)} already"
    return ""


def _no_stray_any_more(store: Store, node: Node, view: CloudView, change: Change) -> dict[str, Any]:
    """What ends with the finding about a stray: its usage goes on as the appliance's."""
    subject = f"node:{view.cloud}:{node.id}"
    kinds = (FindingKind.ORPHAN, FindingKind.DUPLICATE)
    opened = [f for f in store.findings.of(EVERYONE, subject) if f.ended_at is None and f.kind in kinds]
    if not opened:
        return {}
    token = Token.parse(str(opened[0].evidence.get("token", "")))
    whose = Whose(
        opened[0].tenant,
        token.set_uid if token is not None else "",
        token.ordinal if token is not None else 0,
        token.incarnation if token is not None else 0,
        view.cloud,
        node.id,
    )
    ends = whose.ended(view.observed_at, {"source": "adoption"})
    if any(Whose(*event[1:7]) == whose for event in change.usage):
        ends = ()  # it becomes what it said it was: its usage goes on
    return {
        "usage": (*ends, *change.usage),
        "findings": tuple(FindingEnd(finding.kind, subject) for finding in opened),
    }


def _change(  # noqa: PLR0913  # one thing each, named by the caller
    member: Member, named: Token, generation: int, node: Node, view: CloudView, request: Request, moment: Moment
) -> Change:
    number, token = named.incarnation, str(named)
    intent = _intent(member._replace(incarnation=number, token=token), node, view, request, moment, generation)
    row = Incarnation(
        member.set_uid, member.ordinal, number, member.tenant, IncarnationState.LIVE, token, view.cloud, node.location,
        node.size, node.image, node.id, tuple(node.public_addresses), tuple(node.private_addresses), {}, moment.now,
        moment.now, None, moment.now, None,
    )  # fmt: skip
    dimension = Dimension.NODE_STOPPED if node.state in _OFF else Dimension.NODE_RUNNING
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=Expect(member.state, member.incarnation),
        member={
            "state": ApplianceState.LAUNCHING,
            "since": moment.now,
            "incarnation": number,
            "token": token,
            "cloud": view.cloud,
            "location": node.location,
            "node_id": node.id,
        },
        history=HistoryEntry(
            member.set_uid, member.ordinal, moment.now, member.state, ApplianceState.LAUNCHING, Cause.COMMANDED,
            intent.reason, {"node": node.id, "cloud": view.cloud},
        ),
        opens_incarnation=row,
        opens_intent=intent,
        usage=(
            node_event(
                tenant=member.tenant, set_uid=member.set_uid, ordinal=member.ordinal, incarnation=number,
                cloud=view.cloud, node_id=node.id, dimension=dimension, mark=Mark.BEGAN,
                at=view.observed_at, evidence={"source": "adoption", "word": node.word},
            ),
        ),
        log=(_recorded(intent, moment),),
    )  # fmt: skip


def _intent(  # one thing each, named by the caller
    member: Member, node: Node, view: CloudView, request: Request, moment: Moment, generation: int
) -> Intent:
    """To write the tags of the member's incarnation on the node."""
    evidence: dict[str, object] = {"word": node.word, "generation": generation}
    if node.token not in (None, member.token):
        evidence[adoption.CARRIED] = node.token
    return Intent(
        id=moment.new_id(),
        appliance=member.id,
        tenant=member.tenant,
        verb=Verb.ADOPT,
        action_class=CLASS_OF[Verb.ADOPT],
        origin=Origin.REQUEST,
        incarnation=member.incarnation,
        token=member.token,
        cloud=view.cloud,
        node_id=node.id,
        reason=f"adopted by {request.author}: {request.reason}",
        evidence=evidence,
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
        request_id=request.id,
    )


def _recorded(intent: Intent, moment: Moment) -> LogEntry:
    return LogEntry(
        intent.appliance.set_uid, moment.now, "intent.recorded", intent.id,
        {
            "verb": intent.verb.value, "ordinal": intent.appliance.ordinal, "cloud": intent.cloud,
            "node": intent.node_id, "reason": intent.reason,
        },
    )  # fmt: skip
