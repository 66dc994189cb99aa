"""What people ask for: whether it can be done and what they are told, whose turn it is, and when it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import NOW, ago, ahead, aset, control, intent, member, request

from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import FindingEnd
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import ControlKind, Healing
from cloudmon.reconcile import requests
from cloudmon.reconcile.requests import Answer

REQUESTED, RUNNING, STOPPED = ApplianceState.REQUESTED, ApplianceState.RUNNING, ApplianceState.STOPPED
SUSPENDED, FAULTED = ApplianceState.SUSPENDED, ApplianceState.FAULTED
RETIRED, RETIRING = ApplianceState.RETIRED, ApplianceState.RETIRING
UID = aset().uid

OFF, STILL = member(REQUESTED, wanted=Power.STOPPED), member(STOPPED, wanted=Power.STOPPED)
ANEW = {"rung": 0, "attempts": 0, "retry_at": None}
THREE = [member(ordinal=n) for n in (1, 2, 3)]
GOING = aset(retiring_since=ago(60), retired_reason="its lease ended")


def answer(
    verb: RequestVerb,
    target: str = "storefront/1",
    members: list[Member] | None = None,
    of: Any = None,
    **arguments: str,
) -> Answer:
    asked = request(verb, target, arguments=arguments)
    return requests.answer(asked, of or aset(lease_end=ahead(60)), THREE if members is None else members, NOW)


def agent(ordinal: int = 1, **other: Any) -> Agent:
    told: dict[str, Any] = {"incarnation": member().incarnation, "abilities": ("report_now",), **other}
    of = ApplianceId(UID, ordinal)
    return Agent(of, "default", instance="i", version="osquery/5.12.1", enrolled_at=NOW, serial=1, **told)


@pytest.mark.parametrize(
    ("verb", "target", "agents", "why"),
    [
        ("app_restart", "storefront/1", [agent()],
         "storefront/1 has osquery/5.12.1, which cannot do app_restart; what it can do: report_now"),
        ("app_restart", "storefront/*", [agent(abilities=None), agent(3)], "storefront/3 has osquery/5.12.1"),
        ("job_run", "storefront/1", [agent(abilities=())], "what it can do: nothing"),
        ("report_now", "storefront/1", [agent()], ""),
        ("app_restart", "storefront/1", [agent(abilities=None)], ""),
        ("app_restart", "storefront/1", [agent(3)], ""),
        ("app_restart", "storefront/1", [], ""),
        ("app_restart", "storefront/1", [agent(revoked_at=NOW)], ""),
        ("app_restart", "storefront/1", [agent(incarnation=9)], ""),
    ],
    ids=["it cannot", "one of many cannot", "it can do nothing", "it can", "it can do all", "somebody else cannot",
         "nobody speaks", "who cannot was revoked", "who cannot is of another node"],
)  # fmt: skip
def test_a_command_that_an_agent_cannot_do_is_refused_with_what_it_can(
    verb: str, target: str, agents: list[Agent], why: str
) -> None:
    asked = request(RequestVerb.COMMAND, target, arguments={"verb": verb})
    found = requests.cannot(asked, THREE, agents)
    assert why in found
    assert bool(found) is bool(why)


ON_A_SET = [verb for verb in RequestVerb if verb not in (
    RequestVerb.ADOPT, RequestVerb.APPLY, RequestVerb.CONFIRM, RequestVerb.END_ORPHAN,
)]  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "target", "other", "why"),
    [
        (RequestVerb.STOP, "storefront/9", {}, "storefront/9 names no living appliance; storefront has 3"),
        (RequestVerb.PAUSE, "storefront/9", {}, "storefront/9 names no living appliance"),
        (RequestVerb.STOP, "storefront/1", {"members": [member(RETIRED)]}, "names no living appliance"),
        (RequestVerb.REBOOT, "storefront", {"of": GOING}, "storefront is being retired since 2026-03-01T11:59:00"),
        (RequestVerb.START, "storefront", {"of": GOING}, "is being retired since"),
        (RequestVerb.EXTEND, "storefront", {"of": GOING}, "too late: storefront is being retired since"),
        (RequestVerb.EXTEND, "storefront", {"of": aset()}, "storefront has no end that could be extended"),
        (RequestVerb.EXTEND, "storefront", {"until": ago(1).isoformat()}, "has passed; name a later one"),
        (RequestVerb.EXTEND, "storefront", {"by_s": "-60"}, "has passed; name a later one"),
        (RequestVerb.RETIRE, "storefront/1", {}, "one appliance is not retired by itself; make storefront smaller"),
        (
            RequestVerb.RETIRE, "storefront", {"of": aset(controls=(control(ControlKind.PROTECT),))},
            "storefront is protected by ann (audit); release it first",
        ),
        (
            RequestVerb.REPLACE, "storefront/*", {"of": aset(controls=(control(ControlKind.PROTECT, 2),))},
            "storefront/2 is protected; release it first",
        ),
        (RequestVerb.REBOOT, "storefront/1", {"members": [STILL]}, "storefront/1 is wanted stopped; start it instead"),
        (
            RequestVerb.REBOOT, "storefront/1", {"members": [member(REQUESTED)]},
            "storefront/1 has no node to reboot; it is requested",
        ),
        (
            RequestVerb.REPLACE, "storefront/1", {"members": [OFF]},
            "storefront/1 has no node to replace; it is requested",
        ),
        (RequestVerb.PAUSE, "storefront", {"until": ago(1).isoformat()}, "which has passed"),
        (RequestVerb.RELEASE, "storefront", {"kind": "brake"}, "'brake' is no control; release one of pause, protect"),
        (RequestVerb.ADOPT, "storefront", {}, "adopt cannot be asked of a set"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_a_sentence(
    verb: RequestVerb, target: str, other: dict[str, Any], why: str
) -> None:
    found = answer(verb, target, **other)
    assert found.state is RequestState.REFUSED
    assert why in found.outcome
    assert (found.changes, found.control, found.set_values) == ((), None, None)


@pytest.mark.parametrize("verb", ON_A_SET)
def test_a_set_that_is_not_there_is_refused_with_the_way_to_those_that_are(verb: RequestVerb) -> None:
    found = requests.answer(request(verb, "shop/1"), None, (), NOW)
    assert found.state is RequestState.REFUSED
    assert "no active set named shop; `cloudmon sets list`" in found.outcome


@pytest.mark.parametrize("verb", ON_A_SET)
@pytest.mark.parametrize("target", ["storefront/l", "storefront/", "storefront/1,2", "storefront/-1", "storefront/**"])
def test_a_slip_of_the_pen_does_not_mean_all_of_them(verb: RequestVerb, target: str) -> None:
    found = answer(verb, target, kind="pause", by_s="60")
    assert found.state is RequestState.REFUSED
    assert f"{target} names no appliance" in found.outcome


# --- what is done at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        (RequestVerb.PAUSE, ControlKind.PAUSE),
        (RequestVerb.PROTECT, ControlKind.PROTECT),
        (RequestVerb.MAINTAIN, ControlKind.MAINTENANCE),
    ],
)
def test_a_control_is_laid_upon_a_set_or_one_appliance(verb: RequestVerb, kind: ControlKind) -> None:
    whole = answer(verb, "storefront").control
    one = answer(verb, "storefront/2", until=ahead(60).isoformat()).control
    assert whole is not None
    assert one is not None
    assert (whole.kind, whole.ordinal, whole.until, whole.owner) == (kind, None, None, "ann")
    assert (one.ordinal, one.until, one.since) == (2, ahead(60), NOW)


def test_a_control_is_released() -> None:
    found = answer(RequestVerb.RELEASE, "storefront", kind="maintenance")
    assert (found.state, found.release) == (RequestState.DONE, ControlKind.MAINTENANCE)


@pytest.mark.parametrize(
    ("arguments", "end"),
    [({"by_s": "3600"}, ahead(3_660)), ({"until": ahead(90).isoformat()}, ahead(90))],
    ids=["by so long", "until an instant"],
)
def test_a_lease_is_extended_and_warned_about_anew(arguments: dict[str, Any], end: Any) -> None:
    found = answer(RequestVerb.EXTEND, "storefront", **arguments)
    assert (found.state, found.set_values) == (RequestState.DONE, {"lease_end": end, "warned_s": ()})
    assert found.log_kind == "lease.extended"


def test_a_set_is_retired_because_somebody_asked() -> None:
    found = answer(RequestVerb.RETIRE, "storefront")
    assert found.state is RequestState.ACCEPTED
    assert found.set_values == {"retiring_since": NOW, "retired_reason": "asked by ann: asked for"}
    assert answer(RequestVerb.RETIRE, "storefront", of=GOING).set_values is None


def test_a_protection_of_one_appliance_or_of_the_past_does_not_keep_a_set() -> None:
    controls = (control(ControlKind.PROTECT, 2), control(ControlKind.PROTECT, until=NOW))
    assert answer(RequestVerb.RETIRE, "storefront", of=aset(controls=controls)).state is RequestState.ACCEPTED


@pytest.mark.parametrize(
    ("verb", "wanted"),
    [
        (RequestVerb.START, Power.RUNNING),
        (RequestVerb.RESUME, Power.RUNNING),
        (RequestVerb.STOP, Power.STOPPED),
        (RequestVerb.SUSPEND, Power.SUSPENDED),
    ],
)
def test_power_is_wanted_of_those_that_are_not_wanted_so_yet(verb: RequestVerb, wanted: Power) -> None:
    """Failures of the past do not delay it."""
    others = [member(ordinal=n, wanted=power) for n, power in enumerate(Power, 1)]
    found = answer(verb, "storefront/*", [*others, member(RETIRED, 4)])
    assert found.state is RequestState.ACCEPTED
    assert [change.appliance for change in found.changes] == [one.id for one in others if one.wanted is not wanted]
    assert all(change.member == {"wanted": wanted, **ANEW} for change in found.changes)
    assert all(change.expect is not None for change in found.changes)


@pytest.mark.parametrize(
    ("verb", "of"),
    [
        (RequestVerb.START, member(REQUESTED, rung=7)),
        (RequestVerb.START, member(REQUESTED, attempts=5, retry_at=ahead(900))),
        (RequestVerb.START, member(FAULTED, rung=6)),
        (RequestVerb.RESUME, member(STOPPED, attempts=6)),
        (RequestVerb.STOP, member(RUNNING, wanted=Power.STOPPED, attempts=6)),
        (RequestVerb.REPLACE, member(REQUESTED, rung=7)),
        (RequestVerb.REPLACE, member(REQUESTED, attempts=5, retry_at=ahead(900))),
    ],
    ids=[
        "lost too often", "launches failed", "nothing healed it", "it does not start", "it does not stop",
        "another one of what was lost too often", "another one of what could not be launched",
    ],
)  # fmt: skip
def test_what_was_given_up_is_tried_anew_when_somebody_asks_for_it(verb: RequestVerb, of: Member) -> None:
    (change,) = answer(verb, "storefront/1", [of]).changes
    assert change.member == {"wanted": of.wanted, **ANEW}
    assert [entry.kind for entry in change.log] == ["appliance.wanted"]


def test_what_runs_as_it_is_wanted_keeps_its_rung_until_it_is_steady() -> None:
    assert answer(RequestVerb.START, "storefront/1", [member(rung=2)]).changes == ()


def test_a_replacement_of_what_has_no_node_is_its_next_launch_and_done_at_once() -> None:
    found = answer(RequestVerb.REPLACE, "storefront/1", [member(REQUESTED)])
    assert (found.state, found.outcome) == (
        RequestState.DONE, "storefront/1 has no node to replace; its next one is due at once",
    )  # fmt: skip
    rolling = answer(RequestVerb.REPLACE, "storefront/*", [member(REQUESTED, rung=7), *THREE[1:]])
    assert rolling.state is RequestState.ACCEPTED
    assert [change.appliance.ordinal for change in rolling.changes if change.appliance] == [1]


def test_nobody_waits_for_a_node_of_what_is_wanted_off() -> None:
    """The incident about it ends."""
    (change,) = answer(RequestVerb.STOP, "storefront/1", [member(REQUESTED, rung=7)]).changes
    assert change.findings == (FindingEnd(FindingKind.INCIDENT, f"{UID}/1"),)
    (running,) = answer(RequestVerb.STOP, "storefront/1", [member(FAULTED, rung=7)]).changes
    assert running.findings == ()


# --- turns ------------------------------------------------------------------------------------------------------------


def born(ordinal: int, state: IntentState) -> Intent:
    return intent(Verb.REBOOT, state, appliance=ApplianceId(UID, ordinal), request_id="request-1", error="Refused: no")


@pytest.mark.parametrize(
    ("members", "intents", "batch", "turns"),
    [
        (THREE, [], 1, {1}),
        (THREE, [], 2, {1, 2}),
        (THREE, [], 9, {1, 2, 3}),
        (THREE, [born(1, IntentState.PERFORMED)], 1, set()),
        (THREE, [born(1, IntentState.DONE)], 1, {2}),
        ([member(FAULTED), *THREE[1:]], [born(1, IntentState.DONE)], 1, set()),
        ([member(FAULTED), *THREE[1:]], [], 1, {1}),
        ([member(FAULTED), *THREE[1:]], [], 2, {1, 2}),
        ([member(REQUESTED), *THREE[1:]], [], 1, set()),
        (THREE, [born(1, IntentState.FAILED)], 9, set()),
        (THREE, [born(1, IntentState.INCIDENT)], 9, set()),
        ([STILL, *THREE[1:]], [], 2, {2}),
        ([*THREE[:2], member(RETIRED, 3)], [born(1, IntentState.DONE), born(2, IntentState.DONE)], 1, set()),
    ],
    ids=[
        "one at a time", "two at a time", "all at once", "not while one is under way", "the next when it is done",
        "not while it has not come back", "what is out of service already comes first", "and takes its place",
        "one without a node is out of service too", "nobody after a failure", "nor after an incident",
        "what is stopped by wish is not rebooted", "what has ended has no turn",
    ],
)  # fmt: skip
def test_no_more_than_a_batch_is_out_of_service_at_once(
    members: list[Member], intents: list[Intent], batch: int, turns: set[int]
) -> None:
    asked = request(RequestVerb.REBOOT, "storefront/*")
    assert requests.turns(asked, aset(healing=Healing(batch=batch)), members, intents) == turns


def test_one_that_was_asked_for_by_name_has_its_turn_whoever_else_is_out() -> None:
    members = [member(), member(FAULTED, 2)]
    assert requests.turns(request(RequestVerb.REBOOT, "storefront/1"), aset(), members, []) == {1}


# --- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "members", "intents", "state"),
    [
        (RequestVerb.RETIRE, [member(RETIRED), member(RETIRING, 2)], [], None),
        (RequestVerb.RETIRE, [member(RETIRED), member(RETIRED, 2)], [], RequestState.DONE),
        (RequestVerb.REBOOT, [member(RETIRING)], [], RequestState.FAILED),
        (RequestVerb.REBOOT, THREE[:1], [], None),
        (RequestVerb.REBOOT, THREE[:1], [born(1, IntentState.PERFORMED)], None),
        (RequestVerb.REBOOT, THREE[:1], [born(1, IntentState.DONE)], RequestState.DONE),
        (RequestVerb.REBOOT, [member(FAULTED)], [born(1, IntentState.DONE)], None),
        (RequestVerb.REBOOT, THREE[:2], [born(1, IntentState.DONE)], None),
        (RequestVerb.REBOOT, THREE[:2], [born(1, IntentState.FAILED)], RequestState.FAILED),
        (RequestVerb.REPLACE, [member(REQUESTED)], [born(1, IntentState.DONE)], None),
        (RequestVerb.REPLACE, [OFF], [born(1, IntentState.PERFORMED)], None),
        (RequestVerb.REPLACE, [OFF], [born(1, IntentState.DONE)], RequestState.DONE),
        (RequestVerb.REPLACE, [OFF, THREE[1]], [born(2, IntentState.DONE)], RequestState.DONE),
        (RequestVerb.REBOOT, [OFF, THREE[1]], [born(2, IntentState.DONE)], RequestState.DONE),
        (RequestVerb.REBOOT, [STILL, THREE[1]], [born(2, IntentState.DONE)], RequestState.DONE),
        (RequestVerb.STOP, [member(wanted=Power.STOPPED)], [], None),
        (RequestVerb.STOP, [member(STOPPED, wanted=Power.STOPPED)], [], RequestState.DONE),
        (RequestVerb.STOP, [member(REQUESTED, wanted=Power.STOPPED)], [], RequestState.DONE),
        (RequestVerb.STOP, [member(SUSPENDED, wanted=Power.STOPPED)], [], RequestState.DONE),
        (RequestVerb.STOP, [member(wanted=Power.RUNNING)], [], RequestState.FAILED),
        (RequestVerb.SUSPEND, [member(SUSPENDED, wanted=Power.SUSPENDED)], [], RequestState.DONE),
        (RequestVerb.SUSPEND, [member(STOPPED, wanted=Power.SUSPENDED)], [], RequestState.DONE),
        (RequestVerb.START, [member(STOPPED)], [], None),
        (RequestVerb.START, THREE, [], RequestState.DONE),
        (RequestVerb.START, [member(REQUESTED)], [], None),
    ],
    ids=[
        "one is still ending", "all have ended", "it was retired before", "not begun", "under way", "rebooted",
        "has not come back", "the second is still to come", "refused", "waits for its next node",
        "the node of one that is off is still ending",
        "one that is wanted off has nothing to come back to", "one that is off has no node to replace",
        "nor one to reboot", "what is stopped by wish is not rebooted", "still runs", "is off",
        "has no node, which is as off", "is frozen, which is off", "somebody asked for something else", "is frozen",
        "is off where frozen is wanted",
        "is not started", "run", "has no node yet",
    ],
)  # fmt: skip
def test_a_request_ends_when_it_is_done_or_cannot_be(
    verb: RequestVerb, members: list[Member], intents: list[Intent], state: RequestState | None
) -> None:
    found = requests.progress(request(verb, "storefront/*"), members, intents)
    assert (found.state if found is not None else None) is state


@pytest.mark.parametrize(
    ("members", "outcome"),
    [
        ([OFF], "replace of 1 appliance done: the node is ended, and the next one is launched when it is started"),
        (
            [OFF, THREE[1]],
            "replace of 2 appliances done: of 1 the node is ended, and the next one is launched when it is started",
        ),
        (THREE[:2], "replace of 2 appliances done"),
    ],
    ids=["it is off", "one of two is off", "both have their next node"],
)
def test_what_comes_after_a_replacement_of_what_is_off_is_said(members: list[Member], outcome: str) -> None:
    intents = [born(one.ordinal, IntentState.DONE) for one in members]
    found = requests.progress(request(RequestVerb.REPLACE, "storefront/*"), members, intents)
    assert (found and found.outcome) == outcome


def test_a_stop_instead_of_a_suspension_is_said() -> None:
    members = [member(SUSPENDED, 1, wanted=Power.SUSPENDED), member(STOPPED, 2, wanted=Power.SUSPENDED)]
    found = requests.progress(request(RequestVerb.SUSPEND, "storefront"), members, [])
    assert found is not None
    assert found.outcome.startswith("2 appliances")
    assert "stopped, not suspended" in found.outcome


def test_a_failure_is_said_with_its_reason() -> None:
    found = requests.progress(request(RequestVerb.REBOOT, "storefront"), THREE, [born(2, IntentState.FAILED)])
    assert found is not None
    assert found.outcome == "reboot of 2 failed: Refused: no"


@pytest.mark.parametrize(
    ("error", "why"),
    [("Refused: locked", "Refused: locked"), ("", "it was accepted, and shows no effect")],
    ids=["refused", "accepted"],
)
def test_what_does_not_come_to_its_end_is_said_to_be_tried_on(error: str, why: str) -> None:
    stuck = replace(born(2, IntentState.INCIDENT), error=error)
    found = requests.progress(request(RequestVerb.REPLACE, "storefront"), THREE, [stuck])
    assert found is not None
    assert found.outcome == f"replace of 2 does not come to its end and is tried on: {why}"


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("storefront/3", ("storefront", 3)),
        ("storefront/*", ("storefront", None)),
        ("storefront", ("storefront", None)),
    ],
)
def test_a_target_names_one_or_all(target: str, found: tuple[str, int | None]) -> None:
    assert requests.split(target) == found


@pytest.mark.parametrize(
    ("verb", "why"), [(RequestVerb.EXTEND, "too late: storefront ended"), (RequestVerb.REBOOT, "storefront ended")]
)
def test_a_set_that_has_ended_is_refused_with_when_and_why(verb: RequestVerb, why: str) -> None:
    over = aset(retired_at=ago(60), retired_reason="its lease ended")
    found = requests.ended(request(verb), over, NOW)
    assert (found.state, found.outcome) == (
        RequestState.REFUSED, f"{why} at {ago(60).isoformat(timespec='seconds')}, because its lease ended",
    )  # fmt: skip
