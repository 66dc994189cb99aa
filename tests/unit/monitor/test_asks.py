"""Requests are answered once, in order, and none stands in the way of another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pictures import UID
from watched import Watched, bare, spec

from cloudmon.errors import RateLimited, StoreUnavailable
from cloudmon.model import specs as spec_codec
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Agent, Enrolment
from cloudmon.model.identity import Token
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import ControlKind, Healing
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.policy import View
from cloudmon.notices import trying
from cloudmon.reconcile.limits import ClassLimits, Limits


@pytest.fixture
def of(tmp_path: Path) -> Watched:
    """Two appliances that run."""
    found = Watched(tmp_path, specs=[spec(2)])
    found.tick(3)
    return found


@pytest.mark.parametrize(
    ("verb", "target", "arguments", "why"),
    [
        (RequestVerb.PAUSE, "storefront", {"until": "tomorrow"}, "its arguments make no sense: Invalid isoformat"),
        (RequestVerb.PAUSE, "storefront", {"until": "2026-03-01T12:00:00"}, "can't compare offset-naive"),
        (RequestVerb.APPLY, "file:x", {"author": "file:x"}, "it lacks the argument 'sets'"),
        (RequestVerb.APPLY, "file:x", {"author": "file:x", "sets": "{"}, "its arguments make no sense"),
        (RequestVerb.APPLY, "file:x", {"author": "file:x", "sets": '[{"nmae": 1}]'}, "set has no field 'nmae'"),
        (RequestVerb.RELEASE, "storefront", {}, "'' is no control"),
        (RequestVerb.END_ORPHAN, "east:node-1", {}, "east:node-1 is no orphan that was found"),
    ],
    ids=["no instant", "an instant without a zone", "no sets", "no JSON", "an unknown field", "no kind", "no orphan"],
)
def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_is_done(
    of: Watched, verb: RequestVerb, target: str, arguments: dict[str, str], why: str
) -> None:
    broken = of.ask(verb, target, **arguments)
    after = of.ask(RequestVerb.STOP, "storefront/1")
    of.tick(3)
    assert of.request(broken).state is RequestState.REFUSED
    assert why in of.request(broken).outcome
    assert of.request(after).state is RequestState.DONE


@pytest.mark.parametrize("arguments", [{"by_s": "soon"}, {}], ids=["no number", "no end"])
def test_an_extension_without_an_end_is_refused(tmp_path: Path, arguments: dict[str, str]) -> None:
    of = Watched(tmp_path)
    lease = replace(spec().lease, duration_s=9_999)
    of.monitor.policy = replace(of.policy, view=View("file:shop", (spec(1, lease=lease),)))
    of.tick()
    asked = of.ask(RequestVerb.EXTEND, "storefront", **arguments)
    of.tick()
    assert of.request(asked).state is RequestState.REFUSED


def test_stop_and_start_are_done_when_it_is_seen(of: Watched) -> None:
    stop = of.ask(RequestVerb.STOP, "storefront/1")
    of.tick()
    assert of.request(stop).state is RequestState.ACCEPTED
    of.tick(2)
    assert of.request(stop).state is RequestState.DONE
    assert of.members()[0].state is ApplianceState.STOPPED
    start = of.ask(RequestVerb.START, "storefront/1")
    of.tick(3)
    assert of.request(start).state is RequestState.DONE


def test_a_replacement_of_all_goes_one_by_one_and_ends(of: Watched) -> None:
    before = {m.node_id for m in of.members()}
    asked = of.ask(RequestVerb.REPLACE, "storefront/*")
    least = 2
    for _ in range(14):
        of.tick()
        least = min(least, sum(1 for m in of.members() if m.state is ApplianceState.RUNNING))
    assert of.request(asked).outcome == "replace of 2 appliances done"
    assert before.isdisjoint(m.node_id for m in of.members())
    assert least == 1


def test_throttling_does_not_make_a_request_fail(of: Watched) -> None:
    of.east.play("reboot_node", RateLimited("slower", retry_after_s=20), RateLimited("slower", retry_after_s=20))
    asked = of.ask(RequestVerb.REBOOT, "storefront/1")
    of.tick(8)
    assert of.request(asked).state is RequestState.DONE
    assert len(of.east.called("reboot_node")) == 3


def test_a_control_holds_until_it_is_released(of: Watched) -> None:
    of.ask(RequestVerb.PAUSE, "storefront")
    of.tick()
    node_id = of.members()[0].node_id
    of.east.nodes[node_id] = of.east.nodes[node_id]._replace(state=NodeState.STOPPED)
    report = of.tick(3)
    assert of.east.called("start_node") == []
    assert [wait.reason for wait in report.waits] == ["is paused by ann: asked for"]
    of.ask(RequestVerb.RELEASE, "storefront", kind=ControlKind.PAUSE.value)
    of.tick(2)
    assert of.east.called("start_node") == [(node_id,)]


def test_an_answer_that_was_half_written_is_given_again_and_counts_once(
    of: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store went away after the control was laid and before the request had moved."""
    asked = of.ask(RequestVerb.PROTECT, "storefront")
    with monkeypatch.context() as patch:
        patch.setattr(of.memory.requests, "move", _away)
        assert of.tick().store_away
    assert of.request(asked).state is RequestState.PENDING
    of.tick()
    assert of.request(asked).state is RequestState.DONE
    assert len(of.memory.controls.active(EVERYONE, of.clock.now())) == 1


def _away(*_: object, **__: object) -> bool:
    raise StoreUnavailable("the store is away")


