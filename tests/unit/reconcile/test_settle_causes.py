"""What one look says of causes, wishes and metering, and when a well appliance is steady again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import ago, aset, control, intent, member, node, timers_of, view
from settled import FAULTED, NODE_OF, RUNNING, STOPPED, look

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Cause, Power
from cloudmon.model.changes import FindingEnd, Timer, TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.sets import ControlKind, Healing
from cloudmon.model.usage import Dimension, Mark
from cloudmon.reconcile.picture import Condition


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        ({}, Cause.FAULT),
        ({"view": view(node(), after_gap=True)}, Cause.CLOUD_OUTAGE),
        ({"aset": aset(controls=(control(ControlKind.MAINTENANCE),))}, Cause.MAINTENANCE),
        ({"intent": intent(Verb.STOP, IntentState.PERFORMED)}, Cause.COMMANDED),
        ({"wanted": Power.STOPPED}, Cause.COMMANDED),
    ],
    ids=["nothing explains it", "the cloud was away", "in maintenance", "we asked for it", "it is wanted so"],
)
def test_a_stop_has_its_cause(other: dict[str, Any], cause: Cause) -> None:
    change = look(RUNNING, Condition.OFF, **other)
    assert change is not None
    assert change.history is not None
    assert change.history.cause is cause


def test_a_stop_by_somebody_elses_hand_is_taken_as_a_wish_only_where_the_policy_says_so() -> None:
    keep, accept = aset(), aset(healing=Healing(power="accept"))
    kept, accepted = look(RUNNING, Condition.OFF, aset=keep), look(RUNNING, Condition.OFF, aset=accept)
    assert kept is not None
    assert accepted is not None
    assert "wanted" not in kept.member
    assert accepted.member["wanted"] is Power.STOPPED


def test_our_own_stop_is_never_taken_for_somebodys_wish() -> None:
    change = look(FAULTED, Condition.OFF, aset=aset(healing=Healing(power="accept")), intent=intent(Verb.STOP))
    assert change is not None
    assert "wanted" not in change.member


@pytest.mark.parametrize(
    ("before", "condition", "ends", "begins"),
    [
        (RUNNING, Condition.OFF, Dimension.NODE_RUNNING, Dimension.NODE_STOPPED),
        (STOPPED, Condition.RUNS, Dimension.NODE_STOPPED, Dimension.NODE_RUNNING),
        (STOPPED, Condition.BAD, Dimension.NODE_STOPPED, Dimension.NODE_RUNNING),
        (FAULTED, Condition.OFF, Dimension.NODE_RUNNING, Dimension.NODE_STOPPED),
    ],
    ids=["stopped", "started", "off and failed", "failed and off"],
)
def test_one_dimension_ends_where_the_other_begins(
    before: ApplianceState, condition: Condition, ends: Dimension, begins: Dimension
) -> None:
    """At the instant of the listing, not of the tick: no second twice, none lost."""
    early = replace(view(node(state=NODE_OF[condition])), observed_at=ago(3))
    change = look(before, condition, view=early)
    assert change is not None
    assert [(e.dimension, e.mark, e.at) for e in change.usage] == [
        (ends, Mark.ENDED, ago(3)),
        (begins, Mark.BEGAN, ago(3)),
    ]


@pytest.mark.parametrize(
    ("before", "condition"),
    [(STOPPED, Condition.FROZEN), (FAULTED, Condition.RUNS), (RUNNING, Condition.BAD)],
    ids=["from off to frozen", "well again", "failed"],
)
def test_no_usage_where_the_dimension_stays(before: ApplianceState, condition: Condition) -> None:
    change = look(before, condition)
    assert change is not None
    assert change.usage == ()


def test_a_fault_is_a_finding_until_it_runs_again() -> None:
    fault, well = look(RUNNING, Condition.BAD), look(FAULTED, Condition.RUNS)
    assert fault is not None
    assert well is not None
    assert [found.kind for found in fault.findings if isinstance(found, Finding)] == [FindingKind.FAULT]
    assert {found.kind for found in well.findings if isinstance(found, FindingEnd)} == {
        FindingKind.FAULT,
        FindingKind.INCIDENT,
    }


# --- steadiness -------------------------------------------------------------------------------------------------------


def test_after_a_rung_it_must_run_for_a_while_before_the_ladder_starts_anew() -> None:
    began = look(RUNNING, Condition.RUNS, rung=1)
    assert began is not None
    assert [timer.kind for timer in began.timers if isinstance(timer, Timer)] == [TimerKind.STEADY]
    young = timers_of(TimerKind.STEADY, since=ago(1_799))
    assert look(RUNNING, Condition.RUNS, rung=1, timers=young) is None
    steady = look(RUNNING, Condition.RUNS, rung=1, timers=timers_of(TimerKind.STEADY, since=ago(1_800)))
    assert steady is not None
    assert steady.member == {"rung": 0, "attempts": 0}


def test_what_was_tried_anew_has_nothing_to_be_steady_after() -> None:
    change = look(RUNNING, Condition.RUNS, timers=timers_of(TimerKind.STEADY))
    assert change is not None
    assert change.timers == (TimerClear(member().set_uid, 1, TimerKind.STEADY),)


def test_a_fault_in_between_starts_the_steady_time_again() -> None:
    change = look(RUNNING, Condition.BAD, rung=1, timers=timers_of(TimerKind.STEADY, since=ago(1_000)))
    assert change is not None
    assert TimerClear(member().set_uid, 1, TimerKind.STEADY) in change.timers
