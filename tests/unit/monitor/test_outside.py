"""Whom the monitor asks from outside, and what becomes of the answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from watched import Watched, bare, spec

from cloudmon.model.actions import Verb
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Policy, Remedy, Rule
from cloudmon.model.probes import Probe, ProbeResult
from cloudmon.model.requests import RequestVerb
from cloudmon.model.sets import Job, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.courier import Courier
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.monitor.outside import Key, Target, address_of
from cloudmon.settings import policies

TCP = Probe(tcp=443)
TEMPLATE = Template("web", {"*": "image-1"}, probes={"web": TCP}, jobs={"mend": Job(("mend",))})


class Asking:
    """Asks nobody; answers what the test says."""

    def __init__(self) -> None:
        self.targets: dict[Key, Target] = {}
        self.said: dict[ApplianceId, dict[str, ProbeResult]] = {}

    def aim(self, targets: Iterable[Target]) -> None:
        self.targets = {(one.appliance, one.name): one for one in targets}

    def aimed(self) -> Mapping[Key, Target]:
        return self.targets

    def answers(self, appliance: ApplianceId) -> Mapping[str, ProbeResult]:
        return self.said.get(appliance, {})


class Probed(Watched):
    """An estate whose appliances have no agent and a probe, ``web``."""

    def __init__(self, folder: Path, *then: Remedy) -> None:
        super().__init__(folder, specs=[spec(2, template=TEMPLATE)])
        built_in = policies.built_in().policy(policies.BUILT_IN)
        own = Policy("own", (Rule("unserved", "!probes.web.ok", then=then),), sets=("*",))
        self.insides = Insides(Hearing(self.memory), (built_in, own) if then else (built_in,))
        self.asking = self.insides.outside = Asking()
        self.monitor.insides = self.insides
        self.tick(3)
        for member in self.members():
            node = self.east.nodes[member.node_id]
            self.east.nodes[node.id] = node._replace(private_addresses=(f"10.0.0.{member.ordinal}",))
        self.tick(2)

    def answer(self, error: str, ordinal: int = 1) -> None:
        member = self.members()[ordinal - 1]
        now = self.clock.now()
        result = ProbeResult(member.incarnation, not error, error, now, now, "10.0.0.1", 30)
        self.asking.said[member.id] = {"web": result}
        self.insides.answered([member.id])

    def open(self) -> list[str]:
        return [one.message for one in self.memory.findings.open(EVERYONE) if one.kind is FindingKind.DETECTED]


@pytest.fixture
def of(tmp_path: Path) -> Probed:
    return Probed(tmp_path)


def test_appliances_that_run_are_asked_at_the_address_that_their_cloud_names(of: Probed) -> None:
    assert {(one.appliance.ordinal, one.name, one.probe, one.address) for one in of.asking.targets.values()} == {
        (1, "web", TCP, "10.0.0.1"),
        (2, "web", TCP, "10.0.0.2"),
    }
    of.ask(RequestVerb.STOP, "storefront/1")
    of.tick(3)
    assert [appliance.ordinal for appliance, _ in of.asking.targets] == [2]


def test_they_are_asked_on_while_their_cloud_is_not_seen(of: Probed) -> None:
    before = dict(of.asking.targets)
    of.east.play("list_nodes", *[RuntimeError("no listing")] * 2)
    of.tick(2)
    assert of.asking.targets == before


def test_a_probe_that_fails_three_times_is_found_and_one_that_is_well_again_ends_it(of: Probed) -> None:
    for _ in range(2):
        of.answer("connection refused")
        of.monitor.attend()
    assert of.open() == []
    of.answer("connection refused")
    of.monitor.attend()
    assert of.open() == ["storefront/1: the probe web is not answered as it must be"]
    of.answer("")
    of.monitor.attend()
    assert of.open() == []


def test_who_is_not_asked_any_more_is_not_taken_for_well_nor_for_ill(of: Probed) -> None:
    for _ in range(3):
        of.answer("connection refused")
        of.monitor.attend()
    of.clock.advance(600)
    of.tick(2)
    assert len(of.open()) == 1
    of.asking.said.clear()
    of.insides.answered([of.members()[0].id])
    of.tick(2)
    assert len(of.open()) == 1


def test_a_rule_of_ones_own_reboots_what_does_not_answer(tmp_path: Path) -> None:
    of = Probed(tmp_path, Remedy("reboot"))
    of.answer("no answer within 5 s")
    assert of.monitor.attend() == 1
    of.tick(1)
    since = of.clock.now() - dt.timedelta(days=1)
    (intent,) = [one for one in of.memory.intents.recent(EVERYONE, since) if one.verb is Verb.REBOOT]
    assert "unserved" in intent.reason


def test_a_rule_has_the_cloud_run_a_job_before_it_reboots(tmp_path: Path) -> None:
    of = Probed(tmp_path, Remedy("app_restart", {"application": "web"}), Remedy("job_run", {"job": "mend"}))
    of.answer("no answer within 5 s")
    assert of.monitor.attend() == 1
    (command,) = of.memory.intents.commands(EVERYONE, of.members()[0].id)
    # What neither an agent nor the cloud can do here is no rung.
    assert (command.verb, command.arguments) == (Verb.JOB_RUN, {"job": "mend"})
    courier = Courier(of.monitor)
    for _ in range(3):
        courier.round()
    assert of.east.called("start_command") == [(of.members()[0].node_id, (("mend",),), 60.0)]
    assert of.memory.intents.commands(EVERYONE, of.members()[0].id) == []


def test_a_quiet_tick_writes_nothing_about_those_that_are_well(of: Probed) -> None:
    of.answer("")
    of.answer("", 2)
    of.tick(2)
    report = of.tick()
    assert (report.steady, report.changes) == (True, 0)
    assert of.memory.rules.all(EVERYONE) == []


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe(tcp=80), "10.0.0.1"),
        (Probe(tcp=80, family=6), "fd00::1"),
        (Probe(tcp=80, address="public"), "2001:db8::1"),
        (Probe(tcp=80, address="public", family=4), ""),
    ],
    ids=["the first", "the first of IP 6", "a public one", "none of that kind"],
)
def test_the_address_is_the_first_that_fits(probe: Probe, expected: str) -> None:
    node = bare()._replace(
        private_addresses=("host.internal", "10.0.0.1", "fd00::1"), public_addresses=("2001:db8::1",)
    )
    assert address_of(node, probe) == expected
