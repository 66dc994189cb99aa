"""Members of a set let talk to each other by their clouds' firewalls: who is to be in which group, with what ports.

A set has one group in each cloud where its members are. What is wanted is compared with what the cloud tells of its
groups and nodes, and made so by intents of the whole set (ordinal 0), one at a time for each cloud.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import CLASS_OF, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import DEFAULT_TENANT, TAG_ESTATE, TAG_SET, TAG_TENANT, ApplianceId
from cloudmon.model.nodes import ENDED, PEERS_PREFIX, Node, PeerGroup
from cloudmon.model.sets import ApplianceSet
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import tries
from cloudmon.reconcile.picture import CloudView, Estate, Moment
from cloudmon.reconcile.plan import Step, Waiting

WHOLE_SET = 0
"""Ordinal of what is about a set and none of its members."""
AT_ONCE = 20
"""Nodes that one call moves; the others follow in the next."""
PATIENCE_S = 60
"""Seconds after which an effect that is not seen is tried again; they double with each try."""
PATIENCE_MAX_S = 900
VERBS = frozenset({Verb.PEERS_OPEN, Verb.PEERS_CLOSE})
_LEAVING = frozenset({ApplianceState.RETIRING, ApplianceState.RETIRED})
_APART = "\n"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is due for one group of one cloud."""

    group: PeerGroup
    joining: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    close: bool = False

    @property
    def reason(self) -> str:
        if self.close:
            return "nobody is to be let talk by it any more"
        ports = ", ".join(map(str, self.group.ports))
        moved = [f"{len(ids)} {how}" for ids, how in ((self.joining, "join"), (self.leaving, "leave")) if ids]
        return f"peers reach each other at {ports}" + (f": {', '.join(moved)}" if moved else "")


@dataclass(frozen=True, slots=True)
class Place:
    """One set's group in one cloud."""

    uid: str
    name: str
    """The set's, for people."""
    tenant: str
    view: CloudView
    found: PeerGroup | None
    """The group as the cloud tells of it; None: there is none."""
    ports: tuple[int, ...]
    """Those that are wanted; none: no group is."""
    nodes: Mapping[str, Node]
    """Of the members that are to be in the group, by id; those whose cloud says what they are in."""
    tags: Mapping[str, str]


def clouds(estate: Estate) -> frozenset[str]:
    """Clouds whose groups matter: members are there that are to be let talk, or something is under way."""
    wanting = {uid for uid, aset in estate.sets.items() if ports_of(aset)}
    there = (member.cloud for member in estate.members if member.set_uid in wanting) if wanting else ()
    return frozenset((*there, *(intent.cloud for intent in estate.intents if intent.verb in VERBS)))


def ports_of(aset: ApplianceSet) -> tuple[int, ...]:
    """The ports at which the members of a set are to be let talk; none where nobody asks for that."""
    peers = aset.spec.template.peers
    return peers.ports if peers is not None and peers.firewall and aset.retiring_since is None else ()


def notes(estate: Estate, views: Mapping[str, CloudView]) -> Iterator[str]:
    """What cannot be had, a sentence each: clouds without a firewall, where members may live."""
    for aset in estate.sets.values():
        for cloud in sorted(aset.spec.clouds or views) if ports_of(aset) else ():
            view = views.get(cloud)
            if view is not None and view.healthy and "open_peers" not in view.verbs:
                yield f"{aset.name}: cloud {cloud} has no firewall that could let its members talk to each other"


def due(
    estate: Estate,
    views: Mapping[str, CloudView],
    members: Mapping[str, Sequence[Member]],
    findings: Mapping[tuple[FindingKind, str], Finding],
    moment: Moment,
) -> Iterator[Step | Change | Waiting]:
    """What is due for groups of peers.

    Arguments:
        members: by set uid.
        findings: all open ones.
    """
    pending = {(i.appliance.set_uid, i.cloud): i for i in estate.intents if i.verb in VERBS}
    for cloud, view in views.items():
        # Groups that are not known are not changed.
        if not view.healthy or view.groups is None or "open_peers" not in view.verbs:
            continue
        under_way = {uid: intent for (uid, where), intent in pending.items() if where == cloud}
        for place in _places(estate, view, members, under_way):
            wish, intent = _wish(place), under_way.get(place.uid)
            if intent is not None:
                yield from _pursue(place, wish, intent, findings, moment)
            elif wish is not None:
                yield _begin(place, wish, moment)


