"""One appliance, one decision: each rung of the ladder, and which of two wins."""

from __future__ import annotations

from typing import Any

import pytest
from decided import (
    FAULTED,
    ILL,
    LAUNCHING,
    LEAST,
    MAINTAINED,
    OFF,
    PAUSED,
    PROTECTED,
    REQUESTED,
    RETIRED,
    RETIRING,
    RETIRING_SET,
    RUNNING,
    STOPPED,
    SUSPENDED,
    change,
    decided,
    step,
    waits,
)
from pictures import (
    ago,
    ahead,
    aset,
    intent,
    member,
    moment,
    node,
    request,
    unseen,
    view,
)

from cloudmon.model.actions import ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Member, Power
from cloudmon.model.changes import Change
from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import Healing, Lease
from cloudmon.reconcile.decide import KEEPING_TRIES
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.plan import Step

# --- the order of the rungs -------------------------------------------------------------------------------------------

REBOOT_ASKED = request(RequestVerb.REBOOT)
IN_FLIGHT = intent(Verb.REBOOT, IntentState.PERFORMED)


@pytest.mark.parametrize(
    ("of", "seen", "other", "expected"),
    [
        (member(), node(), {"aset": RETIRING_SET, "intent": IN_FLIGHT}, "terminate"),
        (member(), node(), {"aset": RETIRING_SET, "asked": REBOOT_ASKED}, "terminate"),
        (member(RETIRING), None, {"open_incarnations": True, "aset": PAUSED}, "waits until the cloud shows no node"),
        (member(), node(), {"intent": IN_FLIGHT, "asked": REBOOT_ASKED}, "was accepted and is not seen yet"),
        (member(FAULTED), ILL, {"intent": IN_FLIGHT, "aset": PAUSED}, "was accepted and is not seen yet"),
        (member(), node(), {"asked": REBOOT_ASKED, "aset": PAUSED}, "reboot"),
        (member(retry_at=ahead(60)), node(), {"asked": REBOOT_ASKED}, "reboot"),
        (member(REQUESTED), None, {"aset": aset(lease=Lease(start=ahead(60)), controls=PAUSED.controls)}, "lease has"),
        (member(FAULTED, retry_at=ahead(60)), ILL, {"aset": PAUSED}, "is paused by ann: audit"),
        (member(REQUESTED), None, {"aset": PAUSED}, "is paused by ann: audit"),
        (member(REQUESTED, retry_at=ahead(60)), None, {}, "waits before the next try"),
        (member(REQUESTED), None, {"view": unseen()}, "launch"),
        (member(REQUESTED), None, {"aset": MAINTAINED}, "launch"),
        (member(wanted=Power.STOPPED), None, {"view": unseen()}, "cloud east is not seen"),
        (member(FAULTED), None, {"view": None}, "cloud east is not seen"),
        (member(wanted=Power.STOPPED), node(), {"aset": MAINTAINED}, "stop"),
        (member(STOPPED), OFF, {"aset": MAINTAINED}, "is in maintenance"),
        (member(FAULTED), ILL, {"aset": MAINTAINED}, "is in maintenance"),
        (member(STOPPED), OFF, {}, "start"),
        (member(FAULTED), ILL, {}, "reboot"),
    ],
    ids=[
        "retirement before what is in flight",
        "retirement before a request",
        "what retires waits for its end even when paused",
        "what is in flight before a request",
        "what is in flight even when paused",
        "a request even when paused",
        "a request before the pause after failures",
        "a lease that has not begun before a pause",
        "a pause before the pause after failures",
        "nothing is launched when paused",
        "the pause after failures before a launch",
        "a launch needs no view",
        "a launch even in maintenance",
        "nothing to a node that cannot be seen",
        "nothing to a node of a cloud that is not configured",
        "off where it is wanted off, even in maintenance",
        "nothing is started in maintenance",
        "nothing is healed in maintenance",
        "what is off and wanted running is started",
        "what is faulted is healed",
    ],
)
def test_the_rung_that_comes_first_wins(of: Member, seen: Any, other: dict[str, Any], expected: str) -> None:
    found = decided(of, seen, **other)
    said = found.intent.verb.value if isinstance(found, Step) else waits(found).reason
    assert expected in said


