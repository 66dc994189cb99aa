"""The whole estate against all views: one plan. Rooms below decide; this one only goes round."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cloudmon.model.actions import Intent
from cloudmon.model.appliances import ApplianceState, Incarnation, IncarnationState, Member, Power
from cloudmon.model.changes import Change
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.offers import Choice
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import ApplianceSet
from cloudmon.reconcile import (
    breakers,
    commands,
    decide,
    endings,
    keeping,
    launch,
    leases,
    putback,
    remedies,
    requests,
    searching,
    settle,
    sights,
    sweep,
    tries,
    upkeep,
    walls,
)
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.decide import Decision
from cloudmon.reconcile.endings import Ending
from cloudmon.reconcile.index import Index, index_of
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import (
    CONDITION_OF,
    CloudView,
    Condition,
    Estate,
    Inside,
    Moment,
    condition_of,
)
from cloudmon.reconcile.plan import Generation, Held, Plan, Step
from cloudmon.reconcile.sweep import Stray


@dataclass(frozen=True, slots=True)
class _Round:
    """One going round: what is looked at, and where what is found goes."""

    estate: Estate
    views: Mapping[str, CloudView]
    index: Index
    moment: Moment
    found: Plan
    decided: list[Step]

    def file(self, decision: Decision) -> None:
        if isinstance(decision, Step):
            self.decided.append(decision)
        elif isinstance(decision, Change):
            self.found.changes.append(decision)
        elif isinstance(decision, Generation):
            self.found.generations.append(decision)
        elif decision is not None:
            self.found.waiting.append(decision)


def to_verify(estate: Estate, cloud: str, view: CloudView) -> list[str]:
    """Ids that are worth asking the cloud for one by one, because their absence would mean something."""
    nodes = view.nodes
    ids = [
        m.node_id
        for m in estate.members
        # Most are in the listing: that test comes first.
        if m.node_id not in nodes and m.node_id and m.cloud == cloud and m.state is not ApplianceState.RETIRED
    ]
    ids += [
        row.node_id for row in estate.incarnations if row.cloud == cloud and row.node_id and row.node_id not in nodes
    ]
    for finding in estate.findings:
        if finding.kind in (FindingKind.ORPHAN, FindingKind.DUPLICATE):
            _, where, node_id = finding.subject.split(":", 2)
            if where == cloud and node_id not in nodes:
                ids.append(node_id)
    return list(dict.fromkeys(ids))


def strays_of(estate: Estate, views: Mapping[str, CloudView], index: Index) -> list[tuple[str, Node]]:
    """Nodes of our estate that nothing explains, by cloud; the caller looks their tokens up before planning."""
    return [
        (cloud, node)
        for cloud, view in views.items()
        if view.healthy and not index.explains(view)
        for node in sweep.unexplained(view, estate.estate, index.by_cloud[cloud], index.rows_by_cloud[cloud])
    ]


def plan(  # noqa: PLR0913  # one thing each, named by the caller
    estate: Estate,
    views: Mapping[str, CloudView],
    rankings: Mapping[str, Sequence[Choice]],
    strays: Sequence[tuple[str, Node]],
    asked: Mapping[str, Sequence[Intent]],
    index: Index,
    moment: Moment,
) -> Plan:
    """What is to be written and done now.

    Arguments:
        estate: what the store knows, with ``known`` filled for the strays' tokens.
        views: by cloud, what was seen, from :func:`cloudmon.reconcile.doubts.doubt`.
        rankings: by set uid, placement's choices for the sets that have members without a node.
        strays: from :func:`strays_of`.
        asked: by request id, all intents born of it.
        index: of this estate.
        moment: the tick.
    """
    found = Plan(rankings={uid: tuple(choices) for uid, choices in rankings.items()})
    found.notes.extend(_note(view) for view in views.values() if view.suspicious or not view.healthy)
    index.turns.update(requests.all_turns(estate.requests, estate.sets.values(), index.by_set, asked))
    known = {offer.key: offer for offer in estate.offers} | launch.offers_under_way(estate.incarnations)
    named = {stray.subject: stray for stray in (sweep.classify(node, cloud, estate) for cloud, node in strays)}
    lost = putback.lost(named.values(), estate.members) if named else {}
    market = Market(estate.estate, rankings, known, recent=estate.recent, lost=lost)
    turn = _Round(estate, views, index, moment, found, [])
    _members(turn, market)
    _upkeep(turn, asked)
    _search(turn)
    for group in walls.due(estate, views, index.by_set, index.findings, moment):
        turn.file(group)
    found.notes.extend(walls.notes(estate, views))
    for ended in keeping.due(estate.outlived, estate.intents, views, index.findings, moment):
        turn.file(ended)
    known_members = {member.id: member for member in estate.members} if estate.commands else {}
    found.changes.extend(commands.review(estate.commands, known_members, moment.now))
    _endings(turn)
    _strays(turn, named)
    noticed = putback.finding(index.findings, moment)
    if noticed is not None:
        found.notes.append(noticed.message)
    unfinished = {row.set_uid for row in estate.incarnations}
    for aset in estate.sets.values():
        update = leases.review(
            aset,
            {m.state for m in index.by_set[aset.uid]},
            open_incarnations=aset.uid in unfinished,
            now=moment.now,
        )
        if update is not None and putback.decides(update, noticed):
            found.set_updates.append(update)
    found.changes.extend(leases.findings(estate.sets, found.set_updates, index.findings, moment.now))
    found.changes.extend(putback.confirmed(index.findings, moment))
    held = _judge(turn)
    found.changes.extend(breakers.findings(held, index.findings, moment))
    return found


def urgent(estate: Estate, views: Mapping[str, CloudView], index: Index, moment: Moment) -> Plan:
    """What is due at once because of what was found inside appliances, between two ticks.

    Arguments:
        estate: as far as it concerns the appliances that were looked at.
        views: as the last tick saw the clouds; what they say is written already.
        index: of this estate.
        moment: now.
    """
    found = Plan()
    turn = _Round(estate, views, index, moment, found, [])
    nothing = Market(estate.estate, {})
    for member in estate.members:
        aset, view = estate.sets.get(member.set_uid), views.get(member.cloud)
        if aset is None or member.id not in estate.inside.symptoms or member.state is not ApplianceState.RUNNING:
            continue
        case = _case(member, aset, view, _node(member, view), index, moment)
        # Whatever is due for its node comes first, and is the tick's.
        if decide.decide(case, nothing, None, open_incarnations=member.id in index.opening) is None:
            turn.file(_treated(case, estate.inside, index))
    _judge(turn)
    return found


def seen(
    estate: Estate,
    views: Mapping[str, CloudView],
    rankings: Mapping[str, Sequence[Choice]],
    index: Index,
    moment: Moment,
) -> Plan:
    """What is due at once because of what clouds said of single nodes between two ticks.

    Arguments as of :func:`plan`, of the appliances alone whose nodes these are.
    """
    found = Plan(rankings={uid: tuple(choices) for uid, choices in rankings.items()})
    known = {offer.key: offer for offer in estate.offers} | launch.offers_under_way(estate.incarnations)
    turn = _Round(estate, views, index, moment, found, [])
    _members(turn, Market(estate.estate, rankings, known, recent=estate.recent))
    _endings(turn)
    _judge(turn)
    return found


def _judge(turn: _Round) -> list[Held]:
    """Let pass what the breakers let pass; what they hold."""
    doubted = {view.cloud: view.suspicious for view in turn.views.values() if view.suspicious}
    noticed = putback.finding(turn.index.findings, turn.moment)
    turn.found.steps, held = breakers.judge(turn.decided, turn.estate.recent, turn.moment, doubted, noticed)
    turn.found.held.extend(held)
    return held


def facts(estate: Estate, views: Mapping[str, CloudView], moment: Moment) -> list[Change]:
    """What these views change in the table, and nothing that follows from it: for views of the past."""
    index = index_of(estate)
    found: list[Change] = []
    for member in estate.members:
        view, aset = views.get(member.cloud), estate.sets.get(member.set_uid)
        if view is None or aset is None:
            continue
        change = settle.settle(_case(member, aset, view, _node(member, view), index, moment))
        if change is not None:
            found.append(change)
    for row in estate.incarnations:
        if row.state is IncarnationState.ENDING and row.cloud in views:
            due = endings.pursue(_as_then(_ending(row, estate, views, index, moment)))
            if isinstance(due, Change):
                found.append(due)
    return found


def _as_then(ending: Ending) -> Ending:
    """The past cannot be asked about one node: a termination that was accepted, and a whole listing past the lag that
    shows nothing, is all the proof there will ever be."""
    accepted = ending.intent is not None and tries.accepted(ending.intent)
    absent = ending.condition is Condition.UNSEEN and ending.view is not None
    if accepted and absent and ending.view is not None and ending.view.proves_absence(ending.row.last_call_at):
        return replace(ending, condition=Condition.GONE)
    return ending


def _note(view: CloudView) -> str:
    return view.suspicious or f"cloud {view.cloud} is not seen: {view.reason}"


def _members(turn: _Round, market: Market) -> None:
    """Every member once. Most are well, and leave at the first test: it is the hot path."""
    running, well, retired = ApplianceState.RUNNING, NodeState.RUNNING, ApplianceState.RETIRED
    wanted_running = Power.RUNNING
    estate, views, index, moment = turn.estate, turn.views, turn.index, turn.moment
    symptoms = estate.inside.symptoms
    busy = {*index.timers, *index.turns, *index.opening, *symptoms, *(appliance for appliance, _ in index.intents)}
    for uid, members in index.by_set.items():
        aset = estate.sets.get(uid)
        if aset is None:
            continue
        calm = aset.retiring_since is None
        count = aset.spec.count
        for member in members:
            _, ordinal, _, state, _, wanted, _, token, cloud, _, node_id, rung, _, _ = member
            if state is retired and (ordinal > count or not calm):
                continue
            view = views.get(cloud)
            node = view.nodes.get(node_id) if view is not None else None
            if (
                node is not None
                and state is running
                and node.state is well
                and not node.isolated
                and (node.token == token or node.token is None)
                and wanted is wanted_running
                and not rung
                and calm
                and ordinal <= count
                and (uid, ordinal) not in busy
            ):
                continue
            case = _case(member, aset, view, _node(member, view), index, moment)
            change = settle.settle(case)
            if change is not None:
                turn.file(change)
                continue
            asked = index.turns.get((uid, ordinal))
            decision = decide.decide(case, market, asked, open_incarnations=member.id in index.opening)
            turn.file(decision or _treated(case, estate.inside, index))


def _treated(case: Case, inside: Inside, index: Index) -> Decision:
    """What is due because of what was found inside, where nothing is due for the node."""
    appliance = case.member.id
    symptoms = inside.symptoms.get(appliance, ())
    under_way, takes = index.commands.get(appliance, ()), inside.takes(appliance)
    return remedies.treat(case, symptoms, under_way, takes=takes, heard=appliance in inside.heard)


def _search(turn: _Round) -> None:
    """What is bad in one member is looked for in the others, where nothing else is due."""
    estate, index = turn.estate, turn.index
    sight = searching.Sight(
        estate.findings, estate.recent, estate.sets, index.by_set, index.timers, index.commands, estate.inside,
        _taken(turn), lambda member: _at_rest(turn, member), turn.moment.now,
    )  # fmt: skip
    for decision in searching.due(sight):
        turn.file(decision)


def _taken(turn: _Round) -> set[ApplianceId]:
    """Appliances for which something was decided already."""
    taken = {step.intent.appliance for step in turn.decided}
    return taken | {change.appliance for change in turn.found.changes if change.appliance is not None}


def _at_rest(turn: _Round, member: Member) -> Case:
    view = turn.views.get(member.cloud)
    return _case(member, turn.estate.sets[member.set_uid], view, _node(member, view), turn.index, turn.moment)


def _upkeep(turn: _Round, asked: Mapping[str, Sequence[Intent]]) -> None:
    estate, index = turn.estate, turn.index
    sight = sights.Sight(
        estate, index.by_set, asked, index.commands, index.opening, _taken(turn), turn.moment,
        lambda member: _at_rest(turn, member), index.timers,
    )  # fmt: skip
    for decision in upkeep.due(sight):
        turn.file(decision)


def _node(member: Member, view: CloudView | None) -> Node | None:
    """The member's node in this view, unless the cloud gave its id to somebody else's."""
    node = view.nodes.get(member.node_id) if view is not None else None
    if node is not None and node.token is not None and node.token != member.token:
        return None
    return node


def _case(  # one thing each, named by the caller
    member: Member, aset: ApplianceSet, view: CloudView | None, node: Node | None, index: Index, moment: Moment
) -> Case:
    if view is None:
        condition = Condition.UNKNOWN
    elif node is not None:
        condition = condition_of(node, member)
    elif member.node_id:
        condition = view.condition(member.node_id) if member.node_id not in view.nodes else Condition.GONE
    else:
        node = _by_token(member.token, view) if member.token and member.state is ApplianceState.LAUNCHING else None
        condition = condition_of(node, member) if node is not None else _unseen(view)
    return Case(
        member=member,
        aset=aset,
        view=view,
        node=node,
        condition=condition,
        intent=index.intents.get((member.id, member.incarnation)),
        timers=index.timers.get((member.set_uid, member.ordinal), {}),
        moment=moment,
        findings=index.findings,
    )


def _unseen(view: CloudView) -> Condition:
    return Condition.UNSEEN if view.healthy else Condition.UNKNOWN


def _by_token(token: str, view: CloudView) -> Node | None:
    """The oldest living node that carries this token; the rare way, for answers that were lost."""
    nodes = [node for node in view.nodes.values() if node.token == token]
    if not nodes:
        return None
    oldest = dt.datetime.max.replace(tzinfo=dt.UTC)
    return min(nodes, key=lambda node: (node.state is NodeState.TERMINATED, node.created_at or oldest, node.id))


def _endings(turn: _Round) -> None:
    for row in turn.estate.incarnations:
        if row.state is not IncarnationState.ENDING:
            continue
        turn.file(endings.pursue(_ending(row, turn.estate, turn.views, turn.index, turn.moment)))


def _ending(row: Incarnation, estate: Estate, views: Mapping[str, CloudView], index: Index, moment: Moment) -> Ending:
    view = views.get(row.cloud)
    node = None
    condition = Condition.UNKNOWN
    if view is not None and row.node_id:
        node, condition = view.nodes.get(row.node_id), view.condition(row.node_id)
    elif view is not None:
        node = _by_token(row.token, view)
        condition = CONDITION_OF[node.state] if node is not None else _unseen(view)
    aset = estate.sets.get(row.set_uid)
    name = aset.name if aset is not None else row.set_uid
    intent = index.intents.get((ApplianceId(row.set_uid, row.ordinal), row.number))
    return Ending(row, name, view, node, condition, intent, moment, index.findings)


def _strays(turn: _Round, named: Mapping[str, Stray]) -> None:
    estate, moment = turn.estate, turn.moment
    orphans = frozenset(f"node:{r.target}" for r in estate.requests if r.verb is RequestVerb.END_ORPHAN)
    for item in sweep.sweep(named.values(), estate, moment, orphans):
        turn.file(item)
    for change in (*sweep.ended(estate, turn.views, named, moment), *sweep.unclaimed(estate, moment)):
        turn.file(change)
    for view in turn.views.values():
        if view.healthy:
            turn.file(sweep.wild(view, estate.estate, turn.index.findings, moment.now))
