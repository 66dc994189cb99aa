"""What the outcome of a call changes."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import NOW, ago, ahead, intent, node

from cloudmon.model.actions import Intent, IntentState, Outcome, Verb
from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import Change, Expect
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import Healing
from cloudmon.model.usage import Mark
from cloudmon.reconcile import outcomes
from cloudmon.reconcile.plan import Step

YES = Outcome(True, True)
NO = Outcome(True, False, error="Refused: wrong state")
WHO_KNOWS = Outcome(False, False, error="Unreachable: no answer")
THROTTLED = Outcome(False, False, retry_at=ahead(7), error="RateLimited: slower")
RECORDED = frozenset({IntentState.RECORDED})


def record(of: Intent, outcome: Outcome, seen: Any = None, *, attempts: int = 0) -> Change:
    step = Step(of, Change("default"))
    return outcomes.record(step, outcome, seen, attempts=attempts, healing=Healing(), set_name="storefront", now=NOW)


@pytest.mark.parametrize(
    ("verb", "outcome", "state"),
    [
        (Verb.LAUNCH, NO, IntentState.FAILED),
        (Verb.LAUNCH, WHO_KNOWS, IntentState.RECORDED),
        (Verb.LAUNCH, THROTTLED, IntentState.RECORDED),
        (Verb.REBOOT, YES, IntentState.PERFORMED),
        (Verb.REBOOT, NO, IntentState.FAILED),
        (Verb.REBOOT, WHO_KNOWS, IntentState.RECORDED),
        (Verb.ADOPT, NO, IntentState.FAILED),
        (Verb.SNAPSHOT, YES, IntentState.DONE),
        (Verb.SNAPSHOT, NO, IntentState.FAILED),
        (Verb.SNAPSHOT, WHO_KNOWS, IntentState.RECORDED),
        (Verb.TERMINATE, YES, IntentState.PERFORMED),
        (Verb.TERMINATE, NO, IntentState.RECORDED),
        (Verb.TERMINATE, WHO_KNOWS, IntentState.RECORDED),
        (Verb.TERMINATE, THROTTLED, IntentState.RECORDED),
    ],
    ids=lambda value: getattr(value, "value", None) or {YES: "accepted", NO: "refused", WHO_KNOWS: "unanswered",
                                                        THROTTLED: "throttled"}.get(value),
)  # fmt: skip
def test_an_intent_moves_on_with_its_outcome(verb: Verb, outcome: Outcome, state: IntentState) -> None:
    """Only while it is as it was recorded: what the sighting closed meanwhile stays closed."""
    found = record(intent(verb), outcome)
    assert [(update.state, update.expected) for update in found.intents] == [(state, RECORDED)]


def test_the_id_of_a_snapshot_is_kept_and_a_refused_one_says_nothing_of_its_node() -> None:
    """Evidence is with the intent and in the log; whatever comes after does not wait."""
    found = record(intent(Verb.SNAPSHOT), Outcome(True, True, made="snap-1"))
    assert found.intents[0].values["result"] == {"snapshot": "snap-1"}
    assert found.log[0].body["snapshot"] == "snap-1"
    refused = record(intent(Verb.SNAPSHOT), NO)
    assert (refused.member, refused.intents[0].values["error"]) == ({}, "Refused: wrong state")


@pytest.mark.parametrize("outcome", [YES, NO, WHO_KNOWS, THROTTLED], ids=["accepted", "refused", "unanswered", "slow"])
def test_an_incident_stays_one_whatever_the_cloud_says_to_its_next_try(outcome: Outcome) -> None:
    (update,) = record(intent(Verb.TERMINATE, IntentState.INCIDENT, attempts=9), outcome).intents
    assert (update.state, update.expected) == (IntentState.INCIDENT, frozenset({IntentState.INCIDENT}))
    assert update.values["error"] == outcome.error
    assert ("retry_at" in update.values) is (outcome is not YES)


# --- launches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created_at", "at", "source"),
    [
        (ago(3), ago(3), "cloud"),
        (ago(12), ago(12), "cloud"),
        (ago(13), NOW, "command"),
        (ahead(1), NOW, "command"),
        (None, NOW, "command"),
    ],
    ids=["the cloud's word", "a clock two seconds slow", "a word that is too old", "a word of the future", "no word"],
)
def test_an_accepted_launch_is_metered_from_when_it_was_made(created_at: Any, at: Any, source: str) -> None:
    found = record(intent(), YES, node("n-5", created_at=created_at))
    assert found.expect == Expect(ApplianceState.LAUNCHING, 1)
    assert found.member == {"node_id": "n-5", "location": "here-1"}
    assert found.incarnations[0].values == {"node_id": "n-5", "since": at}
    (event,) = found.usage
    assert (event.mark, event.at, event.evidence["source"]) == (Mark.BEGAN, at, source)


def test_a_launch_that_was_refused_leaves_no_node_and_the_next_offer_is_tried_at_once() -> None:
    found = record(intent(), NO, attempts=3)
    assert found.expect == Expect(ApplianceState.LAUNCHING, 1)
    assert found.member["state"] is ApplianceState.REQUESTED
    assert (found.member["attempts"], found.member["retry_at"]) == (4, None)
    assert found.incarnations[0].values["state"] is IncarnationState.FAILED
    assert found.usage == ()
    assert found.findings == ()


def test_a_launch_that_was_refused_again_and_again_pauses_and_is_an_incident() -> None:
    found = record(intent(), NO, attempts=4)
    assert found.member["retry_at"] == ahead(3_600)
    (said,) = found.findings
    assert isinstance(said, Finding)
    assert said.kind is FindingKind.INCIDENT
    assert said.message == "storefront/1: 5 launches failed, the last with Refused: wrong state"


# --- all other --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 15), (1, 30), (5, 480), (6, 900), (60, 900)], ids=str)
def test_what_has_no_answer_is_looked_at_again_after_a_growing_pause(attempts: int, wait_s: int) -> None:
    found = record(intent(Verb.TERMINATE, attempts=attempts), WHO_KNOWS)
    assert found.intents[0].values == {"error": "Unreachable: no answer", "retry_at": ahead(wait_s)}
    assert found.member == {}


def test_the_clouds_own_wish_for_a_pause_is_kept() -> None:
    assert record(intent(Verb.REBOOT), THROTTLED).intents[0].values["retry_at"] == ahead(7)


def test_only_the_first_try_without_an_answer_is_logged() -> None:
    assert len(record(intent(Verb.TERMINATE), WHO_KNOWS).log) == 1
    assert record(intent(Verb.TERMINATE, attempts=1), WHO_KNOWS).log == ()


def test_a_power_action_that_was_refused_counts_as_a_failure() -> None:
    found = record(intent(Verb.START), NO, attempts=2)
    assert found.member == {"attempts": 3, "retry_at": ahead(240)}
    assert found.expect is None


def test_a_fallback_is_part_of_the_log() -> None:
    found = record(intent(Verb.SUSPEND), Outcome(True, True, verb=Verb.STOP))
    assert found.log[0].body["performed_as"] == "stop"


def test_what_belongs_to_no_set_is_logged_in_the_estates_chain() -> None:
    stray = intent(Verb.TERMINATE, appliance=ApplianceId("", 0))
    assert record(stray, YES).log[0].chain == "estate"