@pytest.mark.parametrize(
    ("of", "seen"),
    [
        (member(), node()),
        (member(LAUNCHING), node(state=NodeState.PENDING)),
        (member(STOPPED, wanted=Power.STOPPED), OFF),
        (member(SUSPENDED, wanted=Power.SUSPENDED), node(state=NodeState.SUSPENDED)),
        (member(STOPPED, wanted=Power.SUSPENDED), OFF),
        (member(REQUESTED, wanted=Power.STOPPED), None),
        (member(RETIRED, ordinal=4), None),
    ],
    ids=["runs", "boots", "is off", "is frozen", "is off where frozen is wanted", "has none", "has ended"],
)
def test_nothing_is_due_where_it_is_as_it_is_wanted(of: Member, seen: Any) -> None:
    assert decided(of, seen) is None


# --- retirement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [RUNNING, STOPPED, SUSPENDED, FAULTED, LAUNCHING])
def test_retirement_ends_the_node_under_its_own_budget(state: ApplianceState) -> None:
    found = step(decided(member(state), node(), aset=RETIRING_SET))
    assert (found.intent.verb, found.intent.action_class) == (Verb.TERMINATE, ActionClass.RETIREMENT)
    assert (found.intent.origin, found.intent.reason) == (Origin.WANTED, "its lease ended")
    assert found.change.member["state"] is RETIRING
    values = found.change.incarnations[0].values
    assert (values["state"], values["cause"]) == (IncarnationState.ENDING, Cause.COMMANDED)
    assert values["last_call_at"] == moment().now


def test_a_member_beyond_the_count_is_retired() -> None:
    found = step(decided(member(ordinal=4), node("n-4")))
    assert found.intent.reason == "the set was made smaller"


def test_retirement_of_a_lost_launch_marks_it_and_calls_nobody() -> None:
    """Without a node known there is nothing to end yet; ``endings`` looks for it."""
    found = change(decided(member(LAUNCHING, node_id=""), aset=RETIRING_SET, intent=intent()))
    assert found.opens_intent is None
    assert found.incarnations[0].values["state"] is IncarnationState.ENDING
    assert [(update.id, update.state) for update in found.intents] == [("intent-0", IntentState.FAILED)]


def test_retirement_waits_for_protection_and_says_so() -> None:
    protected = aset(retiring_since=ago(60), retired_reason="its lease ended", controls=PROTECTED.controls)
    assert "its lease ended), but is protected by ann" in waits(decided(member(), node(), aset=protected)).reason


@pytest.mark.parametrize(
    ("verb", "ended"), [(Verb.STOP, True), (Verb.REBOOT, True), (Verb.LAUNCH, False)], ids=["stop", "reboot", "launch"]
)
def test_what_is_under_way_comes_to_its_end_while_protection_holds_retirement_back(verb: Verb, ended: bool) -> None:
    """It would stay open for as long; but nothing is launched for what is to retire."""
    protected = aset(retiring_since=ago(60), retired_reason="its lease ended", controls=PROTECTED.controls)
    found = decided(member(), node(), aset=protected, intent=intent(verb, IntentState.PERFORMED, created_at=ago(300)))
    if ended:
        assert [update.state for update in change(found).intents] == [IntentState.FAILED]
    else:
        assert "but is protected by ann" in waits(found).reason


@pytest.mark.parametrize("state", [REQUESTED, RETIRING])
def test_it_has_ended_once_no_incarnation_is_open(state: ApplianceState) -> None:
    found = change(decided(member(state), aset=RETIRING_SET))
    assert found.member["state"] is RETIRED


@pytest.mark.parametrize("state", [REQUESTED, RETIRING])
def test_it_has_not_ended_while_a_node_of_it_may_be_there(state: ApplianceState) -> None:
    """The order to end its former node is left to ``endings``, not given up."""
    ending = intent(Verb.TERMINATE, IntentState.PERFORMED)
    found = decided(member(state), aset=RETIRING_SET, open_incarnations=True, intent=ending)
    assert "until the cloud shows no node" in waits(found).reason


def test_a_member_that_was_on_its_way_out_when_the_set_grew_again_begins_anew() -> None:
    """Its row was retiring when the set was put, so only this makes it wanted again."""
    found = change(decided(member(RETIRED, ordinal=2, wanted=Power.STOPPED, attempts=3)))
    assert (found.member["state"], found.member["wanted"]) == (REQUESTED, Power.RUNNING)
    assert (found.member["attempts"], found.member["rung"]) == (0, 0)
    assert "incarnation" not in found.member


# --- what is under way ------------------------------------------------------------------------------------------------


