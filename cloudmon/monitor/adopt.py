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
from cloudmon.model.identity import Token
from cloudmon.model.nodes import ENDING, Node, NodeState
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.model.usage import Dimension, Mark, node_event
from cloudmon.monitor.asks import Desk
from cloudmon.reconcile import requests as asking
from cloudmon.reconcile.case import Whose
from cloudmon.reconcile.picture import CloudView, Moment
from cloudmon.reconcile.requests import Answer
from cloudmon.store import Ownership, Store

_OFF = frozenset({NodeState.STOPPED, NodeState.SUSPENDED})


def answer(store: Store, owner: Ownership, views: Mapping[str, CloudView], moment: Moment, desk: Desk) -> bool:
    """Answer pending adoptions; True when the state table changed. One whose cloud is not seen waits."""
    changed = False
    for request in store.requests.pending(EVERYONE):
        if request.verb is not RequestVerb.ADOPT:
            continue
        cloud, _, node_id = request.target.partition(":")
        view = views.get(cloud)
        if view is None:
            desk.move(
                request,
                asking.refused(f"no cloud named {cloud} is configured; `cloudmon doctor` lists those that are"),
                moment.now,
            )
        elif view.healthy:
            found = _adopt(store, owner, request, view, node_id, moment)
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


def _adopt(store: Store, owner: Ownership, request: Request, view: CloudView, node_id: str, moment: Moment) -> Answer:
    name = request.arguments.get("set", "")
    aset = store.sets.named(Scope.of(request.tenant), name)
    if aset is None or aset.retired_at is not None or aset.retiring_since is not None:
        return asking.refused(f"there is no active set named {name}; name it in the configuration, with count = 0")
    ordinal = request.arguments.get("ordinal", "")
    if ordinal and not ordinal.isdecimal():
        return asking.refused(f"{ordinal!r} is no ordinal; leave it out, or name a number")
    taken = _taken(store, view.cloud)
    nodes = _nodes(request, view, node_id, taken)
    if not nodes:
        return asking.refused(f"cloud {view.cloud} shows no such node; its own console lists what there is")
    refusal = next((why for why in (_refusal(store, node, view, taken) for node in nodes) if why), "")
    if refusal:
        return asking.refused(refusal)
    members = _room(store, owner, request, aset, len(nodes), moment.now)
    if len(members) < len(nodes):
        return asking.refused(f"{name} has no free appliance with that ordinal; leave the ordinal out")
    aset = store.sets.named(Scope.of(request.tenant), name) or aset
    pairs = list(zip(members, nodes, strict=False))
    changes = [
        replace(found, **_no_stray_any_more(store, node, view, found))
        for member, node in pairs
        for found in (_change(store.estate, aset, member, node, view, request, moment),)
    ]
    names = ", ".join(f"{name}/{member.ordinal}" for member in members[: len(nodes)])
    return Answer(RequestState.DONE, f"adopted as {names}", changes=tuple(changes))


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


def _refusal(store: Store, node: Node, view: CloudView, taken: _Taken) -> str:
    if node.estate is not None and node.estate != store.estate:
        return f"node {node.id} belongs to estate {node.estate}; release it there first"
    if taken.owner(node):
        return f"node {node.id} is {taken.owner(node)} already"
    # It would go on saying that it is another appliance.
    if node.token and "tag_node" not in view.verbs:
        return f"node {node.id} carries tags of this estate that cloud {view.cloud} cannot change"
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
    return {
        "usage": (*whose.ended(view.observed_at, {"source": "adoption"}), *change.usage),
        "findings": tuple(FindingEnd(finding.kind, subject) for finding in opened),
    }


def _room(
    store: Store, owner: Ownership, request: Request, aset: ApplianceSet, count: int, now: dt.datetime
) -> list[Member]:
    """Members without a node to take the nodes; the set grows where there are not enough."""
    ordinal = request.arguments.get("ordinal", "")

    def free() -> list[Member]:
        return [
            m
            for m in store.members.of_set(EVERYONE, aset.uid)
            if m.state is ApplianceState.REQUESTED and (not ordinal or m.ordinal == int(ordinal))
        ]

    members = free()
    if len(members) < count and not ordinal:
        spec = replace(aset.spec, count=aset.spec.count + count - len(members))
        store.sets.put(owner, uid=aset.uid, spec=spec, author=request.author, now=now, reason="grows by adoption")
        members = free()
    return members[:count]


def _change(  # noqa: PLR0913  # one thing each, named by the caller
    estate: str, aset: ApplianceSet, member: Member, node: Node, view: CloudView, request: Request, moment: Moment
) -> Change:
    number = member.incarnation + 1
    token = str(Token(estate, member.set_uid, member.ordinal, number))
    reason = f"adopted by {request.author}: {request.reason}"
    intent = Intent(
        id=moment.new_id(),
        appliance=member.id,
        tenant=member.tenant,
        verb=Verb.ADOPT,
        action_class=CLASS_OF[Verb.ADOPT],
        origin=Origin.REQUEST,
        incarnation=number,
        token=token,
        cloud=view.cloud,
        node_id=node.id,
        reason=reason,
        evidence={"word": node.word, "generation": aset.generation},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
        request_id=request.id,
    )
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
            reason, {"node": node.id, "cloud": view.cloud},
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
        log=(
            LogEntry(
                aset.uid, moment.now, "intent.recorded", intent.id,
                {"verb": "adopt", "ordinal": member.ordinal, "cloud": view.cloud, "node": node.id, "reason": reason},
            ),
        ),
    )  # fmt: skip
