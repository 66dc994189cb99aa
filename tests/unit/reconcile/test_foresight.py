"""What the estate will be once facts are written, and that a plan after them says what follows from them."""

from __future__ import annotations

from pictures import NOW, UID, ago, aset, choices, estate, finding, incarnation, intent, member, moment, view

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import Change, FindingEnd, IncarnationUpdate, IntentUpdate, Timer, TimerClear, TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile import foresight, planner
from cloudmon.reconcile.index import index_of
from cloudmon.reconcile.picture import Estate
from cloudmon.reconcile.plan import Plan

FIRST = ApplianceId(UID, 1)
STEADY = Timer(UID, 1, TimerKind.STEADY, ago(60))


def test_a_node_that_is_gone_is_planned_to_be_launched_anew() -> None:
    """The first plan writes that it is gone, and no more; the second launches."""
    before = estate([member()])
    gone = view(denied=frozenset({"n-1"}))
    rankings = {UID: choices()}

    def planned(of: Estate) -> Plan:
        return planner.plan(of, {"east": gone}, rankings, [], {}, index_of(of), moment())

    first = planned(before)
    assert first.steps == []
    after = foresight.written(before, first.changes)
    assert [step.intent.verb for step in planned(after).steps] == [Verb.LAUNCH]


def test_incarnations_and_intents_that_end_are_open_no_more() -> None:
    reboot = intent(Verb.REBOOT, IntentState.PERFORMED)
    before = estate([member()], incarnations=(incarnation(), incarnation(2)), intents=(reboot,))
    change = Change(
        tenant="default",
        appliance=FIRST,
        incarnations=(IncarnationUpdate(1, {"state": IncarnationState.ENDED, "until": NOW}),),
        intents=(IntentUpdate(reboot.id, frozenset(IntentState), IntentState.DONE, {"ended_at": NOW}),),
    )
    after = foresight.written(before, [change])
    assert [row.ordinal for row in after.incarnations] == [2]
    assert after.intents == []
    tried = IntentUpdate(reboot.id, frozenset(IntentState), IntentState.RECORDED, {"attempts": 2})
    (again,) = foresight.written(before, [Change("default", FIRST, intents=(tried,))]).intents
    assert (again.state, again.attempts) == (IntentState.RECORDED, 2)


def test_what_is_open_stays_open_since_then() -> None:
    opened = finding(FindingKind.FAULT, f"{UID}/1")
    before = estate([member()], timers=(STEADY,), findings=(opened,))
    newer = Change(
        tenant="default",
        findings=(finding(FindingKind.FAULT, f"{UID}/1", word="error"),),
        timers=(Timer(UID, 1, TimerKind.STEADY, NOW), Timer(UID, 1, TimerKind.FAULT, NOW)),
    )
    after = foresight.written(before, [newer])
    assert [one.opened_at for one in after.findings] == [opened.opened_at]
    assert [one.evidence for one in after.findings] == [{"word": "error"}]
    assert {timer.kind: timer.since for timer in after.timers} == {
        TimerKind.STEADY: STEADY.since,
        TimerKind.FAULT: NOW,
    }
    over = Change(
        tenant="default",
        findings=(FindingEnd(FindingKind.FAULT, f"{UID}/1"),),
        timers=(TimerClear(UID, 1, TimerKind.STEADY), TimerClear(UID, 1, TimerKind.ABSENT)),
    )
    ended = foresight.written(before, [over])
    assert (ended.findings, ended.timers) == ([], [])


def test_members_become_what_is_written_and_others_stay() -> None:
    before = estate([member(), member(ordinal=2)], sets=[aset(2)])
    faulted = Change(tenant="default", appliance=FIRST, member={"state": ApplianceState.FAULTED, "since": NOW})
    after = foresight.written(before, [faulted, Change("default", ApplianceId("nobodyknows1", 1), member={"rung": 1})])
    assert [(m.ordinal, m.state) for m in after.members] == [
        (1, ApplianceState.FAULTED),
        (2, ApplianceState.RUNNING),
    ]
    assert before.members[0].state is ApplianceState.RUNNING
