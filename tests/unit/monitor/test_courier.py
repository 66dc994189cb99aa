"""Commands inside appliances without an agent: performed by their cloud, once, or not known."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from watched import Watched, spec

from cloudmon import errors
from cloudmon.model.actions import GUEST_VERBS, Intent, IntentState, Verb
from cloudmon.model.changes import Change
from cloudmon.model.guests import Agent
from cloudmon.model.nodes import CommandResult
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import Application, Job, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.courier import Courier
from cloudmon.reconcile import remote

TEMPLATE = Template(
    "web",
    {"*": "image-1"},
    applications={
        "site": Application(service="nginx"),
        "shop": Application(start=("/opt/shop", "start"), stop=("/opt/shop", "stop")),
        "seen": Application(match="seen"),
    },
    jobs={"backup": Job(("/usr/bin/backup", "--all; rm -rf /"), 90)},
)


class Carried(Watched):
    """An appliance that runs without an agent, in a cloud that runs commands."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, specs=[spec(1, template=TEMPLATE)])
        self.tick(3)
        self.courier = Courier(self.monitor)

    def act(self, verb: str, **arguments: str) -> str:
        made = self.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": verb, **arguments})
        self.tick()
        return made

    def command(self) -> Intent:
        (found,) = [one for one in self.memory.intents.latest(EVERYONE, 99) if one.verb in GUEST_VERBS]
        return found

    def rounds(self, count: int = 3) -> None:
        for _ in range(count):
            self.courier.round()


@pytest.fixture
def of(tmp_path: Path) -> Carried:
    return Carried(tmp_path)


def test_a_job_is_run_by_the_cloud_and_its_output_kept(of: Carried) -> None:
    made = of.act("job_run", job="backup")
    of.east.play("command_result", None, CommandResult(0, "42 files"))
    of.rounds(2)
    assert of.command().state is IntentState.PERFORMED
    of.rounds(3)
    assert of.east.called("start_command") == [(of.members()[0].node_id, (TEMPLATE.jobs["backup"].argv,), 90.0)]
    assert (of.command().state, of.command().result["output"], of.command().result["exit"]) == (
        IntentState.DONE,
        "42 files",
        0,
    )
    of.tick(2)
    assert of.request(made).state is RequestState.DONE


@pytest.mark.parametrize(
    ("verb", "application", "expected"),
    [
        ("app_restart", "site", (("systemctl", "restart", "nginx"),)),
        ("app_stop", "site", (("systemctl", "stop", "nginx"),)),
        ("app_restart", "shop", (("/opt/shop", "stop"), ("/opt/shop", "start"))),
        ("app_stop", "shop", (("/opt/shop", "stop"),)),
        ("app_restart", "seen", ()),
        ("app_update", "site", ()),
    ],
)
def test_what_is_run_for_an_application(of: Carried, verb: str, application: str, expected: object) -> None:
    assert remote.programs(Verb(verb), {"application": application}, TEMPLATE) == expected
    made = of.act(verb, application=application)
    of.rounds()
    assert len(of.east.called("start_command")) == (1 if expected else 0)
    assert of.request(made).state is (RequestState.ACCEPTED if expected else RequestState.REFUSED)


def test_one_that_ends_badly_failed_and_says_how(of: Carried) -> None:
    made = of.act("app_restart", application="site")
    of.east.play("command_result", CommandResult(5, "no such unit"))
    of.rounds()
    assert (of.command().state, of.command().error) == (IntentState.FAILED, "it ended with exit code 5")
    of.tick(2)
    assert of.request(made).state is RequestState.FAILED


def test_an_answer_that_is_lost_leaves_it_not_known_and_it_is_never_begun_again(of: Carried) -> None:
    of.act("job_run", job="backup")
    of.east.play("start_command", errors.Unreachable("no answer"))
    of.rounds()
    assert of.command().state is IntentState.PERFORMED
    of.courier = Courier(of.monitor)
    of.rounds()
    of.tick(30)
    assert len(of.east.called("start_command")) == 1
    of.clock.advance(4_000)
    of.tick(2)
    assert of.command().state is IntentState.FAILED
    assert "its cloud" in of.command().error
    assert "not known" in of.command().error


def test_a_refusal_is_certain_and_ends_it_at_once(of: Carried) -> None:
    of.act("job_run", job="backup")
    of.east.play("start_command", errors.Refused("it does not listen"))
    of.rounds()
    assert (of.command().state, of.command().error) == (IntentState.FAILED, "Refused: it does not listen")


def test_a_successor_asks_on_for_the_result(of: Carried) -> None:
    of.act("job_run", job="backup")
    of.east.play("command_result", *[None] * 5)
    of.rounds()
    of.restart()
    of.tick()
    of.courier = Courier(of.monitor)
    of.rounds(9)
    assert of.command().state is IntentState.DONE
    assert len(of.east.called("start_command")) == 1


def test_a_cloud_that_runs_no_commands_is_given_none(of: Carried) -> None:
    of.east._lacking = frozenset({"start_command", "command_result"})
    of.tick()
    made = of.act("job_run", job="backup")
    of.rounds()
    assert of.request(made).state is RequestState.REFUSED
    assert "cloud east cannot do job_run in it" in of.request(made).outcome
    assert of.east.called("start_command") == []


def test_a_command_that_was_not_begun_in_time_is_not_begun_late(of: Carried) -> None:
    of.act("job_run", job="backup")
    of.clock.advance(TEMPLATE.boot_timeout_s)
    of.rounds()
    assert of.east.called("start_command") == []
    of.tick()
    assert (of.command().state, of.command().error) == (IntentState.FAILED, "nobody fetched it in time")


def test_commands_that_no_cloud_can_perform_do_not_stand_in_the_way(
    of: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudmon.monitor.courier.AT_ONCE", 1)
    of.act("job_run", job="backup")
    other = replace(of.command(), id="0", cloud="elsewhere", created_at=of.command().created_at - dt.timedelta(1))
    of.memory.ledger.write(of.owner, [Change("default", other.appliance, opens_intent=other)], now=of.clock.now())
    of.rounds()
    assert len(of.east.called("start_command")) == 1


def test_where_an_agent_speaks_the_command_is_its_own(of: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    now = of.clock.now()
    agent = Agent(of.members()[0].id, "default", 1, "i1", "1", now, 1, received_at=now)
    monkeypatch.setattr(of.memory.agents, "get", lambda *_: agent)
    of.act("job_run", job="backup")
    of.rounds()
    assert (of.command().state, of.east.called("start_command")) == (IntentState.RECORDED, [])
    monkeypatch.setattr(of.memory.agents, "get", lambda *_: replace(agent, revoked_at=now))
    of.rounds()
    assert len(of.east.called("start_command")) == 1
