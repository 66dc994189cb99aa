"""What holds of every plan, whatever the estate and whatever is seen of it."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import asdict, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import (
    OTHER_UID,
    UID,
    ago,
    ahead,
    aset,
    control,
    estate,
    finding,
    incarnation,
    intent,
    member,
    moment,
    node,
    plan,
    request,
    timers_of,
    token,
    unseen,
    view,
)

from cloudmon.model.actions import ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Power
from cloudmon.model.changes import Timer, TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import ControlKind, Healing
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.reconcile.picture import CloudView, Estate, Moment
from cloudmon.reconcile.plan import Plan

SIGHTED = (ApplianceState.RUNNING, ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.FAULTED)
CLOUDS = ("east", "west")
POWER_VERBS = (Verb.START, Verb.STOP, Verb.SUSPEND, Verb.RESUME, Verb.REBOOT)


@st.composite
def rows(draw: Any, uid: str, ordinal: int) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """A member with what belongs to it: incarnations, an intent, timers; as the store could hold them."""
    state = draw(st.sampled_from(ApplianceState))
    cloud = draw(st.sampled_from(CLOUDS))
    number = draw(st.integers(1, 3)) if state is not ApplianceState.REQUESTED else draw(st.integers(0, 3))
    node_id = f"{uid[0]}-{ordinal}"
    if state not in (*SIGHTED, ApplianceState.LAUNCHING) or (state is ApplianceState.LAUNCHING and draw(st.booleans())):
        node_id = ""
    of = member(
        state, ordinal, set_uid=uid, incarnation=number, cloud=cloud if number else "", node_id=node_id,
        since=ago(draw(st.sampled_from([5, 90, 700, 5_000]))), wanted=draw(st.sampled_from(Power)),
        rung=draw(st.integers(0, 7)), attempts=draw(st.integers(0, 7)),
        retry_at=draw(st.sampled_from([None, None, ago(5), ahead(60)])),
    )  # fmt: skip
    appliance = ApplianceId(uid, ordinal)
    values: dict[str, Any] = {
        "id": f"i-{uid[0]}{ordinal}", "appliance": appliance, "incarnation": number, "cloud": cloud,
        "token": token(ordinal, number, uid=uid), "created_at": ago(draw(st.sampled_from([5, 100, 2_000]))),
        "retry_at": draw(st.sampled_from([None, None, ago(1), ahead(9)])), "attempts": draw(st.integers(0, 6)),
        "error": draw(st.sampled_from(["", "Unreachable: x", "RateLimited: y"])),
    }  # fmt: skip
    open_state = draw(st.sampled_from([IntentState.RECORDED, IntentState.PERFORMED]))
    incarnations, intents = [], []
    if state is ApplianceState.LAUNCHING:
        incarnations.append(
            incarnation(ordinal, number, IncarnationState.OPENING, set_uid=uid, cloud=cloud, node_id=node_id)
        )
        intents.append(intent(Verb.LAUNCH, open_state, **values))
    elif state in SIGHTED and draw(st.booleans()):
        intents.append(intent(draw(st.sampled_from(POWER_VERBS)), open_state, node_id=node_id, **values))
    elif state in (ApplianceState.RETIRING, ApplianceState.REQUESTED) and number and draw(st.booleans()):
        cause = draw(st.sampled_from([Cause.COMMANDED, Cause.FAULT, Cause.CLOUD_OUTAGE]))
        known = draw(st.sampled_from(["", f"{uid[0]}-{ordinal}"]))
        called = draw(st.sampled_from([ago(1), ago(5_000)]))
        incarnations.append(
            incarnation(ordinal, number, set_uid=uid, cloud=cloud, node_id=known, cause=cause, last_call_at=called)
        )
        if draw(st.booleans()):
            state_of_it = draw(st.sampled_from([open_state, IntentState.INCIDENT]))
            intents.append(intent(Verb.TERMINATE, state_of_it, node_id=known, **values))
    kinds = draw(st.sets(st.sampled_from([TimerKind.ABSENT, TimerKind.FAULT, TimerKind.STEADY]), max_size=2))
    since = ago(draw(st.sampled_from([1, 5_000])))
    timers = [Timer(uid, ordinal, kind, at) for kind, at in timers_of(*sorted(kinds), since=since).items()]
    return of, incarnations, intents, timers


@st.composite
def sets(draw: Any, uid: str, name: str, count: int) -> Any:
    kinds = draw(st.sets(st.sampled_from(ControlKind), max_size=2))
    controls = tuple(
        control(kind, draw(st.sampled_from([None, 1])), draw(st.sampled_from([None, ahead(60), ago(1)])), uid)
        for kind in sorted(kinds)
    )
    retiring = draw(st.sampled_from([None, None, None, ago(60)]))
    healing = Healing(
        ladder=draw(st.sampled_from([("reboot", "stop-start", "replace"), ("replace",), ("reboot",), ()])),
        power=draw(st.sampled_from(["keep", "accept"])),
    )
    return aset(
        draw(st.integers(max(0, count - 1), count)), uid=uid, name=name, controls=controls, retiring_since=retiring,
        healing=healing,
    )  # fmt: skip


@st.composite
def pictures(draw: Any) -> tuple[Estate, list[CloudView], Moment]:
    """An estate of two sets on two clouds, views of the clouds that show anything or nothing, and a tick."""
    found: list[Any] = []
    for uid, count in ((UID, draw(st.integers(0, 4))), (OTHER_UID, draw(st.integers(0, 3)))):
        found += [draw(rows(uid, ordinal)) for ordinal in range(1, count + 1)]
    members = [of for of, *_ in found]
    incarnations, intents, timers = ([one for row in found for one in row[n]] for n in (1, 2, 3))
    views = []
    for cloud in CLOUDS:
        ids = {m.node_id: m.token for m in members if m.cloud == cloud and m.node_id}
        ids |= {
            row.node_id or f"{row.set_uid[0]}-{row.ordinal}": row.token for row in incarnations if row.cloud == cloud
        }
        ids |= {f"x-{n}": token(n, 9) for n in range(draw(st.integers(0, 2)))}
        shown, denied = [], set()
        for node_id, of in ids.items():
            if draw(st.integers(0, 3)):
                shown.append(node(node_id, draw(st.sampled_from(NodeState)), of=of))
            elif draw(st.booleans()):
                denied.add(node_id)
        views.append(view(*shown, cloud=cloud, denied=frozenset(denied)) if draw(st.integers(0, 4)) else unseen(cloud))
    strays = [
        finding(FindingKind.ORPHAN, f"node:{one.cloud}:{stray}", token=of.token)
        for one in views for stray, of in one.nodes.items() if stray.startswith("x") and draw(st.booleans())
    ]  # fmt: skip
    timers += [Timer(cloud, 0, TimerKind.VANISHED, ago(60)) for cloud in CLOUDS if draw(st.booleans())]
    asked = draw(st.sampled_from([None, RequestVerb.REBOOT, RequestVerb.REPLACE]))
    requests = [request(asked, "storefront/*", state=RequestState.ACCEPTED)] if asked is not None else []
    limits = Limits(
        destructive=ClassLimits(draw(st.integers(0, 3)), None, draw(st.integers(0, 3)), 3_600),
        disruptive=ClassLimits(draw(st.integers(0, 3)), None, None, 3_600),
        vanish_min=draw(st.sampled_from([1, 3])), end_orphans=draw(st.booleans()),
    )  # fmt: skip
    of = estate(
        members, sets=[draw(sets(UID, "storefront", len(members))), draw(sets(OTHER_UID, "ledger", 3))],
        incarnations=incarnations, intents=intents, timers=timers, findings=strays, requests=requests,
    )  # fmt: skip
    return of, views, moment(limits=limits, first_tick=draw(st.booleans()))


def made(picture: tuple[Estate, list[CloudView], Moment]) -> Plan:
    of, views, at = picture
    numbers = itertools.count(1)
    return plan(of, *views, at=replace(at, new_id=lambda: f"new-{next(numbers)}"))


MANY = settings(max_examples=60, deadline=None)


@MANY
@given(pictures())
def test_nothing_is_destroyed_because_of_an_unhealthy_or_doubted_view(picture: Any) -> None:
    """Only what is retired, what somebody asked for, and what was decided before."""
    of, views, _ = picture
    missing = {
        one.cloud: sum(
            1 for m in of.members if m.cloud == one.cloud and m.state in SIGHTED and m.node_id not in one.nodes
        )
        for one in views
    }
    found = made(picture)
    doubted = {note.rpartition(" ")[2] for note in found.notes if "are missing from one listing" in note}
    assert all(missing[cloud] for cloud in doubted)
    blind = doubted | {one.cloud for one in views if not one.healthy}
    for step in found.steps:
        if step.intent.action_class is ActionClass.DESTRUCTIVE and step.intent.origin is Origin.OBSERVATION:
            assert step.again or step.intent.cloud not in blind


@MANY
@given(pictures())
def test_what_is_only_not_listed_is_never_gone(picture: Any) -> None:
    """A member that had a node loses it only to a cloud's denial, to its own word, or to somebody else's token."""
    of, views, _ = picture
    by_cloud = {one.cloud: one for one in views}
    rows = {m.id: m for m in of.members}
    for change in made(picture).changes:
        lost = change.appliance in rows and change.member.get("state") is ApplianceState.REQUESTED
        if lost and rows[change.appliance].node_id:
            row = rows[change.appliance]
            seen = by_cloud[row.cloud]
            shown = seen.nodes.get(row.node_id)
            assert row.node_id in seen.denied or (shown is not None and shown.state is NodeState.TERMINATED)


@MANY
@given(pictures())
def test_an_appliance_has_at_most_one_step_of_its_own_a_tick(picture: Any) -> None:
    """Strays and former incarnations aside: these are other machines."""
    found = made(picture)
    own = [step.intent.appliance for step in found.steps if step.change.expect is not None]
    assert len(own) == len(set(own))
    nodes = [(s.intent.cloud, s.intent.node_id) for s in found.steps if s.intent.node_id]
    assert len(nodes) == len(set(nodes))


@MANY
@given(pictures())
def test_nothing_automatic_is_begun_for_what_is_paused_but_its_retirement(picture: Any) -> None:
    of, _, at = picture
    for step in made(picture).steps:
        paused = of.sets[step.intent.appliance.set_uid]
        if paused.control(ControlKind.PAUSE, step.intent.appliance.ordinal, at.now) is None or step.again:
            continue
        pursued = step.change.expect is None and step.intent.reason.startswith("its incarnation is to end")
        retirement = step.intent.action_class is ActionClass.RETIREMENT
        assert retirement or pursued or step.intent.origin is Origin.REQUEST, step.intent.reason


@MANY
@given(pictures())
def test_nothing_that_is_protected_is_destroyed(picture: Any) -> None:
    """Not even when somebody asks; what was ordered to end before goes on ending."""
    of, _, at = picture
    for step in made(picture).steps:
        aset = of.sets[step.intent.appliance.set_uid]
        if aset.control(ControlKind.PROTECT, step.intent.appliance.ordinal, at.now) and step.change.expect is not None:
            assert step.intent.verb is not Verb.TERMINATE


@MANY
@given(pictures())
def test_every_step_says_when_it_is_true_and_opens_its_intent_or_is_one_more_try(picture: Any) -> None:
    for step in made(picture).steps:
        change = step.change
        assert change.expect is not None or (change.history is None and not change.member)
        if step.again:
            assert change.opens_intent is None
            assert [update.id for update in change.intents] == [step.intent.id]
        else:
            assert change.opens_intent is step.intent
            assert [entry.kind for entry in change.log].count("intent.recorded") == 1
            assert step.intent.deadline > step.intent.created_at


@MANY
@given(pictures())
def test_every_change_of_a_state_is_conditional_and_has_its_history(picture: Any) -> None:
    found = made(picture)
    for change in (*found.changes, *(step.change for step in found.steps)):
        if "state" in change.member:
            assert change.expect is not None
            assert change.history is not None
            assert change.history.state is change.member["state"]
        assert (change.history is not None) == ("state" in change.member)


@MANY
@given(pictures())
def test_what_is_written_down_is_json(picture: Any) -> None:
    found = made(picture)
    for change in (*found.changes, *(step.change for step in found.steps)):
        kept: list[Any] = [event.evidence for event in change.usage]
        kept += [dict(entry.body) for entry in change.log]
        kept += [one.evidence for one in change.findings if hasattr(one, "evidence")]
        kept += [change.history.evidence] if change.history is not None else []
        kept += [change.opens_intent.evidence] if change.opens_intent is not None else []
        for value in kept:
            assert json.loads(json.dumps(value)) == value


@MANY
@given(pictures())
def test_the_same_picture_gives_the_same_plan(picture: Any) -> None:
    first, second = made(picture), made(picture)
    assert [asdict(step) for step in first.steps] == [asdict(step) for step in second.steps]
    assert (first.changes, first.waiting, first.held) == (second.changes, second.waiting, second.held)


@MANY
@given(pictures(), st.randoms(use_true_random=False))
def test_the_order_in_which_members_and_nodes_come_decides_nothing(picture: Any, chance: random.Random) -> None:
    """But who is first served where a budget is short: so budgets are wide here."""
    of, views, at = picture
    wide = ClassLimits(None, None, None, 3_600)
    at = replace(at, limits=replace(at.limits, destructive=wide, disruptive=wide))

    def mixed(values: Any) -> Any:
        return chance.sample(list(values), len(values))

    other = replace(
        of, members=mixed(of.members), incarnations=mixed(of.incarnations), intents=mixed(of.intents),
        timers=mixed(of.timers), findings=mixed(of.findings),
    )  # fmt: skip
    shuffled = [replace(one, nodes=dict(mixed(one.nodes.items()))) for one in mixed(views)]

    def essence(found: Plan) -> Any:
        return (
            sorted((s.intent.appliance, s.intent.verb, s.intent.node_id, s.intent.token, s.again) for s in found.steps),
            sorted(str((c.appliance, c.member, c.incarnations)) for c in found.changes),
            sorted(str(w) for w in found.waiting),
        )

    assert essence(made((of, views, at))) == essence(made((other, shuffled, at)))


@MANY
@given(pictures())
def test_no_usage_is_said_of_the_future_or_twice(picture: Any) -> None:
    of, _, at = picture
    found = made(picture)
    events = [event for change in (*found.changes, *(s.change for s in found.steps)) for event in change.usage]
    assert all(event.at <= at.now for event in events)
    assert all(event.node_id for event in events)
    assert len({event.key for event in events}) == len(events)
    assert of.members is not None