def test_a_new_launch_gives_the_former_node_time_to_leave_its_place() -> None:
    """A quota or a capacity may have room for one of them only. It never gives the termination up."""
    ending = intent(Verb.TERMINATE, IntentState.PERFORMED, created_at=ago(299))
    assert "former node" in waits(decided(member(REQUESTED), intent=ending, open_incarnations=True)).reason
    late = intent(Verb.TERMINATE, IntentState.RECORDED, created_at=ago(300), retry_at=ahead(90), error="Refused: no")
    found = step(decided(member(REQUESTED), intent=late, open_incarnations=True))
    assert found.intent.verb is Verb.LAUNCH
    assert found.change.intents == ()


@pytest.mark.parametrize(
    ("under_way", "other", "expected"),
    [
        (intent(Verb.START, retry_at=ahead(9), error="Unreachable: x"), {}, "start is tried again: Unreachable: x"),
        (intent(Verb.START, IntentState.PERFORMED, created_at=ago(299)), {}, "was accepted and is not seen yet"),
        (intent(Verb.START), {"moment": moment(in_flight=frozenset({"intent-0"}))}, "start is on its way"),
    ],
    ids=["its pause is not over", "it has time to show itself", "its call has not come back"],
)
def test_what_is_under_way_is_waited_for(under_way: Any, other: dict[str, Any], expected: str) -> None:
    assert expected in waits(decided(member(STOPPED), OFF, intent=under_way, **other)).reason


@pytest.mark.parametrize(
    ("under_way", "why"),
    [
        (intent(Verb.START, IntentState.PERFORMED, created_at=ago(300)), "showed no effect"),
        (intent(Verb.START), "not known"),
        (intent(Verb.REBOOT, retry_at=ago(1), error="Unreachable: lost"), "not known"),
        (intent(Verb.REBOOT, retry_at=ago(1), error="RateLimited: slower", attempts=6), "not known"),
    ],
    ids=["no effect in time", "interrupted by a crash", "its answer was lost", "throttled again and again"],
)
def test_a_power_action_that_came_to_nothing_is_given_up(under_way: Any, why: str) -> None:
    """Doing it once more could do it twice; the appliance is looked at anew after a pause."""
    found = change(decided(member(STOPPED, attempts=1), OFF, intent=under_way))
    assert [update.state for update in found.intents] == [IntentState.FAILED]
    assert why in str(found.intents[0].values["error"])
    assert (found.member["attempts"], found.member["retry_at"]) == (2, ahead(120))


@pytest.mark.parametrize(
    "under_way",
    [
        intent(Verb.ADOPT),
        intent(Verb.SNAPSHOT),
        intent(Verb.REBOOT, retry_at=ago(1), error="RateLimited: slower"),
    ],
    ids=["tags are written again", "a name keeps nothing twice", "what the cloud only throttled is asked again"],
)
def test_what_is_certain_to_do_no_harm_is_tried_again(under_way: Any) -> None:
    found = step(decided(member(STOPPED), OFF, intent=under_way))
    assert found.again
    assert found.intent.id == "intent-0"
    assert found.change.intents[0].values["attempts"] == 1
    assert found.change.opens_intent is None


def test_a_snapshot_that_nobody_answers_is_done_without_and_is_no_failure_of_its_node() -> None:
    """What comes after, the quarantine, does not wait for it."""
    under_way = intent(Verb.SNAPSHOT, attempts=KEEPING_TRIES, error="Unreachable: no answer")
    found = decided(member(), intent=under_way)
    assert isinstance(found, Change)
    assert (found.intents[0].state, found.member) == (IntentState.FAILED, {})


# --- what people ask for ----------------------------------------------------------------------------------------------


def test_a_replacement_asked_for_ends_the_node_and_wants_another() -> None:
    found = step(decided(member(), node(), asked=request(RequestVerb.REPLACE)))
    assert (found.intent.verb, found.intent.origin) == (Verb.TERMINATE, Origin.REQUEST)
    assert (found.intent.action_class, found.intent.request_id) == (ActionClass.DESTRUCTIVE, "request-1")
    assert found.change.member["state"] is REQUESTED


def test_a_replacement_asked_for_is_a_new_beginning() -> None:
    """What failed before does not count against the next one."""
    found = step(decided(member(FAULTED, rung=6, attempts=3), ILL, asked=request(RequestVerb.REPLACE)))
    assert (found.change.member["rung"], found.change.member["attempts"]) == (0, 0)
    assert found.change.member["retry_at"] is None


