"""An estate whose appliances have agents that say what a test lets them say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from watched import Watched, spec

from cloudmon.model import states
from cloudmon.model.actions import Intent, Verb
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind, Result, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Policy, Remedy, Rule
from cloudmon.model.sets import Application, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides

TEMPLATE = Template("web", {"*": "image-1"}, applications={"shop": Application(match="shop")}, report_interval_s=30)
DOWN = Rule("down", 'applications["shop"].state == "down"', message="the shop is down", then=(
    Remedy("app_restart", {"application": "shop"}),
))  # fmt: skip
SLOW = replace(DOWN, name="slow", for_s=20)
SILENT = Rule("silent", "report.age_s > 100", message="it is silent")
NO_AGENT = Rule("no-agent", 'appliance.state == "running"', message="it runs")


def up(state: str = "up", **more: Mapping[str, object]) -> Sections:
    return {"applications": {"shop": {"state": state}}, **{name: {"now": dict(facts)} for name, facts in more.items()}}


class Line:
    """Notes what the monitor tells the channel."""

    def __init__(self) -> None:
        self.rung: list[ApplianceId] = []
        self.full: list[ApplianceId] = []

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        self.rung += appliances

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """Nobody is served here."""

    def retell(self, set_uids: Iterable[str]) -> None: ...

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        self.full += appliances


class Inhabited(Watched):
    """Two appliances that run, each with an agent that speaks when it is told to."""

    policy_name = "ours"

    def __init__(self, folder: Path, *rules: Rule, template: Template = TEMPLATE, enrolled: Iterable[int] = (1, 2)):
        super().__init__(folder, specs=[spec(2, template=template)])
        self.rules = rules
        self.seqs: dict[int, int] = {}
        self.last: dict[int, Sections] = {}
        self.monitor = self.inhabited()
        self.tick(3)
        for ordinal in enrolled:
            self.enrol(ordinal)

    def inhabited(self) -> object:
        monitor = self._made()
        monitor.insides = Insides(Hearing(self.store), [Policy(self.policy_name, tuple(self.rules))])  # type: ignore[arg-type]
        self.line = Line()
        monitor.line = monitor.insides.hearing.line = self.line
        return monitor

    @property
    def insides(self) -> Insides:
        assert self.monitor.insides is not None
        return self.monitor.insides

    def id(self, ordinal: int) -> ApplianceId:
        return self.members()[ordinal - 1].id

    def enrol(self, ordinal: int) -> None:
        member, now = self.members()[ordinal - 1], self.clock.now()
        agent = Agent(member.id, "default", member.incarnation, f"{ordinal:032x}", "1.0", now, 1)
        token = Enrolment(
            f"m-{ordinal}-{member.incarnation}", member.id, "default", member.incarnation, "ann", now, now
        )
        assert self.memory.agents.enrol(self.owner, agent, enrolment=token, now=now)

    def report(self, ordinal: int, sections: Sections, *results: Result, diff: bool = False) -> Report:
        """Its next report; what a store takes and nobody has heard of yet."""
        member, now = self.members()[ordinal - 1], self.clock.now()
        self.seqs[ordinal] = seq = self.seqs.get(ordinal, 0) + 1
        before = self.last.get(ordinal, {})
        self.last[ordinal] = sections
        kind = ReportKind.DIFF if diff else ReportKind.FULL
        return Report(
            member.id, "default", member.incarnation, f"{ordinal:032x}", "b1", seq, kind,
            states.state_hash(before) if diff else "", states.state_hash(sections), "interval", now, now,
            states.difference(before, sections) if diff else sections, results, "1.0",
        )  # fmt: skip

    def say(self, ordinal: int, sections: Sections, *results: Result, diff: bool = False) -> None:
        """A report comes, as the channel takes it and hands it on."""
        report = self.report(ordinal, sections, *results, diff=diff)
        assert self.memory.reports.take(self.owner, [report], now=self.clock.now()) == [True]
        self.insides.heard([report])

    def found(self) -> list[str]:
        return [finding.message for finding in self.detected()]

    def detected(self) -> list[Finding]:
        return [one for one in self.memory.findings.open(EVERYONE) if one.kind is FindingKind.DETECTED]

    def commands(self, ordinal: int = 1) -> list[Intent]:
        found = self.memory.intents.of(EVERYONE, self.id(ordinal).set_uid, ordinal)
        return [one for one in found if one.verb is Verb.APP_RESTART]

    def done(self, intent: Intent, *, ok: bool = True) -> Result:
        return Result(intent.id, ok, 0, "", "" if ok else "it did not work", self.clock.now())
