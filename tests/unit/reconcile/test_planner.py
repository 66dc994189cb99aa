"""The whole estate against all views: doubts, questions, strays, and who decides about which intent."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import (
    NOW,
    UID,
    ago,
    ahead,
    aset,
    estate,
    finding,
    incarnation,
    intent,
    member,
    moment,
    node,
    offer,
    plan,
    request,
    token,
    unseen,
    view,
)

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState
from cloudmon.model.changes import FindingEnd, Timer, TimerClear, TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.reconcile import doubts, planner
from cloudmon.reconcile.index import index_of
from cloudmon.reconcile.limits import Confirmations
from cloudmon.reconcile.picture import CloudView

RUNNING, STOPPED, FAULTED = ApplianceState.RUNNING, ApplianceState.STOPPED, ApplianceState.FAULTED
REQUESTED, LAUNCHING, RETIRED = ApplianceState.REQUESTED, ApplianceState.LAUNCHING, ApplianceState.RETIRED


def running(count: int) -> list[Any]:
    return [member(ordinal=n) for n in range(1, count + 1)]


def seen(*ordinals: int, **other: Any) -> CloudView:
    return view(*[node(f"n-{n}") for n in ordinals], **other)


# --- doubt ------------------------------------------------------------------------------------------------------------


def doubt(members: list[Any], one: CloudView, *, at: Any = None, **of: Any) -> tuple[str, list[Any]]:
    index = index_of(estate(members, **of))
    views, changes = doubts.doubt({one.cloud: one}, index, at or moment())
    return views[one.cloud].suspicious, changes


@pytest.mark.parametrize(
    ("members", "one", "doubted"),
    [
        (running(6), seen(1, 2, 3), True),
        (running(6), seen(1, 2, 3, 4), False),
        (running(7), seen(1, 2, 3, 4), False),
        (running(3), seen(), True),
        (running(2), seen(), False),
        (running(6), seen(1, 2, 3, denied=frozenset({"n-4", "n-5", "n-6"})), True),
        ([member(RETIRED, n) for n in range(1, 7)], seen(), False),
        ([member(LAUNCHING, n) for n in range(1, 7)], seen(), False),
        (running(6), seen(1, 2, 3, 4, 5, 6, lacked=frozenset({"n-4", "n-5", "n-6"})), True),
        (running(6), unseen(), False),
    ],
    ids=[
        "half is missing", "two are missing", "less than half is missing", "all three are missing", "two were all",
        "half is missing and denied", "what has ended is not missed", "what was never seen is not missed",
        "what the listing lacked, though asking showed it", "a listing that failed says nothing",
    ],
)  # fmt: skip
def test_a_listing_that_lacks_much_at_once_is_doubted(members: list[Any], one: CloudView, doubted: bool) -> None:
    why, changes = doubt(members, one)
    assert bool(why) is doubted
    timers = [timer.kind for change in changes for timer in change.timers if isinstance(timer, Timer)]
    assert timers == ([TimerKind.VANISHED] if doubted else [])


@pytest.mark.parametrize(
    ("since", "confirmed", "doubted"),
    [
        (ago(899), {}, True),
        (ago(900), {}, False),
        (ago(1), {"cloud:east": ahead(1)}, False),
        (ago(1), {UID: NOW}, True),
    ],
    ids=["not yet", "for as long as the grace", "a person confirmed it", "a person confirmed something else"],
)
def test_a_doubted_listing_is_believed_in_the_end(since: Any, confirmed: Any, doubted: bool) -> None:
    timers = [Timer("east", 0, TimerKind.VANISHED, since)]
    why, _ = doubt(running(4), seen(), at=moment(confirmations=Confirmations(confirmed)), timers=timers)
    assert bool(why) is doubted


def test_the_doubt_ends_when_they_are_seen_again() -> None:
    known = finding(FindingKind.SUSPICIOUS, "cloud:east")
    timers = [Timer("east", 0, TimerKind.VANISHED, ago(60))]
    _, (change,) = doubt(running(4), seen(1, 2, 3, 4), timers=timers, findings=[known])
    assert change.timers == (TimerClear("east", 0, TimerKind.VANISHED),)
    assert change.findings == (FindingEnd(FindingKind.SUSPICIOUS, "cloud:east"),)


# --- clouds that the settings do not name any more --------------------------------------------------------------------


def unnamed(members: list[Any], **of: Any) -> tuple[str, list[Any]]:
    """Why east is not seen where the settings name no cloud, and what is written about it."""
    index = index_of(estate(members, **of))
    views, changes = doubts.doubt({}, index, moment())
    return (views["east"].reason if "east" in views else ""), changes


def test_a_cloud_that_is_not_named_and_has_nodes_of_ours_is_one_that_cannot_be_seen() -> None:
    why, (change,) = unnamed(running(2))
    assert why.startswith("the settings do not name it, but 2 nodes of ours are there; name it again")
    (said,) = change.findings
    assert (said.kind, said.subject, said.severity) == (FindingKind.UNREACHABLE, "cloud:east", "critical")
    assert why in said.message


@pytest.mark.parametrize(
    ("members", "rows", "counted"),
    [
        ([member(LAUNCHING)], [], True),
        ([member(FAULTED)], [], True),
        ([member(RETIRED), member(REQUESTED, 2)], [], False),
        ([member(RETIRED)], [incarnation(IncarnationState.ENDING)], True),
        ([], [], False),
    ],
    ids=["being launched", "not well", "ended, and not launched", "its node is still ending", "nothing"],
)
def test_only_nodes_of_ours_make_it_missed(members: list[Any], rows: list[Any], counted: bool) -> None:
    why, changes = unnamed(members, incarnations=rows)
    assert (bool(why), bool(changes)) == (counted, counted)


def test_it_is_said_once_and_over_when_nothing_of_ours_is_there_any_more() -> None:
    known = finding(FindingKind.UNREACHABLE, "cloud:east")
    assert unnamed(running(2), findings=[known])[1] == []
    why, (change,) = unnamed([member(RETIRED)], findings=[known])
    assert (why, change.findings) == ("", (FindingEnd(FindingKind.UNREACHABLE, "cloud:east"),))


def test_a_cloud_that_is_not_seen_is_a_finding_until_it_is() -> None:
    _, (opened,) = doubt(running(1), unseen())
    assert [one.kind for one in opened.findings] == [FindingKind.UNREACHABLE]
    known = finding(FindingKind.UNREACHABLE, "cloud:east")
    assert doubt(running(1), unseen(), findings=[known])[1] == []
    _, (ended,) = doubt(running(1), seen(1), findings=[known])
    assert ended.findings == (FindingEnd(FindingKind.UNREACHABLE, "cloud:east"),)


def test_a_quiet_look_writes_nothing() -> None:
    assert doubt(running(3), seen(1, 2, 3)) == ("", [])
    assert plan(estate(running(3)), seen(1, 2, 3)).quiet


def test_a_doubted_listing_replaces_nothing_that_it_shows_ill() -> None:
    members = [*running(4), member(FAULTED, 5, rung=2)]
    ill = node("n-5", NodeState.ERROR)
    found = plan(estate(members), view(ill, denied=frozenset({"n-1", "n-2", "n-3", "n-4"})))
    assert found.steps == []
    assert [one.step.intent.verb for one in found.held] == [Verb.TERMINATE]
    assert "is doubted" in found.held[0].breaker


# --- questions --------------------------------------------------------------------------------------------------------


def test_what_is_missing_and_would_mean_something_is_asked_for() -> None:
    members = [*running(2), member(LAUNCHING, 3), member(RETIRED, 4, node_id="n-4"), member(ordinal=5, cloud="west")]
    ending = [incarnation(6, node_id="n-6"), incarnation(7, node_id=""), incarnation(8, cloud="west")]
    strays = [
        finding(FindingKind.ORPHAN, "node:east:n-9"), finding(FindingKind.DUPLICATE, "node:east:a:b"),
        finding(FindingKind.ORPHAN, "node:west:n-10"), finding(FindingKind.WILD, "cloud:east"),
    ]  # fmt: skip
    of = estate(members, incarnations=ending, findings=strays)
    assert planner.to_verify(of, "east", seen(1)) == ["n-2", "n-3", "n-6", "n-9", "a:b"]


def test_a_node_is_asked_for_once_though_two_rows_know_it() -> None:
    of = estate(running(1), incarnations=[incarnation()])
    assert planner.to_verify(of, "east", seen()) == ["n-1"]


# --- who decides about what -------------------------------------------------------------------------------------------


def test_a_former_node_is_ended_while_the_next_one_is_launched() -> None:
    """Neither takes the other's intent for its own, and the order to end it is not opened twice."""
    replaced = member(REQUESTED, incarnation=1)
    ending = intent(Verb.TERMINATE, IntentState.RECORDED, created_at=ago(600), retry_at=ago(1), error="Refused: x")
    row = incarnation(cause=Cause.FAULT, last_call_at=ago(600))
    found = plan(estate([replaced], incarnations=[row], intents=[ending]), seen(1))
    assert [(s.intent.verb, s.again) for s in found.steps] == [(Verb.LAUNCH, False), (Verb.TERMINATE, True)]
    assert found.changes == []