@pytest.mark.parametrize(
    ("of", "seen", "other", "why"),
    [
        (member(REQUESTED), None, {}, "has no node to replace"),
        (member(), None, {"view": unseen()}, "is not seen"),
        (member(), node(), {"aset": PROTECTED}, "is protected and is not replaced"),
    ],
    ids=["no node", "no view", "protected"],
)
def test_a_replacement_asked_for_waits(of: Member, seen: Any, other: dict[str, Any], why: str) -> None:
    assert why in waits(decided(of, seen, asked=request(RequestVerb.REPLACE), **other)).reason


# --- power ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "verbs", "verb", "fallback"),
    [
        (Power.STOPPED, LEAST, Verb.STOP, None),
        (Power.SUSPENDED, LEAST | {"suspend_node"}, Verb.SUSPEND, None),
        (Power.SUSPENDED, LEAST, Verb.STOP, "suspend"),
        (Power.SUSPENDED, LEAST | {"isolate_node"}, Verb.STOP, "suspend"),
        (Power.SUSPENDED, frozenset({"isolate_node"}), Verb.ISOLATE, "suspend"),
        (Power.SUSPENDED, frozenset(), Verb.STOP, "suspend"),
        (Power.ISOLATED, LEAST | {"suspend_node", "isolate_node"}, Verb.ISOLATE, None),
    ],
    ids=[
        "stopped",
        "suspended",
        "stopped where the cloud cannot suspend, which is part of the record",
        "stopped rather than isolated",
        "isolated where the cloud can neither suspend nor stop",
        "stopped, which the cloud refuses, where it can do nothing at all",
        "isolated",
    ],
)
def test_what_is_wanted_off_is_turned_off(wanted: Power, verbs: frozenset[str], verb: Verb, fallback: str) -> None:
    found = step(decided(member(wanted=wanted), node(), view=view(node(), verbs=verbs)))
    assert found.intent.verb is verb
    assert found.intent.evidence.get("fallback_of") == fallback
    assert found.change.member == {}


def test_what_is_faulted_and_wanted_off_is_turned_off_and_not_healed() -> None:
    assert step(decided(member(FAULTED, wanted=Power.STOPPED), ILL)).intent.verb is Verb.STOP


def test_what_is_frozen_is_thawed() -> None:
    assert step(decided(member(SUSPENDED), node(state=NodeState.SUSPENDED))).intent.verb is Verb.RESUME


@pytest.mark.parametrize(
    ("of", "seen"),
    [
        (member(STOPPED, wanted=Power.RUNNING), Condition.UNSEEN),
        (member(STOPPED, wanted=Power.RUNNING, attempts=2), Condition.UNSEEN),
        (member(STOPPED), node(state=NodeState.TERMINATING)),
        (member(STOPPED), node(state=NodeState.UNKNOWN, word="dreaming")),
        (member(wanted=Power.STOPPED), Condition.UNSEEN),
        (member(FAULTED), Condition.UNSEEN),
        (member(FAULTED, rung=5), Condition.UNSEEN),
    ],
    ids=[
        "start what is not listed", "replace what does not start and is not listed", "start what leaves",
        "start what is in an unknown state", "stop what is not listed", "reboot what is not listed",
        "replace what is not listed",
    ],
)  # fmt: skip
def test_no_order_goes_to_a_node_whose_state_is_not_known(of: Member, seen: Any) -> None:
    waits(decided(of, seen))


def test_what_does_not_start_again_is_replaced() -> None:
    assert step(decided(member(STOPPED, attempts=1), OFF)).intent.verb is Verb.START
    found = step(decided(member(STOPPED, attempts=2), OFF))
    assert (found.intent.verb, found.intent.origin) == (Verb.TERMINATE, Origin.OBSERVATION)


@pytest.mark.parametrize(
    "barred",
    [PROTECTED, aset(healing=Healing(ladder=("reboot",)))],
    ids=["it is protected", "its policy knows no replacing"],
)
def test_what_does_not_start_again_is_tried_on_where_it_may_not_be_replaced(barred: Any) -> None:
    assert step(decided(member(STOPPED, attempts=5), OFF, aset=barred)).intent.verb is Verb.START
    found = change(decided(member(STOPPED, attempts=6), OFF, aset=barred))
    assert [finding.kind for finding in found.findings] == [FindingKind.INCIDENT]
