"""Estates in few words, for tests of what is decided from them: members, nodes, views, intents, and a whole plan."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from cloudmon.model.actions import CLASS_OF, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Incarnation, IncarnationState, Member, Power
from cloudmon.model.changes import TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import TAG_ESTATE, TAG_TENANT, TAG_TOKEN, ApplianceId, Token
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.offers import Choice, Offer, Price
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet, Control, ControlKind, SetSpec, Template
from cloudmon.provider import ABILITIES
from cloudmon.reconcile import doubts, planner
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.index import index_of
from cloudmon.reconcile.limits import Confirmations, Limits
from cloudmon.reconcile.picture import CloudView, Condition, Estate, Moment, condition_of
from cloudmon.reconcile.plan import Plan

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
ESTATE = "estateaaaaaa"
UID = "storefrontaa"
OTHER_UID = "ledgeraaaaaa"
ALL_VERBS = frozenset(verb for _, verbs in ABILITIES.values() for verb in verbs)

_WITHOUT_NODE = (ApplianceState.REQUESTED, ApplianceState.RETIRING, ApplianceState.RETIRED)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def ahead(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def token(ordinal: int = 1, incarnation: int = 1, *, uid: str = UID, estate: str = ESTATE) -> str:
    return str(Token(estate, uid, ordinal, incarnation))


def member(state: ApplianceState = ApplianceState.RUNNING, ordinal: int = 1, **other: Any) -> Member:
    """A member in its first incarnation on east, in this state for an hour."""
    uid, number = other.get("set_uid", UID), other.get("incarnation", 1)
    values: dict[str, Any] = {
        "set_uid": uid,
        "ordinal": ordinal,
        "tenant": "default",
        "state": state,
        "since": ago(3_600),
        "wanted": Power.RUNNING,
        "incarnation": number,
        "token": token(ordinal, number, uid=uid) if number else "",
        "cloud": "east",
        "location": "here-1",
        "node_id": "" if state in _WITHOUT_NODE else f"n-{ordinal}",
        "rung": 0,
        "attempts": 0,
        "retry_at": None,
    }
    return Member(**{**values, **other})


def aset(count: int = 3, *, uid: str = UID, name: str = "storefront", tenant: str = "default", **other: Any) -> Any:
    """A set; what a spec knows goes into its spec, the rest into the set."""
    in_spec = {key: other.pop(key) for key in ("healing", "lease", "clouds", "template") if key in other}
    spec = SetSpec(name, count, in_spec.pop("template", Template("web", {"*": "image-1"})), tenant, **in_spec)
    values: dict[str, Any] = {"author": "file:shop", "created_at": ago(86_400), "lease_end": None}
    return ApplianceSet(uid=uid, name=name, tenant=tenant, generation=1, spec=spec, **{**values, **other})


def control(kind: ControlKind, ordinal: int | None = None, until: dt.datetime | None = None, uid: str = UID) -> Control:
    return Control(1, kind, uid, ordinal, "ann", "audit", ago(60), until)


def node(node_id: str = "n-1", state: NodeState = NodeState.RUNNING, *, of: str | None = None, **other: Any) -> Node:
    """A node that carries the token ``of`` of our estate; by default the first incarnation's of its number."""
    found = of if of is not None else token(int(node_id.rpartition("-")[2]))
    parsed = Token.parse(found)
    tags = {TAG_ESTATE: parsed.estate, TAG_TOKEN: found, TAG_TENANT: "default"} if parsed is not None else {}
    values: dict[str, Any] = {
        "id": node_id,
        "name": node_id,
        "state": state,
        "word": state.value,
        "token": found or None,
        "estate": parsed.estate if parsed is not None else None,
        "location": "here-1",
        "size": "small",
        "image": "image-1",
        "public_addresses": (),
        "private_addresses": (),
        "created_at": ago(3_600),
        "tags": tags,
    }
    return Node(**{**values, **other})


def view(*nodes: Node, cloud: str = "east", **other: Any) -> CloudView:
    """A whole and healthy listing, of now."""
    values: dict[str, Any] = {"healthy": True, "observed_at": NOW, "verbs": ALL_VERBS}
    return CloudView(cloud=cloud, nodes={one.id: one for one in nodes}, **{**values, **other})


def unseen(cloud: str = "east") -> CloudView:
    return view(cloud=cloud, healthy=False, reason="Unreachable: no answer")


def moment(now: dt.datetime = NOW, **other: Any) -> Moment:
    numbers = itertools.count(1)
    values: dict[str, Any] = {
        "epoch": 7,
        "limits": Limits(),
        "confirmations": Confirmations(),
        "first_tick": False,
        "new_id": lambda: f"intent-{next(numbers)}",
        "intent_deadline_s": 60.0,
    }
    return Moment(now=now, **{**values, **other})