def test_the_end_of_a_duplicate_is_not_taken_for_an_action_on_the_appliance() -> None:
    """Whose node is well, or is healed, whatever becomes of the second one."""
    second = node("n-9", of=token(1))
    sweeping = intent(Verb.TERMINATE, IntentState.PERFORMED, node_id="n-9", created_at=ago(20))
    of = estate(
        [member(FAULTED)], intents=[sweeping], findings=[finding(FindingKind.DUPLICATE, "node:east:n-9")],
        known={token(1): incarnation(state=IncarnationState.LIVE)},
    )  # fmt: skip
    found = plan(of, view(node(state=NodeState.ERROR), second))
    assert [(step.intent.verb, step.intent.node_id) for step in found.steps] == [(Verb.REBOOT, "n-1")]
    assert not [update for change in found.changes for update in change.intents]


def test_an_id_that_the_cloud_gave_to_somebody_elses_node_is_not_the_members() -> None:
    theirs = node("n-1", of=token(1, estate="elsewhereaaa"))
    (change, *_) = plan(estate([member()]), view(theirs)).changes
    assert change.member["state"] is REQUESTED


def test_a_member_on_a_cloud_that_is_not_configured_any_more_is_left_as_it_is() -> None:
    found = plan(estate([member(), member(FAULTED, 2)]), view(cloud="west"))
    assert (found.changes, found.steps) == ([], [])
    assert [one.reason for one in found.waiting] == ["cloud east is not seen"]


