"""Commands that nobody would fetch, and when those that nobody fetched are over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import NOW, UID, ago, ahead, case, intent, member, node, request, unseen, view

from cloudmon.cli.watching import under_way
from cloudmon.model.actions import ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import TimerClear, TimerKind
from cloudmon.model.commands import FETCH_S, TERMS, fetch_by
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import Job, Template
from cloudmon.reconcile import commands

BARE = Template("web", {}, jobs={"backup": Job(("/bin/backup",), 60)})
WITH_AGENT = replace(BARE, agent=True)
SCAN, JOB, NO_JOB = {"verb": "scan"}, {"verb": "job_run", "job": "backup"}, {"verb": "job_run", "job": "x"}
RUNS = {"east": view(verbs=frozenset({"start_command"}))}
RUNS_NOT = {"east": view(verbs=frozenset())}
UNSEEN = {"east": unseen()}
BOOT_S = BARE.boot_timeout_s


def agent(ordinal: int = 1, **other: Any) -> Agent:
    told: dict[str, Any] = {"incarnation": 1, **other}
    return Agent(ApplianceId(UID, ordinal), "default", instance="i", version="1", enrolled_at=NOW, serial=1, **told)


GONE = agent(revoked_at=NOW)
NONE, REVOKED = "storefront/1 has no agent", "the agent of storefront/1 was revoked"


@pytest.mark.parametrize(
    ("template", "agents", "told", "views", "why"),
    [
        (BARE, [], SCAN, RUNS, NONE),
        (BARE, [], SCAN, {}, NONE),
        (BARE, [], JOB, RUNS, ""),
        (BARE, [], NO_JOB, RUNS, NONE),
        (BARE, [], JOB, RUNS_NOT, NONE),
        (BARE, [], JOB, UNSEEN, ""),
        (BARE, [], JOB, {}, ""),
        (BARE, [agent()], SCAN, RUNS_NOT, ""),
        (BARE, [agent(2)], SCAN, RUNS_NOT, NONE),
        (BARE, [agent(incarnation=9)], SCAN, RUNS_NOT, NONE),
        (WITH_AGENT, [], SCAN, RUNS_NOT, ""),
        (WITH_AGENT, [GONE], SCAN, RUNS_NOT, REVOKED),
        (WITH_AGENT, [GONE], JOB, RUNS, ""),
        (WITH_AGENT, [agent(incarnation=9, revoked_at=NOW)], SCAN, RUNS_NOT, ""),
    ],
    ids=["no cloud scans", "nor one that was not seen yet", "its cloud runs jobs", "that nobody declared no cloud runs",
         "its cloud runs nothing", "its cloud is not seen", "its cloud was not seen yet", "its agent does it",
         "the agent is another's", "the agent was its last node's", "its agent is expected", "its agent was revoked",
         "its cloud does it instead", "that of its last node was revoked"],
)  # fmt: skip
def test_what_would_wait_for_nobody_is_refused_with_what_to_do(
    template: Template, agents: list[Agent], told: dict[str, str], views: Any, why: str
) -> None:
    asked = request(RequestVerb.COMMAND, "storefront/1", arguments=told)
    found = commands.nobody(asked, template, [member(), member(ordinal=2)], agents, views)
    assert found.startswith(why)
    assert found.endswith("`cloudmon agent token storefront/1` lets one in") is bool(why)
    assert bool(found) is bool(why)


@pytest.mark.parametrize(
    ("of", "refused"),
    [
        ([member(), member(ordinal=2)], True),
        ([member()], False),
        ([member(), member(ApplianceState.REQUESTED, 2)], False),
        ([member(), member(ApplianceState.STOPPED, 2, wanted=Power.STOPPED)], False),
    ],
    ids=["one of them has none", "all have one", "the other has no node", "the other is wanted off"],
)
def test_all_are_asked_only_where_nobody_would_wait_in_vain(of: Any, refused: bool) -> None:
    asked = request(RequestVerb.COMMAND, "storefront/*", arguments=SCAN)
    assert bool(commands.nobody(asked, BARE, of, [agent()], RUNS)) is refused


@pytest.mark.parametrize("verb", [Verb.SCAN, Verb.JOB_RUN, Verb.REPORT_NOW])
@pytest.mark.parametrize(
    ("state", "age_s", "over"),
    [
        (IntentState.RECORDED, FETCH_S - 1, ""),
        (IntentState.RECORDED, FETCH_S, "nobody fetched it in time"),
        (IntentState.PERFORMED, FETCH_S, ""),
    ],
    ids=["it may still be fetched", "nobody fetched it", "it was fetched"],
)
def test_what_nobody_fetched_is_over_soon_and_what_was_fetched_has_its_whole_time(
    verb: Verb, state: IntentState, age_s: float, over: str
) -> None:
    deadline = ahead(FETCH_S + TERMS[verb].timeout_s - age_s)
    command = replace(intent(verb, state), created_at=ago(age_s), deadline=deadline)
    found = list(commands.review([command], {member().id: member()}, NOW))
    assert [change.intents[0].values["error"] for change in found] == [over] * bool(over)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({}, ActionClass.SAFE), ({"restart": "yes"}, ActionClass.DISRUPTIVE), ({"restart": "no"}, ActionClass.SAFE)],
    ids=["installed only", "started again for it", "not started again"],
)
def test_an_installation_counts_in_budgets_where_something_is_started_again(
    arguments: dict[str, str], told: ActionClass
) -> None:
    found = commands.opened(
        case(member(), node()), Verb.APP_INSTALL, {"application": "web", **arguments}, Origin.WANTED, "why"
    )
    assert found.intent.action_class is told


@pytest.mark.parametrize(
    ("of", "given_s"),
    [
        (member(), FETCH_S),
        (member(since=ago(30)), BOOT_S - 30),
        (member(since=ago(BOOT_S - 1)), FETCH_S),
        (member(ApplianceState.STOPPED), BOOT_S),
    ],
    ids=["it runs for long", "it came up just now", "it came up a while ago", "it is still to come up"],
)
def test_the_agent_of_a_machine_that_boots_is_given_the_time_of_a_boot(of: Member, given_s: float) -> None:
    opened = commands.opened(case(of, node()), Verb.SCAN, {}, Origin.REQUEST, "asked").intent
    assert fetch_by(opened) == ahead(given_s)
    assert opened.deadline == ahead(given_s + TERMS[Verb.SCAN].timeout_s)


def test_a_command_that_is_fetched_while_it_is_found_late_is_not_ended() -> None:
    """Law 5: its outcome is told by whoever has it now."""
    late = replace(intent(Verb.SCAN), created_at=ago(FETCH_S), deadline=ahead(TERMS[Verb.SCAN].timeout_s))
    (change,) = commands.review([late], {member().id: member()}, NOW)
    assert change.intents[0].expected == {IntentState.RECORDED}


@pytest.mark.parametrize(
    ("verb", "origin", "forgotten"),
    [
        (Verb.SCAN, Origin.OBSERVATION, True),
        (Verb.SCAN, Origin.REQUEST, False),
        (Verb.QUARANTINE, Origin.OBSERVATION, False),
    ],
    ids=["a look for what is bad in another", "one that somebody asked for", "another command"],
)
def test_a_look_that_nobody_took_is_due_again(verb: Verb, origin: Origin, forgotten: bool) -> None:
    late = intent(verb, created_at=ago(FETCH_S), deadline=ahead(TERMS[verb].timeout_s), origin=origin)
    (change,) = commands.review([late], {member().id: member()}, NOW)
    assert change.timers == (TimerClear(UID, 1, TimerKind.SEARCHED),) * forgotten


@pytest.mark.parametrize(
    ("state", "result", "shown"),
    [
        (IntentState.RECORDED, {}, "scan, to be fetched"),
        (IntentState.PERFORMED, {}, "scan, its agent's answer"),
        (IntentState.PERFORMED, {"by": "cloud"}, "scan, the cloud's answer"),
    ],
    ids=["not fetched", "fetched", "handed to its cloud"],
)
def test_status_says_for_whom_a_command_waits(state: IntentState, result: dict[str, object], shown: str) -> None:
    assert under_way(replace(intent(Verb.SCAN, state), result=result)) == shown
