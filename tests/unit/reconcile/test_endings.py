"""Incarnations that are to end: tried until no cloud shows a node of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import NOW, ago, ahead, incarnation, intent, moment, node, token, unseen, view

from cloudmon.model.actions import OPEN_INTENTS, ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import Cause, Incarnation, IncarnationState
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.usage import Mark
from cloudmon.reconcile import endings
from cloudmon.reconcile.endings import Ending
from cloudmon.reconcile.picture import CONDITION_OF, Condition
from cloudmon.reconcile.plan import Step, Waiting

ACCEPTED = intent(Verb.TERMINATE, IntentState.PERFORMED)


def pursue(row: Incarnation, seen: Any = Condition.UNSEEN, **other: Any) -> Any:
    found = seen if isinstance(seen, tuple) else None
    condition = CONDITION_OF[seen.state] if found is not None else seen
    values: dict[str, Any] = {
        "view": view(*[seen] if found is not None else []),
        "intent": ACCEPTED,
        "moment": moment(),
        "findings": {},
    }
    return endings.pursue(
        Ending(row=row, set_name="storefront", node=seen if found is not None else None, condition=condition,
               **{**values, **other})
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "seen", "other", "why"),
    [
        (incarnation(), Condition.UNKNOWN, {"view": unseen()}, "cloud east is not seen"),
        (incarnation(), Condition.UNKNOWN, {"view": None}, "cloud east is not seen"),
        (incarnation(node_id="", last_call_at=ago(59)), Condition.UNSEEN, {}, "may have a node that is not seen yet"),
        (
            incarnation(node_id=""), Condition.UNSEEN, {"view": view(suspicious="half is missing")},
            "may have a node that is not seen yet",
        ),
        (incarnation(), node(), {"intent": replace(ACCEPTED, retry_at=ahead(9), error="Refused: no")}, "tried again"),
        (incarnation(), node(), {"moment": moment(in_flight=frozenset({"intent-0"}))}, "is on its way"),
        (incarnation(last_call_at=ago(59)), node(), {}, "was accepted"),
        (incarnation(last_call_at=ago(239)), node(), {"intent": replace(ACCEPTED, attempts=3)}, "was accepted"),
    ],
    ids=[
        "its cloud is not seen", "its cloud is not configured", "no listing is late enough to prove anything",
        "a doubted listing proves nothing", "its pause is not over", "its call has not come back",
        "clouds take their time", "more time after each try",
    ],
)  # fmt: skip
def test_an_ending_waits(row: Incarnation, seen: Any, other: dict[str, Any], why: str) -> None:
    found = pursue(row, seen, **other)
    assert isinstance(found, Waiting)
    assert why in found.reason


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        (incarnation(), Condition.GONE),
        (incarnation(), node(state=NodeState.TERMINATED)),
        (incarnation(node_id="", last_call_at=ago(60)), Condition.UNSEEN),
        (incarnation(node_id="", last_call_at=None), Condition.UNSEEN),
    ],
    ids=["denied", "shown as terminated", "never seen past all lag", "never called"],
)
def test_it_has_ended_when_its_cloud_says_so(row: Incarnation, seen: Any) -> None:
    found = pursue(row, seen, view=replace(view(), observed_at=NOW))
    assert isinstance(found, Change)
    assert found.incarnations[0].values == {"state": IncarnationState.ENDED, "until": NOW}
    assert [update.state for update in found.intents] == [IntentState.DONE]
    assert {event.mark for event in found.usage} == ({Mark.ENDED} if row.node_id else set())
    assert FindingEnd(FindingKind.INCIDENT, "intent:intent-0") in found.findings


def test_a_node_found_by_its_token_is_learned_metered_and_then_ended() -> None:
    found = pursue(incarnation(node_id=""), node("n-9", of=token(), created_at=ago(100)), intent=None)
    assert isinstance(found, Change)
    assert found.incarnations[0].values == {"node_id": "n-9", "since": ago(100)}
    assert [(event.mark, event.node_id, event.at) for event in found.usage] == [(Mark.BEGAN, "n-9", ago(100))]
    then = pursue(incarnation(node_id="n-9"), node("n-9", of=token()), intent=None)
    assert isinstance(then, Step)
    assert then.intent.node_id == "n-9"


@pytest.mark.parametrize(
    ("cause", "action_class", "origin"),
    [
        (Cause.COMMANDED, ActionClass.RETIREMENT, Origin.WANTED),
        (Cause.FAULT, ActionClass.DESTRUCTIVE, Origin.OBSERVATION),
        (Cause.CLOUD_OUTAGE, ActionClass.DESTRUCTIVE, Origin.OBSERVATION),
    ],
    ids=["part of a retirement", "part of healing", "a launch that was given up"],
)
def test_an_ending_without_an_intent_gets_one_of_its_kind(
    cause: Cause, action_class: ActionClass, origin: Origin
) -> None:
    found = pursue(incarnation(cause=cause), node(), intent=None)
    assert isinstance(found, Step)
    assert not found.again
    assert (found.intent.action_class, found.intent.origin) == (action_class, origin)
    assert found.change.opens_intent is found.intent
    assert found.change.incarnations[0].values == {"last_call_at": NOW}


@pytest.mark.parametrize(
    "open_intent",
    [
        intent(Verb.TERMINATE),
        replace(ACCEPTED, attempts=3),
        replace(ACCEPTED, attempts=1_000),
        intent(Verb.TERMINATE, retry_at=NOW, error="Refused: locked"),
        intent(Verb.TERMINATE, IntentState.INCIDENT, attempts=9),
    ],
    ids=["interrupted", "accepted", "after a thousand tries", "refused", "an incident"],
)
def test_an_ending_is_tried_again_and_never_given_up(open_intent: Any) -> None:
    """What its try comes to is recorded of the state that it is tried in."""
    found = pursue(incarnation(last_call_at=ago(5_000)), node(), intent=open_intent)
    assert isinstance(found, Step)
    assert found.again
    (update,) = found.change.intents
    assert update.expected == OPEN_INTENTS
    assert update.state is (IntentState.INCIDENT if open_intent.attempts >= 4 else IntentState.RECORDED)
    assert update.values["attempts"] == open_intent.attempts + 1
    assert found.intent.state is update.state


def test_an_ending_that_takes_many_tries_is_an_incident_said_once() -> None:
    """By its state, by a finding, and in the log."""
    row, tried = incarnation(last_call_at=ago(5_000)), replace(ACCEPTED, attempts=4, error="Refused: locked")
    found = pursue(row, node(), intent=tried)
    assert [update.state for update in found.change.intents] == [IntentState.INCIDENT]
    assert [(entry.kind, entry.subject) for entry in found.change.log] == [("intent.incident", "intent-0")]
    (said,) = found.change.findings
    assert isinstance(said, Finding)
    assert (said.kind, said.subject, said.evidence["error"]) == (
        FindingKind.INCIDENT, "intent:intent-0", "Refused: locked",
    )  # fmt: skip
    opened = {(said.kind, said.subject): said}
    assert pursue(row, node(), intent=tried, findings=opened).change.findings == ()
    again = pursue(row, node(), intent=replace(tried, state=IntentState.INCIDENT, attempts=5), findings=opened)
    assert (again.change.findings, again.change.log) == ((), ())
    before = pursue(row, node(), intent=replace(tried, attempts=3))
    assert (before.change.findings, before.change.log) == ((), ())


@pytest.mark.parametrize(
    ("last", "called_s", "again"),
    [
        ({}, 899, False),
        ({}, 900, True),
        ({"error": "Refused: locked", "retry_at": ahead(1)}, 5_000, False),
        ({"error": "Refused: locked", "retry_at": NOW}, 480, True),
        ({"error": "Refused: locked"}, 10, True),
    ],
    ids=["accepted", "accepted long ago", "refused a moment ago", "its pause is over", "interrupted"],
)
def test_an_incident_is_tried_on_as_its_last_try_ended(last: dict[str, Any], called_s: float, again: bool) -> None:
    stuck = intent(Verb.TERMINATE, IntentState.INCIDENT, attempts=9, **last)
    found = pursue(incarnation(last_call_at=ago(called_s)), node(), intent=stuck)
    assert isinstance(found, Step) == again


def test_an_incident_is_done_when_its_node_is_gone() -> None:
    found = pursue(incarnation(), Condition.GONE, intent=intent(Verb.TERMINATE, IntentState.INCIDENT, attempts=9))
    assert [update.state for update in found.intents] == [IntentState.DONE]
    assert IntentState.INCIDENT in found.intents[0].expected
    assert FindingEnd(FindingKind.INCIDENT, "intent:intent-0") in found.findings
