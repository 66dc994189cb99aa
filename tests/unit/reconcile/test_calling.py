"""Rungs that tell somebody: taken whatever the node does, once, and no substitute for an action."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from pictures import NOW, ago, ahead, case, member, node

from cloudmon.model.actions import GUEST_VERBS
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, Telling
from cloudmon.model.findings import FindingKind
from cloudmon.model.policies import Remedy, Rule, RuleState, Symptom
from cloudmon.reconcile import calling, remedies
from cloudmon.reconcile.picture import Inside
from cloudmon.reconcile.plan import Step

RESTART, REBOOT = Remedy("app_restart"), Remedy("reboot")
OPS, ALL = Remedy("notify", {"to": "ops"}), Remedy("notify")


def symptom(*then: Remedy, rung: int = 0, retry_at: dt.datetime | None = None, most: int = 5) -> Symptom:
    rule = Rule("down", "true", then=then, max_attempts=most)
    state = RuleState(member().id, "default", "built-in/down/web", ago(30), rung=rung, retry_at=retry_at)
    return Symptom("built-in/down/web", rule, "web", "web is down", state)


def called(*symptoms: Symptom, of: Member | None = None, heard: bool = True) -> tuple[list[Change], list[Symptom]]:
    one = of or member()
    inside = Inside({one.id: symptoms}, frozenset({one.id}) if heard else frozenset())
    changes, after = calling.called(inside, [one, one._replace(ordinal=99)], {}, NOW)
    return changes, list(after.symptoms[one.id])


def test_a_rung_that_tells_is_taken_and_the_next_one_is_due_at_once() -> None:
    """In one write: told, climbed, logged."""
    (change,), (after,) = called(symptom(OPS, RESTART))
    subject = f"{member().set_uid}/{member().ordinal}:built-in/down/web"
    assert change.tells == (Telling(FindingKind.DETECTED, subject, "ops"),)
    assert change.rules == (after.state,)
    assert (after.state.rung, after.state.retry_at) == (1, None)
    assert [entry.kind for entry in change.log] == ["finding.told"]
    found = remedies.treat(case(member(), node()), [after], (), takes=GUEST_VERBS, heard=True)
    assert isinstance(found, Step)
    assert found.intent.verb == "app_restart"


def test_rungs_that_tell_one_after_the_other_are_taken_together() -> None:
    """Each name once; a rung without a name means all."""
    (change,), (after,) = called(symptom(OPS, ALL, OPS, RESTART))
    assert [one.to for one in change.tells] == ["ops", "*"]
    assert after.state.rung == 3


@pytest.mark.parametrize(
    ("one", "heard"),
    [
        pytest.param(symptom(RESTART, OPS), True, id="an action is due first"),
        pytest.param(symptom(RESTART, OPS, rung=1, retry_at=ahead(1)), True, id="the action has time to show itself"),
        pytest.param(symptom(OPS, rung=1), True, id="told already"),
        pytest.param(symptom(RESTART, REBOOT), True, id="nobody is to be told"),
    ],
)
def test_nobody_is_told_before_or_twice(one: Symptom, heard: bool) -> None:
    """The ladder stands where it stood."""
    assert called(one, heard=heard) == ([], [one])


def test_what_cannot_be_done_is_no_rung_before_it() -> None:
    """Without an agent the restart is none, and somebody is told at once."""
    (change,), _ = called(symptom(RESTART, OPS), heard=False)
    assert change.tells[0].to == "ops"


@pytest.mark.parametrize("state", [ApplianceState.FAULTED, ApplianceState.STOPPED, ApplianceState.RUNNING])
def test_somebody_is_told_whatever_the_node_does(state: ApplianceState) -> None:
    """A node that is down is what they are to know of."""
    changes, _ = called(symptom(OPS), of=member(state=state))
    assert len(changes) == 1


def test_telling_is_not_counted_as_a_try() -> None:
    """Two actions are allowed, and two are made: before and after somebody was told."""
    ladder = (RESTART, OPS, REBOOT)
    second = remedies.treat(
        case(member(), node()), [symptom(*ladder, rung=2, most=2)], (), takes=GUEST_VERBS, heard=True
    )
    assert isinstance(second, Step)
    assert second.intent.verb == "reboot"
    third = remedies.treat(
        case(member(), node()), [symptom(*ladder, rung=3, most=2)], (), takes=GUEST_VERBS, heard=True
    )
    assert isinstance(third, Change)
    assert "2 actions did not end it" in third.findings[0].message  # type: ignore[union-attr]


def test_after_the_last_rung_told_the_last_action_is_tried_again() -> None:
    """And nobody is told again and again."""
    found = remedies.treat(case(member(), node()), [symptom(RESTART, OPS, rung=2)], (), takes=GUEST_VERBS, heard=True)
    assert isinstance(found, Step)
    assert found.intent.verb == "app_restart"
    assert called(symptom(RESTART, OPS, rung=3)) == ([], [symptom(RESTART, OPS, rung=3)])


def test_a_rule_that_only_tells_is_never_stuck() -> None:
    """There was nothing that did not help."""
    told = symptom(OPS, rung=1)
    assert (
        remedies.treat(case(member(), node()), [told, replace(told, key="a/b")], (), takes=GUEST_VERBS, heard=True)
        is None
    )