def _places(
    estate: Estate, view: CloudView, members: Mapping[str, Sequence[Member]], under_way: Mapping[str, Intent]
) -> Iterator[Place]:
    own = [group for group in view.groups or () if group.tags.get(TAG_ESTATE) == estate.estate]
    found = {group.name.removeprefix(PEERS_PREFIX): group for group in own if group.name.startswith(PEERS_PREFIX)}
    wanting = [uid for uid, aset in estate.sets.items() if ports_of(aset)]
    for uid in dict.fromkeys([*wanting, *found, *under_way]):
        aset, group = estate.sets.get(uid), found.get(uid)
        tags = dict((group or (of(under_way[uid])[0] if uid in under_way else PeerGroup("", ()))).tags)
        if aset is not None:
            tags = {TAG_ESTATE: estate.estate, TAG_SET: aset.name, TAG_TENANT: aset.tenant}
        yield Place(
            uid=uid,
            name=aset.name if aset is not None else tags.get(TAG_SET, uid),
            tenant=tags.get(TAG_TENANT, DEFAULT_TENANT),
            view=view,
            found=group,
            ports=ports_of(aset) if aset is not None else (),
            # While a set retires its members keep what they have until they are gone.
            nodes=dict(_nodes(view, members.get(uid, ()))) if aset is not None and not aset.retiring_since else {},
            tags=tags,
        )


def _nodes(view: CloudView, members: Iterable[Member]) -> Iterator[tuple[str, Node]]:
    for member in members:
        node = view.nodes.get(member.node_id) if member.cloud == view.cloud else None
        if node is not None and member.state not in _LEAVING and node.token in (None, member.token):
            if node.peers is not None and node.state not in ENDED:
                yield node.id, node


def _wish(place: Place) -> Wish | None:
    """What is to be done now; None when it is as it is wanted."""
    name, found = PEERS_PREFIX + place.uid, place.found
    if place.ports:
        group = PeerGroup(name, place.ports, place.tags)
        joining = [node.id for node in place.nodes.values() if node.peers != name]
        if joining or (found is not None and found.ports != place.ports):
            return Wish(group, tuple(joining[:AT_ONCE]))
        return None
    if found is None:
        return None
    within = [node.id for node in place.view.nodes.values() if node.peers == name and node.state not in ENDED]
    leaving = [node_id for node_id in within if node_id in place.nodes]
    if leaving:
        return Wish(found, leaving=tuple(leaving[:AT_ONCE]))
    # Those that are on their way out keep it until they are gone.
    return None if within else Wish(found, close=True)


def _begin(place: Place, wish: Wish, moment: Moment) -> Step:
    intent = Intent(
        id=moment.new_id(),
        appliance=ApplianceId(place.uid, WHOLE_SET),
        tenant=place.tenant,
        verb=Verb.PEERS_CLOSE if wish.close else Verb.PEERS_OPEN,
        action_class=CLASS_OF[Verb.PEERS_OPEN],
        origin=Origin.WANTED,
        incarnation=0,
        token="",
        cloud=place.view.cloud,
        node_id="",
        reason=wish.reason,
        evidence={"group": wish.group.name, "seen_at": place.view.observed_at.isoformat()},
        created_at=moment.now,
        deadline=moment.now + dt.timedelta(seconds=moment.intent_deadline_s),
        epoch=moment.epoch,
        arguments=told(wish),
    )
    body = {"cloud": intent.cloud, "origin": intent.origin.value, "action_class": intent.action_class.value}
    entry = _entry(place, moment, "intent.recorded", intent, reason=intent.reason, **body)
    return Step(intent, Change(tenant=place.tenant, opens_intent=intent, log=(entry,)))


