"""What one look changes in one appliance's row: each state of the row against each condition of its node."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pictures import ago, ahead, aset, case, control, intent, member, moment, node, timers_of, token, view
from settled import FAULTED, LAUNCHING, REQUESTED, RUNNING, STOPPED, SUSPENDED, look

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, IncarnationState, Power
from cloudmon.model.changes import TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.sets import ControlKind, Healing
from cloudmon.model.usage import Dimension, Mark
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.settle import settle


def sentence(value: object) -> str | None:
    return value.value if isinstance(value, ApplianceState | Condition) else "nothing" if value is None else None


@pytest.mark.parametrize(
    ("state", "condition", "becomes"),
    [
        (LAUNCHING, Condition.RUNS, RUNNING),
        (LAUNCHING, Condition.OFF, STOPPED),
        (LAUNCHING, Condition.FROZEN, SUSPENDED),
        (LAUNCHING, Condition.BAD, FAULTED),
        (LAUNCHING, Condition.GONE, REQUESTED),
        (RUNNING, Condition.OFF, STOPPED),
        (RUNNING, Condition.FROZEN, SUSPENDED),
        (RUNNING, Condition.BAD, FAULTED),
        (RUNNING, Condition.GONE, REQUESTED),
        (STOPPED, Condition.RUNS, RUNNING),
        (STOPPED, Condition.FROZEN, SUSPENDED),
        (STOPPED, Condition.BAD, FAULTED),
        (STOPPED, Condition.GONE, REQUESTED),
        (SUSPENDED, Condition.RUNS, RUNNING),
        (SUSPENDED, Condition.OFF, STOPPED),
        (SUSPENDED, Condition.BAD, FAULTED),
        (SUSPENDED, Condition.GONE, REQUESTED),
        (FAULTED, Condition.RUNS, RUNNING),
        (FAULTED, Condition.OFF, STOPPED),
        (FAULTED, Condition.FROZEN, SUSPENDED),
        (FAULTED, Condition.GONE, REQUESTED),
    ],
    ids=sentence,
)
def test_what_is_seen_becomes_the_row(state: ApplianceState, condition: Condition, becomes: ApplianceState) -> None:
    """With its history, and only while the row is what it was."""
    change = look(state, condition)
    assert change is not None
    assert change.member["state"] is becomes
    assert change.expect is not None
    assert (change.expect.state, change.expect.incarnation) == (state, 1)
    assert change.history is not None
    assert (change.history.previous, change.history.state) == (state, becomes)


@pytest.mark.parametrize(
    ("state", "condition"),
    [
        *((REQUESTED, condition) for condition in Condition),
        *((ApplianceState.RETIRING, condition) for condition in Condition),
        *((ApplianceState.RETIRED, condition) for condition in Condition),
        (RUNNING, Condition.RUNS),
        (STOPPED, Condition.OFF),
        (SUSPENDED, Condition.FROZEN),
        *((state, Condition.LEAVING) for state in (RUNNING, STOPPED, SUSPENDED, FAULTED)),
        *((state, Condition.UNKNOWN) for state in (RUNNING, STOPPED, SUSPENDED, FAULTED)),
        *((state, Condition.CHANGES) for state in (STOPPED, SUSPENDED, FAULTED)),
        (FAULTED, Condition.BAD),
    ],
    ids=sentence,
)
def test_nothing_changes_where_the_row_agrees_or_nothing_is_known(state: ApplianceState, condition: Condition) -> None:
    assert look(state, condition) is None


@pytest.mark.parametrize("state", [STOPPED, SUSPENDED, FAULTED], ids=sentence)
def test_what_is_only_not_listed_stays_what_it_was(state: ApplianceState) -> None:
    """That it is missed may be remembered; nothing follows from it."""
    change = look(state, Condition.UNSEEN)
    assert change is None or (not change.member and change.history is None and not change.usage)


@pytest.mark.parametrize("state", ApplianceState, ids=sentence)
def test_no_view_is_no_news(state: ApplianceState) -> None:
    assert settle(case(member(state), Condition.UNKNOWN, view=None)) is None


@pytest.mark.parametrize(
    ("condition", "kind"),
    [(Condition.UNSEEN, TimerKind.ABSENT), (Condition.CHANGES, TimerKind.FAULT)],
    ids=["missing", "on its way somewhere"],
)
def test_a_running_appliance_is_only_timed_at_first(condition: Condition, kind: TimerKind) -> None:
    """Missing or on its way without our asking: since when is remembered, once, and nothing is decided."""
    change = look(RUNNING, condition)
    assert change is not None
    assert [timer.kind for timer in change.timers] == [kind]
    assert not change.member
    assert look(RUNNING, condition, timers=timers_of(kind)) is None


def test_a_missing_node_that_is_seen_again_was_not_gone_since() -> None:
    """Whatever state it is seen in: its usage must not be ended in the past when it goes later."""
    absent = timers_of(TimerKind.ABSENT, since=ago(900))
    for condition in (Condition.RUNS, Condition.CHANGES, Condition.LEAVING, Condition.UNKNOWN):
        change = look(RUNNING, condition, timers=absent)
        assert change is not None, condition
        assert TimerClear(member().set_uid, 1, TimerKind.ABSENT) in change.timers, condition


def test_what_is_gone_ended_when_it_was_first_missed() -> None:
    """However long the cloud took to deny it, if the cloud was watched ever since; else when it was seen to be gone."""
    absent = timers_of(TimerKind.ABSENT, since=ago(300))
    for watched_since, at in ((ago(900), ago(300)), (ago(299), moment().now), (None, moment().now)):
        change = look(RUNNING, Condition.GONE, timers=absent, view=view(watched_since=watched_since))
        assert change is not None
        assert {event.at for event in change.usage} == {at}
        assert {event.mark for event in change.usage} == {Mark.ENDED}
        assert change.incarnations[0].values["until"] == at


def test_stuck_on_its_way_is_a_fault_after_the_time_a_boot_may_take() -> None:
    late = timers_of(TimerKind.FAULT, since=ago(600))
    change = look(RUNNING, Condition.CHANGES, timers=late)
    assert change is not None
    assert change.member["state"] is FAULTED
    assert look(RUNNING, Condition.CHANGES, timers=timers_of(TimerKind.FAULT, since=ago(599))) is None


def test_an_action_of_ours_explains_that_a_node_is_on_its_way() -> None:
    assert look(RUNNING, Condition.CHANGES, intent=intent(Verb.REBOOT)) is None


# --- launching --------------------------------------------------------------------------------------------------------


def test_a_launched_node_that_a_listing_past_the_lag_lacks_is_missed_from_then_on() -> None:
    """Should it be denied later, it was not seen to run in between."""
    named = {"node_id": "n-1", "since": ago(120)}
    launch = intent(Verb.LAUNCH, IntentState.PERFORMED)
    missing = case(member(LAUNCHING, **named), Condition.UNSEEN, intent=launch)
    change = settle(missing)
    assert change is not None
    assert ([timer.kind for timer in change.timers], dict(change.member)) == ([TimerKind.ABSENT], {})
    young = case(member(LAUNCHING, **{**named, "since": ago(5)}), Condition.UNSEEN, intent=launch)
    assert settle(young) is None
    absent = timers_of(TimerKind.ABSENT, since=ago(60))
    watched = view(watched_since=ago(900))
    gone = settle(case(member(LAUNCHING, **named), Condition.GONE, intent=launch, timers=absent, view=watched))
    assert gone is not None
    assert {event.at for event in gone.usage} == {ago(60)}
    booting = settle(case(member(LAUNCHING, **named), node(state=NodeState.PENDING), intent=launch, timers=absent))
    assert booting is not None
    assert booting.timers == (TimerClear(member().set_uid, 1, TimerKind.ABSENT),)


def test_one_that_did_not_come_up_in_time_and_is_missing_stays_missed_since_then() -> None:
    late = member(LAUNCHING, node_id="n-1", since=ago(3_600))
    absent = timers_of(TimerKind.ABSENT, since=ago(60))
    for found, cleared in ((Condition.UNSEEN, False), (node(state=NodeState.PENDING), True)):
        change = settle(case(late, found, intent=intent(Verb.LAUNCH, IntentState.PERFORMED), timers=absent))
        assert change is not None
        assert change.member["state"] is FAULTED
        assert (TimerClear(member().set_uid, 1, TimerKind.ABSENT) in change.timers) is cleared


def test_the_first_sighting_confirms_a_launch_and_meters_from_the_clouds_word() -> None:
    launch = intent(Verb.LAUNCH, IntentState.PERFORMED)
    found = node(created_at=ago(20), public_addresses=("198.18.0.1",))
    young = member(LAUNCHING, since=ago(30), node_id="", attempts=2, retry_at=ago(1))
    change = settle(case(young, found, intent=launch))
    assert change is not None
    assert (change.member["attempts"], change.member["retry_at"]) == (0, None)
    assert change.intents[0].state is IntentState.DONE
    values = change.incarnations[0].values
    assert (values["state"], values["since"]) == (IncarnationState.LIVE, ago(20))
    assert values["public_addresses"] == ("198.18.0.1",)
    assert [(e.dimension, e.mark, e.at) for e in change.usage] == [(Dimension.NODE_RUNNING, Mark.BEGAN, ago(20))]
    assert change.usage[0].evidence["source"] == "cloud"


@pytest.mark.parametrize(
    "created_at",
    [None, ago(86_400), ahead(60)],
    ids=["the cloud does not say", "it says before the launch", "it says later than now"],
)
def test_a_first_sighting_counts_from_itself_where_the_clouds_word_cannot_be_true(
    created_at: dt.datetime | None,
) -> None:
    change = settle(case(member(LAUNCHING, since=ago(30), node_id=""), node(created_at=created_at)))
    assert change is not None
    assert change.usage[0].at == moment().now
    assert change.usage[0].evidence["source"] == "listing"


def test_a_node_found_booting_is_metered_though_the_answer_to_its_launch_was_lost() -> None:
    found = node("n-7", NodeState.PENDING, of=token(), created_at=ago(5))
    change = settle(case(member(LAUNCHING, since=ago(10), node_id=""), found, intent=intent()))
    assert change is not None
    assert change.member == {"node_id": "n-7", "location": "here-1"}
    assert [(e.mark, e.node_id, e.at) for e in change.usage] == [(Mark.BEGAN, "n-7", ago(5))]


def test_a_node_first_seen_off_is_not_metered_as_running() -> None:
    change = settle(case(member(LAUNCHING, since=ago(10), node_id=""), node(state=NodeState.STOPPED)))
    assert change is not None
    assert [event.dimension for event in change.usage] == [Dimension.NODE_STOPPED]


@pytest.mark.parametrize(
    "condition",
    [Condition.CHANGES, Condition.UNSEEN, Condition.UNKNOWN, Condition.LEAVING],
    ids=["booting", "never listed", "in a state with an unknown word", "leaving"],
)
def test_a_launch_that_never_runs_is_a_fault_in_the_end(condition: Condition) -> None:
    """Its intent comes to an end; before the timeout nothing changes, but that it is known to be missed."""
    launch = intent(Verb.LAUNCH, IntentState.PERFORMED)
    missed = timers_of(TimerKind.ABSENT, since=ago(500)) if condition is Condition.UNSEEN else {}
    assert look(LAUNCHING, condition, since=ago(599), intent=launch, timers=missed) is None
    change = look(LAUNCHING, condition, since=ago(600), intent=launch)
    assert change is not None
    assert change.member["state"] is FAULTED
    assert change.intents[0].state is IntentState.FAILED


def test_a_young_node_that_the_cloud_denies_is_waited_for() -> None:
    """It may only not know it yet; past the time in flight and the lag it is gone."""
    assert look(LAUNCHING, Condition.GONE, since=ago(59)) is None
    change = look(LAUNCHING, Condition.GONE, since=ago(60), intent=intent(Verb.LAUNCH, IntentState.PERFORMED))
    assert change is not None
    assert (change.member["state"], change.member["attempts"]) == (REQUESTED, 1)
    assert change.member["retry_at"] == ahead(60)


@pytest.mark.parametrize(
    ("attempts", "retry_at", "said"),
    [(3, ahead(480), []), (4, ahead(3_600), ["storefront/1: 5 launches failed, the last with its node ended before"])],
    ids=["the pauses grow", "the fifth is an incident"],
)
def test_nodes_that_end_before_they_ran_are_an_incident_in_the_end(
    attempts: int, retry_at: dt.datetime, said: list[str]
) -> None:
    """By the same rule as launches that are refused."""
    launch = intent(Verb.LAUNCH, IntentState.PERFORMED)
    change = look(LAUNCHING, Condition.GONE, since=ago(60), intent=launch, attempts=attempts)
    assert change is not None
    assert (change.member["attempts"], change.member["retry_at"]) == (attempts + 1, retry_at)
    incidents = [found for found in change.findings if isinstance(found, Finding)]
    assert [found.kind for found in incidents] == [FindingKind.INCIDENT] * len(said)
    assert all(found.message.startswith(text) for found, text in zip(incidents, said, strict=True))


# --- what is lost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [RUNNING, STOPPED, SUSPENDED, FAULTED], ids=sentence)
@pytest.mark.parametrize(
    ("rung", "pause_s"),
    [(0, None), (1, 60), (2, 120), (5, 960), (60, 3_600)],
    ids=["the first is given back at once", "the second after a pause", "the third after a longer one", "the sixth",
         "never longer than the longest"],
)  # fmt: skip
def test_a_node_that_is_lost_unasked_is_a_rung_of_the_ladder(
    state: ApplianceState, rung: int, pause_s: int | None
) -> None:
    change = look(state, Condition.GONE, rung=rung)
    assert change is not None
    assert change.member["rung"] == rung + 1
    assert change.member.get("retry_at") == (None if pause_s is None else ahead(pause_s))


@pytest.mark.parametrize("rung", [0, 1])
def test_a_node_that_ended_before_it_ran_was_lost_too(rung: int) -> None:
    change = look(LAUNCHING, Condition.GONE, since=ago(60), intent=intent(Verb.LAUNCH), rung=rung)
    assert change is not None
    assert (change.member["rung"], change.member["attempts"]) == (rung + 1, 1)
    assert change.member["retry_at"] == ahead(60)


@pytest.mark.parametrize(
    "other",
    [{"view": view(after_gap=True)}, {"aset": aset(controls=(control(ControlKind.MAINTENANCE),))}],
    ids=["the cloud was away", "in maintenance"],
)
def test_what_is_lost_for_a_reason_that_is_known_counts_nothing(other: dict[str, Any]) -> None:
    change = look(RUNNING, Condition.GONE, rung=2, **other)
    assert change is not None
    assert not {"rung", "retry_at"} & set(change.member)


@pytest.mark.parametrize("condition", [Condition.OFF, Condition.FROZEN], ids=sentence)
@pytest.mark.parametrize("state", [RUNNING, FAULTED], ids=sentence)
def test_a_node_that_goes_off_by_itself_is_a_rung_as_well(state: ApplianceState, condition: Condition) -> None:
    """Starting it again and again is a repetition like launching again and again."""
    first, later = look(state, condition), look(state, condition, rung=2)
    assert first is not None
    assert later is not None
    assert (first.member["rung"], first.member.get("retry_at")) == (1, None)
    assert (later.member["rung"], later.member["retry_at"]) == (3, ahead(120))


@pytest.mark.parametrize(
    "other",
    [
        {"intent": intent(Verb.STOP, IntentState.PERFORMED)},
        {"intent": intent(Verb.REBOOT, IntentState.PERFORMED)},
        {"wanted": Power.STOPPED},
        {"wanted": Power.SUSPENDED},
        {"aset": aset(healing=Healing(power="accept"))},
        {"aset": aset(controls=(control(ControlKind.MAINTENANCE),))},
        {"view": view(after_gap=True)},
    ],
    ids=[
        "our own stop", "on its way through a reboot", "wanted off", "wanted frozen, which off is as good as",
        "taken for somebody's wish", "in maintenance", "the cloud was away",
    ],
)  # fmt: skip
def test_what_goes_off_for_a_reason_that_is_known_counts_nothing(other: dict[str, Any]) -> None:
    change = look(RUNNING, Condition.OFF, rung=2, **other)
    assert change is not None
    assert "rung" not in change.member


# --- what confirms what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "state", "before", "condition", "confirmed"),
    [
        (Verb.START, IntentState.PERFORMED, STOPPED, Condition.RUNS, True),
        (Verb.START, IntentState.RECORDED, STOPPED, Condition.RUNS, True),
        (Verb.RESUME, IntentState.PERFORMED, SUSPENDED, Condition.RUNS, True),
        (Verb.STOP, IntentState.PERFORMED, RUNNING, Condition.OFF, True),
        (Verb.STOP, IntentState.PERFORMED, RUNNING, Condition.FROZEN, False),
        (Verb.SUSPEND, IntentState.PERFORMED, RUNNING, Condition.FROZEN, True),
        (Verb.SUSPEND, IntentState.PERFORMED, RUNNING, Condition.OFF, True),
        (Verb.REBOOT, IntentState.PERFORMED, FAULTED, Condition.RUNS, True),
        (Verb.REBOOT, IntentState.RECORDED, FAULTED, Condition.RUNS, False),
        (Verb.REBOOT, IntentState.PERFORMED, RUNNING, Condition.RUNS, True),
        (Verb.ADOPT, IntentState.PERFORMED, LAUNCHING, Condition.RUNS, True),
        (Verb.ADOPT, IntentState.RECORDED, LAUNCHING, Condition.RUNS, False),
        (Verb.REBOOT, IntentState.PERFORMED, RUNNING, Condition.OFF, False),
    ],
    ids=lambda value: value.value if hasattr(value, "value") else "confirms" if value else "does not",
)
def test_an_effect_that_is_seen_ends_its_intent(
    verb: Verb, state: IntentState, before: ApplianceState, condition: Condition, confirmed: bool
) -> None:
    change = look(before, condition, intent=intent(verb, state))
    ends = [update.state for update in change.intents] if change is not None else []
    assert ends == ([IntentState.DONE] if confirmed else [])


@pytest.mark.parametrize(
    ("verb", "before", "condition"),
    [(Verb.STOP, FAULTED, Condition.OFF), (Verb.SUSPEND, RUNNING, Condition.FROZEN)],
    ids=["the stop of a stop-start", "a suspension"],
)
def test_what_comes_after_a_confirmed_action_need_not_wait(
    verb: Verb, before: ApplianceState, condition: Condition
) -> None:
    """A machine stopped for a stop-start is started at once, not after the time the rung had to show its effect."""
    change = look(
        before, condition, intent=intent(verb, IntentState.PERFORMED), rung=2, attempts=3, retry_at=ahead(300)
    )
    assert change is not None
    assert (change.member["attempts"], change.member["retry_at"]) == (0, None)
    assert "rung" not in change.member


def test_what_nobody_asked_for_leaves_the_pause_after_failures_in_force() -> None:
    change = look(RUNNING, Condition.OFF, attempts=3, retry_at=ahead(300))
    assert change is not None
    assert not {"attempts", "retry_at"} & set(change.member)