# --- requests, sets, launches -----------------------------------------------------------------------------------------


def test_a_rolling_request_takes_one_after_another() -> None:
    asked = request(RequestVerb.REBOOT, "storefront/*", state=RequestState.ACCEPTED)
    of = estate(running(3), requests=[asked])
    (step,) = plan(of, seen(1, 2, 3)).steps
    assert (step.intent.verb, step.intent.appliance.ordinal, step.intent.request_id) == (Verb.REBOOT, 1, "request-1")
    done = intent(Verb.REBOOT, IntentState.DONE, request_id="request-1")
    (step,) = plan(of, seen(1, 2, 3), asked={"request-1": [done]}).steps
    assert step.intent.appliance.ordinal == 2


def test_another_tenants_request_reaches_no_set_of_that_name() -> None:
    asked = request(RequestVerb.REPLACE, "storefront/*", state=RequestState.ACCEPTED, tenant="books")
    assert plan(estate(running(2), requests=[asked]), seen(1, 2)).quiet


def test_a_set_has_ended_only_when_no_incarnation_of_it_is_open() -> None:
    going = aset(1, retiring_since=ago(60))
    open_row = incarnation(cause=Cause.COMMANDED)
    members = [member(RETIRED)]
    assert plan(estate(members, sets=[going], incarnations=[open_row]), seen(1)).set_updates == []
    (update,) = plan(estate(members, sets=[going]), seen()).set_updates
    assert update.kind == "set.retired"


def test_launches_share_what_is_left_of_an_offer() -> None:
    members = [member(REQUESTED, n, incarnation=0, cloud="") for n in (1, 2, 3)]
    found = plan(estate(members), seen(), offers=[offer("small", capacity=1), offer("large", capacity=1)])
    assert [step.intent.offer for step in found.steps] == ["east/here-1/small", "east/here-1/large"]
    assert len(found.waiting) == 1


def test_a_launch_whose_offer_is_not_sold_any_more_is_asked_again_with_what_its_row_remembers() -> None:
    opening = incarnation(1, 1, IncarnationState.OPENING, node_id="", size="tiny", offer={"key": "east/here-1/tiny"})
    lost = intent(offer="east/here-1/tiny", appliance=ApplianceId(UID, 1))
    of = estate([member(LAUNCHING, node_id="", since=ago(10))], incarnations=[opening], intents=[lost])
    (step,) = plan(of, seen()).steps
    assert step.again
    assert step.offer is not None
    assert step.offer.key == "east/here-1/tiny"


def test_of_two_nodes_with_a_launchs_token_the_oldest_living_one_is_its_node() -> None:
    young, old = node("n-8", of=token(), created_at=ago(5)), node("n-9", of=token(), created_at=ago(9))
    dead = node("n-7", NodeState.TERMINATED, of=token(), created_at=ago(99))
    of = estate([member(LAUNCHING, node_id="", since=ago(10))], intents=[intent()])
    changes = plan(of, view(young, dead, old)).changes
    assert [change.member["node_id"] for change in changes if change.member] == ["n-9"]


# --- views of the past ------------------------------------------------------------------------------------------------


def test_views_of_the_past_change_facts_and_decide_nothing() -> None:
    members = [member(), member(FAULTED, 2), member(REQUESTED, 3), member(ordinal=4)]
    past = view(node("n-1", NodeState.STOPPED), node("n-2", NodeState.ERROR))
    found = planner.facts(estate(members), {"east": past}, moment())
    assert [change.opens_intent for change in found] == [None, None]
    assert [(change.appliance, change.member.get("state")) for change in found] == [
        (ApplianceId(UID, 1), STOPPED),
        (ApplianceId(UID, 4), None),
    ]
