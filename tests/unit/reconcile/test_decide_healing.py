"""What is decided about an appliance that is not well: rungs of healing, their limits and the pauses between."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from decided import (
    FAULTED,
    ILL,
    OFF,
    PROTECTED,
    REQUESTED,
    RUNNING,
    STOPPED,
    SUSPENDED,
    change,
    decided,
    step,
    waits,
)
from pictures import (
    UID,
    ago,
    ahead,
    aset,
    case,
    finding,
    member,
    moment,
    node,
    token,
    view,
)

from cloudmon.model.actions import ActionClass, Origin, Verb
from cloudmon.model.appliances import Member, Power
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.nodes import NodeState
from cloudmon.model.sets import Healing
from cloudmon.reconcile.decide import end

# --- healing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rung", "verb", "action_class"),
    [
        (0, Verb.REBOOT, ActionClass.DISRUPTIVE),
        (1, Verb.STOP, ActionClass.DISRUPTIVE),
        (2, Verb.TERMINATE, ActionClass.DESTRUCTIVE),
        (5, Verb.TERMINATE, ActionClass.DESTRUCTIVE),
    ],
    ids=["reboot first", "then stop and start", "then replace", "and go on replacing"],
)
def test_each_rung_is_harder_than_the_one_before(rung: int, verb: Verb, action_class: ActionClass) -> None:
    found = step(decided(member(FAULTED, rung=rung), ILL))
    assert (found.intent.verb, found.intent.action_class) == (verb, action_class)
    assert found.intent.origin is Origin.OBSERVATION
    assert found.change.member["rung"] == rung + 1


def test_a_rung_has_time_to_show_its_effect() -> None:
    healing = Healing(verify_s=300, backoff_s=200)
    first = step(decided(member(FAULTED), ILL, aset=aset(healing=healing)))
    second = step(decided(member(FAULTED, rung=1), ILL, aset=aset(healing=healing)))
    assert first.change.member["retry_at"] == ahead(300)
    assert second.change.member["retry_at"] == ahead(400)


@pytest.mark.parametrize(
    ("verbs", "rung", "verb"),
    [
        (frozenset({"reboot_node"}), 1, Verb.TERMINATE),
        (frozenset({"stop_node", "start_node"}), 0, Verb.STOP),
        (frozenset({"stop_node"}), 0, Verb.TERMINATE),
        (frozenset(), 0, Verb.TERMINATE),
    ],
    ids=["no stop-start", "no reboot", "a stop without a start is none", "nothing but replacing"],
)
def test_what_a_cloud_cannot_do_is_no_rung_there(verbs: frozenset[str], rung: int, verb: Verb) -> None:
    assert step(decided(member(FAULTED, rung=rung), ILL, view=view(ILL, verbs=verbs))).intent.verb is verb


@pytest.mark.parametrize(
    ("of", "other", "why"),
    [
        (member(FAULTED, since=ago(59)), {}, "the fault is young"),
        (member(FAULTED), {"aset": aset(healing=Healing(ladder=()))}, "no ladder"),
        (member(FAULTED, rung=2), {"aset": PROTECTED}, "is protected and is not replaced"),
    ],
    ids=["young", "no ladder", "protected"],
)
def test_healing_waits(of: Member, other: dict[str, Any], why: str) -> None:
    assert why in waits(decided(of, ILL, **other)).reason


@pytest.mark.parametrize(
    ("of", "other"),
    [
        (member(FAULTED, rung=6), {}),
        (member(FAULTED), {"aset": aset(healing=Healing(ladder=("reboot",))), "view": view(ILL, verbs=frozenset())}),
        (member(RUNNING, wanted=Power.STOPPED, attempts=6), {}),
    ],
    ids=["all rungs taken", "no rung possible", "it cannot be turned off"],
)
def test_what_nothing_helps_is_an_incident_said_once(of: Member, other: dict[str, Any]) -> None:
    found = change(decided(of, ILL, **other))
    assert [finding.kind for finding in found.findings] == [FindingKind.INCIDENT]
    opened = {(finding.kind, finding.subject): finding for finding in found.findings}
    assert "an incident is open" in waits(decided(of, ILL, findings=opened, **other)).reason


def test_an_incident_about_something_else_goes_on_as_this_one() -> None:
    """One that it becomes clear only later that nothing more is tried must not go on saying that it is."""
    before = replace(finding(FindingKind.INCIDENT, f"{UID}/1"), message="5 launches failed, the last with Refused: no")
    found = change(decided(member(FAULTED, rung=6), ILL, findings={(before.kind, before.subject): before}))
    (said,) = found.findings
    assert isinstance(said, Finding)
    assert (said.subject, said.message) == (
        f"{UID}/1", "storefront/1: 6 actions did not end the fault; `cloudmon act storefront/1 start` tries again",
    )  # fmt: skip


# --- what is lost again and again -------------------------------------------------------------------------------------


def test_what_is_lost_is_launched_again_as_often_as_actions_are_tried_for_one_fault() -> None:
    assert step(decided(member(REQUESTED, rung=6))).intent.verb is Verb.LAUNCH
    found = change(decided(member(REQUESTED, rung=7, retry_at=ahead(60))))
    (said,) = found.findings
    assert isinstance(said, Finding)
    assert (said.kind, said.message) == (
        FindingKind.INCIDENT,
        "storefront/1: its node was lost again, and 6 tries in a row did not make it run for 1800 s; "
        "`cloudmon act storefront/1 start` tries again",
    )
    opened = {(said.kind, said.subject): said}
    again = waits(decided(member(REQUESTED, rung=7), findings=opened))
    assert again.reason == f"an incident is open: {said.message.removeprefix('storefront/1: ')}"


def test_a_policy_of_one_action_gives_back_what_is_lost_once() -> None:
    one = aset(healing=Healing(max_attempts=1))
    assert step(decided(member(REQUESTED, rung=1), aset=one)).intent.verb is Verb.LAUNCH
    assert change(decided(member(REQUESTED, rung=2), aset=one)).findings


@pytest.mark.parametrize(
    ("of", "seen"),
    [(member(STOPPED, rung=7), OFF), (member(SUSPENDED, rung=7), node(state=NodeState.SUSPENDED))],
    ids=["off", "frozen"],
)
def test_what_goes_off_again_and_again_is_started_no_more(of: Member, seen: Any) -> None:
    assert step(decided(of._replace(rung=6), seen)).intent.verb in (Verb.START, Verb.RESUME)
    (said,) = change(decided(of, seen)).findings
    assert isinstance(said, Finding)
    assert f"it was found {of.state} again, and 6 tries in a row" in said.message


def test_what_is_not_wanted_running_waits_for_nothing_however_often_it_was_lost() -> None:
    assert decided(member(REQUESTED, wanted=Power.STOPPED, rung=7)) is None


def test_what_does_not_start_is_not_replaced_more_often_than_actions_are_tried() -> None:
    assert step(decided(member(STOPPED, attempts=2, rung=5), OFF)).intent.verb is Verb.TERMINATE
    assert step(decided(member(STOPPED, attempts=2, rung=6), OFF)).intent.verb is Verb.START


def test_the_replacement_that_is_the_last_action_is_launched() -> None:
    for rung in (5, 6):
        ill = case(member(FAULTED, rung=rung), ILL)
        ended = end(ill, REQUESTED, "does not answer", Origin.OBSERVATION, ActionClass.DESTRUCTIVE)
        assert step(ended).change.member["rung"] == 6
    assert step(decided(member(REQUESTED, rung=6))).intent.verb is Verb.LAUNCH


# --- the pause after failures -----------------------------------------------------------------------------------------


def test_the_pause_ends_at_its_instant() -> None:
    now: dt.datetime = moment().now
    assert step(decided(member(REQUESTED, retry_at=now))).intent.verb is Verb.LAUNCH


def test_the_next_incarnation_has_the_next_number() -> None:
    found = step(decided(member(REQUESTED, incarnation=4)))
    assert (found.intent.incarnation, found.intent.token) == (5, token(1, 5))
