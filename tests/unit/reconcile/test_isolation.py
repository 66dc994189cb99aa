"""Isolation: how it comes, how it shows, how it stays, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import ALL_VERBS, ago, aset, case, estate, intent, member, node, plan, request, view

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Cause, Member, Power
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.reconcile import requests
from cloudmon.reconcile.picture import Condition, condition_of
from cloudmon.reconcile.plan import Plan
from cloudmon.reconcile.settle import settle

RUNNING, STOPPED, ISOLATED = ApplianceState.RUNNING, ApplianceState.STOPPED, ApplianceState.ISOLATED
WALLED = node(isolated=True)
FREE = node(isolated=False)
NOT_SAID = node(isolated=None)


def due(of: Member, seen: Node, **other: Any) -> list[Verb]:
    """What a tick begins for this member."""
    return [step.intent.verb for step in decided(of, seen, **other).steps]


def decided(of: Member, seen: Node, **other: Any) -> Plan:
    verbs = other.pop("verbs", ALL_VERBS)
    return plan(estate([of], sets=[aset(1)], **other), view(seen, verbs=verbs))


# --- how it shows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "seen", "condition"),
    [
        pytest.param(RUNNING, WALLED, Condition.ISOLATED, id="the cloud says that it is"),
        pytest.param(RUNNING, FREE, Condition.RUNS, id="the cloud says that it is not"),
        pytest.param(RUNNING, NOT_SAID, Condition.RUNS, id="unknown, and it ran"),
        pytest.param(ISOLATED, NOT_SAID, Condition.ISOLATED, id="unknown, and it was isolated"),
        pytest.param(ISOLATED, FREE, Condition.RUNS, id="released"),
        pytest.param(ISOLATED, node(state=NodeState.STOPPED, isolated=True), Condition.OFF, id="stopped all the same"),
    ],
)
def test_what_a_cloud_does_not_say_changes_nothing(state: ApplianceState, seen: Node, condition: Condition) -> None:
    assert condition_of(seen, member(state)) is condition


@pytest.mark.parametrize(
    ("state", "seen", "becomes"),
    [
        pytest.param(RUNNING, WALLED, ISOLATED, id="isolated"),
        pytest.param(ISOLATED, FREE, RUNNING, id="released"),
        pytest.param(ISOLATED, node(state=NodeState.STOPPED, isolated=True), STOPPED, id="stopped"),
        pytest.param(STOPPED, WALLED, ISOLATED, id="started, and isolated still"),
        pytest.param(ISOLATED, node(state=NodeState.ERROR, isolated=True), ApplianceState.FAULTED, id="failed"),
    ],
)
def test_what_is_seen_becomes_the_row(state: ApplianceState, seen: Node, becomes: ApplianceState) -> None:
    change = settle(case(member(state, wanted=Power.ISOLATED), seen))
    assert change is not None
    assert change.member["state"] is becomes


@pytest.mark.parametrize(
    ("state", "seen"), [pytest.param(RUNNING, WALLED, id="isolated"), pytest.param(ISOLATED, FREE, id="released")]
)
def test_it_is_paid_for_as_running_all_the_while(state: ApplianceState, seen: Node) -> None:
    change = settle(case(member(state, wanted=Power.ISOLATED), seen))
    assert change is not None
    assert change.usage == ()


# --- how it comes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "seen"),
    [
        pytest.param(member(wanted=Power.ISOLATED), FREE, id="runs"),
        pytest.param(
            member(STOPPED, wanted=Power.ISOLATED), node(state=NodeState.STOPPED, isolated=False), id="is off"
        ),
    ],
)
def test_what_is_wanted_isolated_is_isolated(of: Member, seen: Node) -> None:
    assert due(of, seen) == [Verb.ISOLATE]


@pytest.mark.parametrize(
    ("of", "seen"),
    [
        pytest.param(member(ISOLATED, wanted=Power.ISOLATED), WALLED, id="runs"),
        pytest.param(
            member(STOPPED, wanted=Power.ISOLATED),
            node(state=NodeState.STOPPED, isolated=True),
            id="is off and isolated",
        ),
        pytest.param(member(ISOLATED, wanted=Power.ISOLATED), NOT_SAID, id="its cloud does not say any more"),
    ],
)
def test_what_is_isolated_as_it_is_wanted_is_left_alone(of: Member, seen: Node) -> None:
    found = decided(of, seen)
    assert (found.steps, found.changes) == ([], [])


def test_a_fallback_says_what_was_asked_for_and_why_it_was_not_done() -> None:
    (step,) = decided(member(wanted=Power.SUSPENDED), FREE, verbs=frozenset({"isolate_node"})).steps
    assert (step.intent.verb, step.intent.evidence["fallback_of"]) == (Verb.ISOLATE, "suspend")
    assert "can neither suspend nor stop, so it is isolated" in step.intent.reason


def test_a_fallback_that_is_reached_is_not_begun_again() -> None:
    assert due(member(ISOLATED, wanted=Power.SUSPENDED), WALLED, verbs=frozenset({"isolate_node"})) == []


def test_what_no_cloud_can_do_is_an_incident_and_not_tried() -> None:
    found = decided(member(wanted=Power.ISOLATED), FREE, verbs=frozenset({"stop_node"}))
    assert found.steps == []
    assert [one.message for change in found.changes for one in change.findings] == [
        "storefront/1: cloud east cannot isolate nodes"
    ]


# --- how it is confirmed, and settled when its answer was lost --------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "seen", "done"),
    [
        pytest.param(Verb.ISOLATE, WALLED, True, id="isolated"),
        pytest.param(Verb.ISOLATE, node(state=NodeState.STOPPED, isolated=True), True, id="isolated while off"),
        pytest.param(Verb.ISOLATE, FREE, False, id="not yet"),
        pytest.param(Verb.ISOLATE, NOT_SAID, False, id="nobody knows"),
        pytest.param(Verb.RELEASE, FREE, True, id="released"),
        pytest.param(Verb.RELEASE, WALLED, False, id="not released yet"),
        pytest.param(Verb.RELEASE, NOT_SAID, False, id="nobody knows that it was released"),
    ],
)
@pytest.mark.parametrize("stands", [IntentState.RECORDED, IntentState.PERFORMED], ids=str)
def test_only_what_is_seen_confirms_it_whatever_became_of_the_answer(
    verb: Verb, seen: Node, done: bool, stands: IntentState
) -> None:
    state = STOPPED if seen.state is NodeState.STOPPED else ISOLATED if verb is Verb.RELEASE else RUNNING
    change = settle(case(member(state, wanted=Power.ISOLATED), seen, intent=intent(verb, stands)))
    closed = [update.state for update in change.intents] if change is not None else []
    assert closed == ([IntentState.DONE] if done else [])


@pytest.mark.parametrize("verb", [Verb.START, Verb.REBOOT], ids=str)
def test_what_is_started_while_it_is_isolated_has_been_started(verb: Verb) -> None:
    change = settle(case(member(STOPPED), WALLED, intent=intent(verb, IntentState.PERFORMED)))
    assert change is not None
    assert [update.state for update in change.intents] == [IntentState.DONE]
    assert change.member["state"] is ISOLATED


# --- how it stays -----------------------------------------------------------------------------------------------------


def test_what_somebody_released_in_the_cloud_is_told_and_isolated_again() -> None:
    of = member(ISOLATED, wanted=Power.ISOLATED)
    (change,) = decided(of, FREE).changes
    assert change.history is not None
    assert (change.history.state, change.history.cause) == (RUNNING, Cause.FAULT)
    assert due(of._replace(state=RUNNING), FREE) == [Verb.ISOLATE]


@pytest.mark.parametrize(
    ("of", "other", "wanted"),
    [
        pytest.param(member(), {}, Power.ISOLATED, id="somebody cut it off, or the store forgot"),
        pytest.param(member(ApplianceState.LAUNCHING), {}, Power.ISOLATED, id="adopted as it was"),
        pytest.param(member(since=ago(40)), {}, None, id="a listing that is behind its release"),
        pytest.param(member(STOPPED), {"intent": intent(Verb.START, IntentState.PERFORMED)}, None, id="started by us"),
        pytest.param(member(wanted=Power.SUSPENDED), {"intent": intent(Verb.ISOLATE)}, None, id="isolated by us"),
    ],
)
def test_what_somebody_cut_off_stays_so_until_it_is_released(
    of: Member, other: dict[str, Any], wanted: Power | None
) -> None:
    change = settle(case(of, WALLED, view=view(WALLED, lag_s=30, call_timeout_s=30), **other))
    assert change is not None
    assert (change.member["state"], change.member.get("wanted")) == (ISOLATED, wanted)


def test_what_is_wanted_running_is_released() -> None:
    assert due(member(ISOLATED), WALLED) == [Verb.RELEASE]


def test_a_release_that_fails_never_costs_it_its_node() -> None:
    assert due(member(ISOLATED, attempts=3), WALLED) == [Verb.RELEASE]
    found = decided(member(ISOLATED, attempts=6), WALLED)
    assert found.steps == []
    assert "act storefront/1 start" in found.changes[0].findings[0].message  # type: ignore[union-attr]


def test_a_node_that_fails_while_it_is_isolated_is_not_healed() -> None:
    of = member(ApplianceState.FAULTED, wanted=Power.ISOLATED)
    assert due(of, node(state=NodeState.ERROR, isolated=True)) == []


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_what_comes_in_the_place_of_an_isolated_node_is_not_isolated() -> None:
    asked = request(RequestVerb.REPLACE, "storefront/1", state=RequestState.ACCEPTED)
    found = plan(
        estate([member(ISOLATED, wanted=Power.ISOLATED)], sets=[aset(1)], requests=[asked]),
        view(WALLED),
        asked={asked.id: []},
    )
    (step,) = found.steps
    assert (step.intent.verb, step.change.member["wanted"]) == (Verb.TERMINATE, Power.RUNNING)


def test_what_comes_after_an_isolated_node_that_was_lost_is_not_isolated() -> None:
    (change,) = plan(
        estate([member(ISOLATED, wanted=Power.ISOLATED)], sets=[aset(1)]), view(denied=frozenset({"n-1"}))
    ).changes
    assert (change.member["state"], change.member["wanted"]) == (ApplianceState.REQUESTED, Power.RUNNING)


def test_what_is_wanted_isolated_and_has_no_node_is_wanted_running_again() -> None:
    """A launch that was to be isolated and failed leaves such a row; nothing would ever come of it."""
    (change,) = plan(estate([member(ApplianceState.REQUESTED, wanted=Power.ISOLATED)], sets=[aset(1)]), view()).changes
    assert change.member == {"wanted": Power.RUNNING}
    assert [(entry.kind, entry.body["wanted"]) for entry in change.log] == [("appliance.wanted", "running")]


# --- what people ask for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [Power.RUNNING, Power.STOPPED], ids=str)
def test_what_has_no_node_is_not_isolated_and_the_way_out_is_said(wanted: Power) -> None:
    gone = member(ApplianceState.REQUESTED, wanted=wanted)
    found = requests.answer(request(RequestVerb.ISOLATE, "storefront/1"), aset(1), [gone], case(gone).now)
    assert (found.state, found.outcome, found.changes) == (
        RequestState.REFUSED, "storefront/1 has no node to isolate; stop it, and it is not given one", (),
    )  # fmt: skip


def test_of_a_whole_set_those_are_isolated_that_have_a_node_or_are_about_to() -> None:
    members = [member(), member(ApplianceState.LAUNCHING, 2, node_id=""), member(ApplianceState.REQUESTED, 3)]
    found = requests.answer(request(RequestVerb.ISOLATE, "storefront/*"), aset(3), members, case(member()).now)
    assert [change.appliance for change in found.changes] == [members[0].id, members[1].id]


def test_only_what_is_isolated_is_released() -> None:
    members = [member(ISOLATED, 1, wanted=Power.ISOLATED), member(STOPPED, 2, wanted=Power.STOPPED), member(RUNNING, 3)]
    found = requests.answer(request(RequestVerb.REJOIN, "storefront/*"), aset(3), members, case(member()).now)
    assert [change.appliance for change in found.changes] == [members[0].id]
    refused = requests.answer(request(RequestVerb.REJOIN, "storefront/2"), aset(3), members, case(member()).now)
    assert (refused.state, refused.outcome) == (RequestState.REFUSED, "storefront/2 is not isolated")


@pytest.mark.parametrize(
    ("verb", "members", "outcome"),
    [
        pytest.param(RequestVerb.ISOLATE, [member(wanted=Power.ISOLATED)], None, id="not yet"),
        pytest.param(
            RequestVerb.ISOLATE, [member(ISOLATED, wanted=Power.ISOLATED)], "1 appliance isolated", id="isolated"
        ),
        pytest.param(
            RequestVerb.ISOLATE,
            [member(ISOLATED, wanted=Power.ISOLATED), member(STOPPED, 2, wanted=Power.ISOLATED)],
            "2 appliances: 1 isolated, the others are off",
            id="one is off",
        ),
        pytest.param(
            RequestVerb.ISOLATE,
            [member(ISOLATED, wanted=Power.ISOLATED), member(ApplianceState.REQUESTED, 2)],
            "1 appliance isolated; 1 without a node then, or asked for something else since, not isolated",
            id="one had no node",
        ),
        pytest.param(
            RequestVerb.ISOLATE,
            [member(ApplianceState.REQUESTED)],
            "its node was lost, or somebody asked for something else since",
            id="its node was lost",
        ),
        pytest.param(
            RequestVerb.SUSPEND,
            [member(ISOLATED, wanted=Power.SUSPENDED)],
            "1 appliance out of service; 1 isolated, which their cloud can and to suspend or stop it cannot",
            id="in place of a suspension",
        ),
        pytest.param(RequestVerb.STOP, [member(ISOLATED, wanted=Power.STOPPED)], None, id="isolated is not stopped"),
        pytest.param(RequestVerb.REJOIN, [member(ISOLATED)], None, id="not released yet"),
        pytest.param(
            RequestVerb.REJOIN,
            [member(RUNNING), member(STOPPED, 2, wanted=Power.STOPPED)],
            "1 appliance running",
            id="released, beside one that is wanted off",
        ),
    ],
)
def test_a_request_ends_when_it_is_so(verb: RequestVerb, members: list[Member], outcome: str | None) -> None:
    found = requests.progress(request(verb, "storefront/*"), members, [])
    assert (None if found is None else found.outcome) == outcome


@pytest.mark.parametrize(
    ("verbs", "healthy", "refused"),
    [
        pytest.param(ALL_VERBS, True, False, id="it can"),
        pytest.param(frozenset({"stop_node"}), True, True, id="it cannot"),
        pytest.param(frozenset(), False, False, id="it is not seen now"),
    ],
)
def test_a_cloud_that_cannot_isolate_is_named(verbs: frozenset[str], healthy: bool, refused: bool) -> None:
    views = {"east": view(verbs=verbs, healthy=healthy)}
    for of in (member(), member(ApplianceState.LAUNCHING, node_id="")):
        found = requests.walless(request(RequestVerb.ISOLATE, "storefront/1"), [of], views)
        assert ("cloud east, which cannot isolate nodes" in found) is refused