def test_an_author_applies_sets_of_its_own(of: Watched) -> None:
    sets = json.dumps([spec_codec.to_json(spec(1, "ledger")), spec_codec.to_json(spec(9))])
    asked = of.ask(RequestVerb.APPLY, "cli:ann", author="cli:ann", sets=sets)
    of.tick(3)
    assert of.request(asked).outcome == "taken over"
    assert (len(of.members("ledger")), len(of.members())) == (1, 2)


def test_a_retirement_is_done_when_all_have_ended(of: Watched) -> None:
    asked = of.ask(RequestVerb.RETIRE, "storefront")
    of.tick()
    assert of.request(asked).state is RequestState.ACCEPTED
    of.tick(4)
    assert of.request(asked).state is RequestState.DONE
    assert of.east.nodes == {}


def test_an_orphan_is_ended_when_somebody_asks(of: Watched) -> None:
    estate = of.memory.estate
    of.east.nodes["i-7"] = bare("i-7")._replace(token=str(Token(estate, UID, 1, 1)), estate=estate)
    of.tick(3)
    assert "i-7" in of.east.nodes
    asked = of.ask(RequestVerb.END_ORPHAN, "east:i-7")
    of.tick(4)
    assert of.request(asked).outcome == "east:i-7 has ended"
    assert "i-7" not in of.east.nodes
    assert all(f.kind is not FindingKind.ORPHAN for f in of.memory.findings.open(EVERYONE))


def test_a_confirmation_lets_pass_what_a_budget_holds_for_an_hour(of: Watched) -> None:
    none = ClassLimits(0, None, None, 3_600)
    ladder: Any = spec(2, healing=Healing(ladder=("replace",), fault_after_s=0))
    limits = Limits(destructive=none, first_tick_hold=False)
    of.monitor.policy = replace(of.policy, limits=limits, view=View("file:shop", (ladder,)))
    node_id = of.members()[0].node_id
    of.east.nodes[node_id] = of.east.nodes[node_id]._replace(state=NodeState.ERROR)
    held = of.tick(2)
    assert [row.held for row in held.rows] == ["budget used up: 0 destructive per set in 3600 s"]
    asked = of.ask(RequestVerb.CONFIRM, of.members()[0].set_uid)
    of.tick(3)
    assert of.east.called("destroy_node") == [(node_id,)]
    assert of.request(asked).state is RequestState.ACCEPTED
    of.clock.advance(3_600)
    of.tick()
    assert of.request(asked).outcome == "its time is over"


def test_what_an_appliances_agent_cannot_do_is_refused_at_once(of: Watched) -> None:
    """Nobody waits for what never comes."""
    member = of.members()[0]
    agent = Agent(member.id, member.tenant, member.incarnation, "i", "osquery/5.12.1", of.clock.now(), 1,
                  abilities=("report_now",))  # fmt: skip
    told = Enrolment("m-1", member.id, member.tenant, 1, "ann", of.clock.now(), of.clock.now())
    assert of.memory.agents.enrol(of.owner, agent, enrolment=told, now=of.clock.now())
    command, job = RequestVerb.COMMAND, {"verb": "job_run", "job": "backup"}
    cannot = of.ask_for(command, "storefront/1", job)
    can = of.ask_for(command, "storefront/1", {"verb": "report_now"})
    other = of.ask_for(command, "storefront/2", job)
    of.tick()
    assert of.request(cannot).state is RequestState.REFUSED
    assert of.request(cannot).outcome == (
        "storefront/1 has osquery/5.12.1, which cannot do job_run; what it can do: report_now"
    )
    assert of.request(can).state is RequestState.ACCEPTED
    assert of.request(other).state is RequestState.REFUSED
    assert of.request(other).outcome == (
        "storefront/2 has no agent, and cloud east cannot do job_run in it; "
        "`cloudmon agent token storefront/2` lets one in"
    )


def test_nothing_is_asked_of_an_agent_that_was_revoked(of: Watched) -> None:
    member, now = of.members()[0], of.clock.now()
    agent = Agent(member.id, member.tenant, member.incarnation, "i", "1.0", now, 1)
    told = Enrolment("m-1", member.id, member.tenant, 1, "ann", now, now)
    assert of.memory.agents.enrol(of.owner, agent, enrolment=told, now=now)
    of.ask(RequestVerb.REVOKE, "storefront/1")
    asked = of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "report_now"})
    of.tick()
    assert of.request(asked).state is RequestState.REFUSED
    assert "the agent of storefront/1 was revoked" in of.request(asked).outcome


def test_a_test_message_to_nobody_is_refused_and_one_to_somebody_is_waited_for(of: Watched) -> None:
    """The monitor's own settings count, not those of whoever asks."""
    of.monitor.policy = replace(of.monitor.policy, notifiers=("ops",))
    nobody, somebody = of.ask(RequestVerb.NOTIFY, "opz"), of.ask(RequestVerb.NOTIFY, "ops")
    of.tick(2)
    assert of.request(nobody).state is RequestState.REFUSED
    assert 'did you mean "ops"?' in of.request(nobody).outcome
    assert of.request(somebody).state is RequestState.ACCEPTED
    (trial,) = of.store.messages.deliveries(EVERYONE)
    of.store.messages.settle(of.monitor.owner, [trying.sent(trial, "", trial.created_at)])
    of.tick(1)
    assert (of.request(somebody).state, of.request(somebody).outcome) == (RequestState.DONE, "ops took it")
