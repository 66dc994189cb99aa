"""Any sequence of reports, repeats, boots, agents and prunings leaves the state that a plain model of it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloudmon.model import states
from cloudmon.model.guests import Agent, Report, ReportKind, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import open_store
from cloudmon.testing.guest_words import GuestWords
from cloudmon.testing.store_words import START, later

words = st.sampled_from(["a", "b", "c"])
ordinals = st.integers(1, 2)
told = st.dictionaries(words, st.dictionaries(words, st.integers(0, 3) | st.just("nul \0"), max_size=3), max_size=3)


class Reporting(GuestWords, RuleBasedStateMachine):
    """Two appliances on a store in memory, and the same as plain values."""

    def __init__(self) -> None:
        super().__init__()
        self._store = open_store("memory", log_key=b"key", anchor_dir=None, now=START)
        self._owner = self._store.monitors.begin(host="here", pid=1, now=START)
        self.clock = 0
        self.agents: dict[int, Agent] = {}
        self.boots: dict[int, int] = {}
        self.seqs: dict[int, int] = {}
        self.known: dict[int, Sections | None] = {}
        self.said: list[Report] = []
        self.past: list[tuple[int, int, Sections | None]] = []

    def teardown(self) -> None:
        self._store.close()

    @initialize()
    def begin(self) -> None:
        self.uid = self.put(count=2).uid
        for ordinal in (1, 2):
            self.agents[ordinal] = self.agent(ApplianceId(self.uid, ordinal), "instance-0")
            self.boots[ordinal] = self.seqs[ordinal] = 0
            self.known[ordinal] = None
            assert self.enrol(self.agents[ordinal], f"token-{ordinal}")

    def report(self, ordinal: int, sections: Sections, full: bool) -> Report:
        self.clock += 1
        self.seqs[ordinal] += 1
        about: dict[str, Any] = {"boot": f"boot-{self.boots[ordinal]}", "received_at": later(self.clock)}
        before = self.known[ordinal]
        if full or before is None:
            return self.full(self.agents[ordinal], self.seqs[ordinal], sections, **about)
        return self.differing(self.agents[ordinal], self.seqs[ordinal], before, sections, **about)

    @rule(sayings=st.lists(st.tuples(ordinals, told, st.booleans()), min_size=1, max_size=4))
    def say_together(self, sayings: list[tuple[int, Sections, bool]]) -> None:
        reports = []
        for ordinal, sections, full in sayings:
            reports.append(self.report(ordinal, sections, full))
            self.known[ordinal] = sections
            self.past.append((self.clock, ordinal, sections))
        self.said += reports
        assert self.take(*reports) == [True] * len(reports)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if self.said:
            assert self.take(data.draw(st.sampled_from(self.said))) == [False]

    @rule(ordinal=ordinals, sections=told)
    def build_on_something_else(self, ordinal: int, sections: Sections) -> None:
        report = self.report(ordinal, sections, full=False)
        other = states.state_hash({"other": {}})
        assert self.take(replace(report, kind=ReportKind.DIFF, base=other)) == [False]

    @rule(ordinal=ordinals)
    def boot(self, ordinal: int) -> None:
        if self.known[ordinal] is not None and self.boots[ordinal] < 8:
            self.boots[ordinal] += 1
            self.seqs[ordinal] = 0

    @rule(ordinal=ordinals)
    def another_agent_follows(self, ordinal: int) -> None:
        number = int(self.agents[ordinal].instance.partition("-")[2]) + 1
        self.agents[ordinal] = replace(self.agents[ordinal], instance=f"instance-{number}", incarnation=number + 1)
        self.known[ordinal] = None
        self.boots[ordinal] = self.seqs[ordinal] = 0
        assert self.enrol(self.agents[ordinal], f"token-{ordinal}-{number}")
        found = self._store.agents.get(EVERYONE, self.agents[ordinal].appliance)
        assert found is not None
        assert (found.serial, found.received_at) == (number + 1, None)

    @rule(ordinal=ordinals)
    def keep_it_whole(self, ordinal: int) -> None:
        state = self._store.reports.state(EVERYONE, ApplianceId(self.uid, ordinal))
        if state is not None:  # the newest that was heard, of the agent before this one if this one is silent
            assert self._store.reports.snapshot(self._owner, state, later(self.clock))

    @rule(back=st.integers(0, 5))
    def prune(self, back: int) -> None:
        before = self.clock - back
        self._store.reports.prune(self._owner, before=later(before))
        self.past = [one for one in self.past if one[0] >= before]

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        if self.past:
            at, ordinal, sections = data.draw(st.sampled_from(self.past))
            found = self._store.reports.state(EVERYONE, ApplianceId(self.uid, ordinal), later(at))
            assert found is not None
            assert found.sections == sections

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        of = [agent.appliance for agent in self.agents.values()]
        found = self._store.reports.states(EVERYONE, of)
        for ordinal, sections in self.known.items():
            if sections is not None:
                state = found[ApplianceId(self.uid, ordinal)]
                assert (state.sections, state.boot) == (sections, f"boot-{self.boots_heard(ordinal)}")

    def boots_heard(self, ordinal: int) -> int:
        heard = self._store.agents.get(EVERYONE, ApplianceId(self.uid, ordinal))
        assert heard is not None
        return int(heard.boot.partition("-")[2])


TestReporting = Reporting.TestCase
TestReporting.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
