"""Any sequence of changes leaves what a plain model of it says, and a log that verifies."""

from __future__ import annotations

import dataclasses
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudmon.errors import Fenced
from cloudmon.model.actions import ActionClass, IntentState
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Budget, Change, Expect, Timer, TimerClear, TimerKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import open_store
from cloudmon.testing.store_words import START, StoreWords, later

ordinals = st.integers(1, 3)
LIMIT = 4


class Sequences(StoreWords, RuleBasedStateMachine):
    """One set of three members on a store in memory, and the same as plain values."""

    def __init__(self) -> None:
        super().__init__()
        self._store = open_store("memory", log_key=b"key", anchor_dir=None, now=START)
        self._owner = self._store.monitors.begin(host="here", pid=1, now=START)
        self.states: dict[int, tuple[ApplianceState, int]] = {}
        self.launches: dict[int, Change] = {}
        self.timers: dict[int, float] = {}
        self.seen: set[str] = set()
        self.destroyed = 0
        self.entries = 0

    def teardown(self) -> None:
        self._store.close()

    @initialize()
    def begin(self) -> None:
        self.aset = self.put(count=3)
        self.states = dict.fromkeys((1, 2, 3), (ApplianceState.REQUESTED, 0))
        self.entries = 1

    @rule(ordinal=ordinals, stale=st.sampled_from(["no", "state", "incarnation"]))
    def launch_one(self, ordinal: int, stale: str) -> None:
        member = self.member(self.aset, ordinal)
        change = self.launch(member)
        if stale != "no":
            wrong = Expect(ApplianceState.RETIRING, member.incarnation)
            if stale == "incarnation":
                wrong = Expect(member.state, member.incarnation + 1)
            change = dataclasses.replace(change, expect=wrong)
        assert self.write(change) == [stale == "no"]
        if stale == "no":
            self.states[ordinal] = (ApplianceState.LAUNCHING, member.incarnation + 1)
            self.launches[ordinal] = change
            self.entries += 1

    @rule(ordinal=ordinals, twice=st.booleans())
    def confirm_one(self, ordinal: int, twice: bool) -> None:
        launched = self.launches.get(ordinal)
        if launched is None:
            return
        confirmed = self.confirm(launched)
        holds = self.states[ordinal][0] is ApplianceState.LAUNCHING
        assert self.write(confirmed, *([confirmed] if twice else [])) == [holds, *([False] if twice else [])]
        if holds:
            self.states[ordinal] = (ApplianceState.RUNNING, self.states[ordinal][1])
            self.seen.add(confirmed.usage[0].key)
            self.entries += 1

    @rule(chosen=st.lists(ordinals, min_size=1, max_size=4))
    def destroy_some(self, chosen: list[int]) -> None:
        budget = Budget("b", ActionClass.DESTRUCTIVE, LIMIT, 3600, set_uid=self.aset.uid)
        changes = [self.destructive(self.member(self.aset, ordinal)) for ordinal in chosen]
        left = max(0, LIMIT - self.destroyed)
        expected = [at < left for at in range(len(chosen))]
        assert self.write(*changes, budgets=[budget]) == expected
        self.destroyed += sum(expected)

    @rule(ordinal=ordinals, since=st.integers(0, 99))
    def wait(self, ordinal: int, since: int) -> None:
        self.write(Change("default", timers=(Timer(self.aset.uid, ordinal, TimerKind.ABSENT, later(since)),)))
        self.timers[ordinal] = min(since, self.timers.get(ordinal, since))

    @rule(ordinal=ordinals)
    def stop_waiting(self, ordinal: int) -> None:
        self.write(Change("default", timers=(TimerClear(self.aset.uid, ordinal, TimerKind.ABSENT),)))
        self.timers.pop(ordinal, None)

    @rule()
    def another_monitor_takes_over(self) -> None:
        late = self._owner
        self._owner = self._store.monitors.begin(host="there", pid=2, now=START)
        try:
            self._store.ledger.write(late, [self.launch(self.member(self.aset))], now=START)
        except Fenced:
            return
        raise AssertionError("a monitor whose epoch has passed wrote")

    @precondition(lambda self: bool(self.states))
    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        members = self._store.members.all(EVERYONE)
        assert {one.ordinal: (one.state, one.incarnation) for one in members} == self.states
        rows = self._store.incarnations.of(EVERYONE, self.aset.uid)
        assert Counter(row.ordinal for row in rows) == Counter(
            {ordinal: number for ordinal, (_, number) in self.states.items() if number}
        )
        timers = {one.ordinal: (one.since - START).total_seconds() for one in self._store.timers.all()}
        assert timers == self.timers
        assert {event.key for event in self._store.usage.events(EVERYONE)} == self.seen
        assert len(self._store.log.entries(EVERYONE, self.aset.uid)) == self.entries
        done = [one for one in self._store.intents.recent(EVERYONE, START) if one.state is IntentState.DONE]
        assert len(done) == len(self.seen)

    @precondition(lambda self: bool(self.states))
    @invariant()
    def the_log_verifies(self) -> None:
        assert self._store.log.verify(EVERYONE) == []


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
