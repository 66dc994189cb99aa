"""What an appliance's agent cannot do is neither waited for nor asked of it by rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from watched import Watched, spec

from cloudmon.model import states
from cloudmon.model.actions import GUEST_VERBS, Verb
from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind
from cloudmon.model.policies import Policy, Remedy, Rule
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides

SICK = {"load": {"now": {"one": 99.0}}}


@pytest.mark.parametrize(
    ("abilities", "first"),
    [(None, Verb.APP_RESTART), (("app_restart",), Verb.APP_RESTART), (("report_now",), Verb.REBOOT), ((), Verb.REBOOT)],
    ids=["all", "just that", "another one", "none"],
)
def test_a_ladder_begins_with_what_its_agent_can_do(
    tmp_path: Path, abilities: tuple[str, ...] | None, first: Verb
) -> None:
    of = Watched(tmp_path, specs=[spec(1)])
    ladder = (Remedy("app_restart", {"application": "shop"}), Remedy("reboot"))
    of.monitor.insides = Insides(Hearing(of.memory), (Policy("own", (Rule("busy", "load.one > 9", then=ladder),)),))
    of.tick(3)
    member, now = of.members()[0], of.clock.now()
    agent = Agent(member.id, "default", 1, "i" * 32, "osquery/5.12.1", now, 1, abilities=abilities)
    token = Enrolment("m-1", member.id, "default", 1, "ann", now, now)
    assert of.memory.agents.enrol(of.owner, agent, enrolment=token, now=now)
    report = Report(
        member.id, "default", 1, "i" * 32, "b", 1, ReportKind.FULL, "", states.state_hash(SICK), "start", now, now, SICK
    )
    assert of.memory.reports.take(of.owner, [report], now=now) == [True]
    of.monitor.insides.heard([report])
    of.tick()
    done = [one for one in of.memory.intents.of(EVERYONE, member.set_uid) if one.verb is not Verb.LAUNCH]
    assert [one.verb for one in done] == [first]
    assert (done[0].verb in GUEST_VERBS) is (first is Verb.APP_RESTART)