def intent(verb: Verb = Verb.LAUNCH, state: IntentState = IntentState.RECORDED, **other: Any) -> Intent:
    """An intent of ten seconds ago about the first member."""
    appliance = other.pop("appliance", ApplianceId(UID, 1))
    values: dict[str, Any] = {
        "id": "intent-0",
        "tenant": "default",
        "action_class": CLASS_OF[verb],
        "origin": Origin.WANTED,
        "incarnation": 1,
        "token": token(appliance.ordinal, 1, uid=appliance.set_uid),
        "cloud": "east",
        "node_id": "" if verb is Verb.LAUNCH else f"n-{appliance.ordinal}",
        "reason": "is wanted",
        "evidence": {"generation": 1},
        "created_at": ago(10),
        "deadline": ahead(50),
        "epoch": 7,
        "offer": "east/here-1/small" if verb is Verb.LAUNCH else "",
    }
    return Intent(appliance=appliance, verb=verb, state=state, **{**values, **other})


def incarnation(
    ordinal: int = 1, number: int = 1, state: IncarnationState = IncarnationState.ENDING, **other: Any
) -> Any:
    uid = other.get("set_uid", UID)
    values: dict[str, Any] = {
        "set_uid": uid,
        "tenant": "default",
        "token": token(ordinal, number, uid=uid),
        "cloud": "east",
        "location": "here-1",
        "size": "small",
        "image": "image-1",
        "node_id": f"n-{ordinal}",
        "public_addresses": (),
        "private_addresses": (),
        "offer": {"key": "east/here-1/small", "spot": "no"},
        "opened_at": ago(3_600),
        "since": ago(3_600),
        "until": None,
        "last_call_at": ago(600),
        "cause": None,
    }
    return Incarnation(ordinal=ordinal, number=number, state=state, **{**values, **other})


def finding(kind: FindingKind, subject: str, **evidence: object) -> Finding:
    return Finding(kind, subject, "default", "warning", "was found", evidence, ago(600))


def request(verb: RequestVerb, target: str = "storefront/1", **other: Any) -> Request:
    values: dict[str, Any] = {
        "id": "request-1",
        "tenant": "default",
        "arguments": {},
        "author": "ann",
        "reason": "asked for",
        "created_at": ago(5),
        "state": RequestState.PENDING,
    }
    return Request(verb=verb, target=target, **{**values, **other})


def offer(size: str = "small", *, cloud: str = "east", capacity: int | None = None, per_hour: str = "0.10") -> Offer:
    price = Price(Decimal(per_hour), "USD", "dummy", dt.date(2026, 1, 1))
    return Offer(cloud, size, "here-1", 1, 2_048, 20, price, capacity)


def choices(*offers: Offer) -> list[Choice]:
    return [Choice(one, True, "fits") for one in offers or (offer(),)]


def case(of: Member, seen: Node | Condition | None = None, **other: Any) -> Case:
    """One member and what is seen of it: its node, or a condition of a node that is not there."""
    seen_node = seen if isinstance(seen, Node) else None
    condition = seen if isinstance(seen, Condition) else condition_of(seen, of) if seen else Condition.UNSEEN
    found: dict[str, Any] = {
        "aset": aset(),
        "view": view(*[seen_node] if seen_node else []),
        "intent": None,
        "timers": {},
        "moment": moment(),
    }
    return Case(member=of, node=seen_node, condition=condition, **{**found, **other})


def estate(members: Sequence[Member], *, sets: Collection[ApplianceSet] | None = None, **other: Any) -> Estate:
    values: dict[str, Any] = {
        "incarnations": (), "intents": (), "recent": (), "timers": (), "findings": (), "requests": (),
    }  # fmt: skip
    known = [aset(max([1, *(m.ordinal for m in members)]))] if sets is None else sets
    return Estate(estate=ESTATE, sets={one.uid: one for one in known}, members=members, **{**values, **other})


def plan(
    of: Estate,
    *views: CloudView,
    at: Moment | None = None,
    asked: Mapping[str, Sequence[Intent]] | None = None,
    offers: Sequence[Offer] = (),
) -> Plan:
    """What a tick decides, as the tick puts it together: doubts first, strays looked up by who calls."""
    at, index = at or moment(), index_of(of)
    doubted, _ = doubts.doubt({one.cloud: one for one in views}, index, at)
    strays = planner.strays_of(of, doubted, index)
    rankings = {uid: choices(*offers) for uid in of.sets}
    return planner.plan(of, doubted, rankings, strays, asked or {}, index, at)


def timers_of(*kinds: TimerKind, since: dt.datetime = NOW) -> dict[TimerKind, dt.datetime]:
    return dict.fromkeys(kinds, since)


def with_spec(of: ApplianceSet, **other: Any) -> ApplianceSet:
    return replace(of, spec=replace(of.spec, **other))