def _pursue(
    place: Place,
    wish: Wish | None,
    intent: Intent,
    findings: Mapping[tuple[FindingKind, str], Finding],
    moment: Moment,
) -> Iterator[Step | Change | Waiting]:
    what = f"its peers in cloud {intent.cloud}"
    if _seen(place, intent):
        yield _ended(place, intent, IntentState.DONE, moment)
        if wish is not None:
            yield _begin(place, wish, moment)
    elif intent.id in moment.in_flight:
        yield Waiting(place.name, f"{what}: {intent.verb} is on its way", None)
    elif intent.retry_at is not None and moment.now < intent.retry_at:
        yield Waiting(place.name, f"{what}: {intent.verb} is tried again: {intent.error}", intent.retry_at)
    elif tries.accepted(intent) and intent.retry_at is None and moment.now < _patience(intent):
        yield Waiting(place.name, f"{what}: {intent.verb} was accepted and is not seen yet", _patience(intent))
    # Something else is wanted by now, or nothing.
    elif wish is None or told(wish) != intent.arguments:
        yield _ended(place, intent, IntentState.FAILED, moment, "overtaken by what is wanted now")
        if wish is not None:
            yield _begin(place, wish, moment)
    else:
        message = f"{place.name}: {what} are not let talk as they are wanted to: {intent.error or 'without effect'}"
        found = tries.again(intent, moment, findings, chain=place.uid, message=message)
        change = Change(tenant=intent.tenant, intents=(found.update,), findings=found.findings, log=found.log)
        yield Step(found.intent, change, again=True)


def _patience(intent: Intent) -> dt.datetime:
    waited = sum(min(PATIENCE_MAX_S, PATIENCE_S * 2 ** min(number, 10)) for number in range(intent.attempts + 1))
    return intent.created_at + dt.timedelta(seconds=waited)


def _seen(place: Place, intent: Intent) -> bool:
    """Whether the cloud shows what the intent was to bring about, whatever became of its answer."""
    group, joining, leaving = of(intent)
    if intent.verb is Verb.PEERS_CLOSE:
        return place.found is None
    moved = [(node_id, group.name) for node_id in joining] + [(node_id, "") for node_id in leaving]
    nodes = [(place.view.nodes.get(node_id), name) for node_id, name in moved]
    there = [(node, name) for node, name in nodes if node is not None and node.state not in ENDED]
    ports = place.found.ports if place.found is not None else () if there and joining else group.ports
    # Of one that was isolated meanwhile a cloud may not say.
    return ports == group.ports and all(node.peers in (None, name) for node, name in there)


def _ended(place: Place, intent: Intent, state: IntentState, moment: Moment, reason: str = "") -> Change:
    said = {"reason": reason} if reason else {}
    return Change(
        tenant=intent.tenant,
        intents=cases.close_intent(intent, state, moment.now, reason),
        findings=(tries.ended(intent),),
        log=(_entry(place, moment, f"intent.{state}", intent, **said),),
    )


def _entry(place: Place, moment: Moment, kind: str, intent: Intent, **body: object) -> LogEntry:
    told_of = {"verb": intent.verb.value, "ordinal": WHOLE_SET, **body}
    return LogEntry(place.uid, moment.now, kind, intent.id, told_of)


# --- what an intent is told, and what its call is made of -------------------------------------------------------------


def told(wish: Wish) -> dict[str, str]:
    """A wish as an intent's arguments: its call is made of them alone."""
    group = wish.group
    found = {"group": group.name, "ports": _APART.join(map(str, group.ports)), "tags": _APART.join(_flat(group.tags))}
    if not wish.close:
        found |= {"joining": _APART.join(wish.joining), "leaving": _APART.join(wish.leaving)}
    return found


def of(intent: Intent) -> tuple[PeerGroup, list[str], list[str]]:
    """The group, who joins it and who leaves it, of an intent's arguments."""
    told_of = intent.arguments
    flat = iter(_parts(told_of.get("tags", "")))
    ports = tuple(int(port) for port in _parts(told_of.get("ports", "")))
    group = PeerGroup(told_of.get("group", ""), ports, dict(zip(flat, flat, strict=True)))
    return group, _parts(told_of.get("joining", "")), _parts(told_of.get("leaving", ""))


def _flat(tags: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(tags.items()):
        yield from (name, value)


def _parts(text: str) -> list[str]:
    return text.split(_APART) if text else []
