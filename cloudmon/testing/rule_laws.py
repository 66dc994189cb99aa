"""Laws of rules: where each stands outlives a restart, and travels with the change that it belongs to."""

from __future__ import annotations

from dataclasses import replace

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, Expect, FindingEnd, RuleClear
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.guest_words import GuestWords
from cloudmon.testing.store_words import later

FIRST = ApplianceId("x", 1)


class RuleLaws(GuestWords):
    """Promises of ``rules``, ``Change.rules`` and ``findings.of_appliance``."""

    def test_a_rule_stands_where_it_was_last_said_to_stand(self) -> None:
        first, other = self.rule_state(FIRST), self.rule_state(FIRST, "basics/load")
        self.write(Change("default", rules=(other, first)))
        assert self._store.rules.all(EVERYONE) == [first, other]
        moved = replace(first, since=later(-9), hits="111", rung=2, retry_at=later(60), intent_id="i")
        self.write(Change("default", rules=(moved,)))
        assert self._store.rules.all(EVERYONE) == [moved, other]
        self.write(Change("default", rules=(replace(moved, retry_at=None),)))
        assert self._store.rules.all(EVERYONE)[0].retry_at is None

    def test_a_rule_that_is_cleared_does_not_hold_and_clearing_is_quiet(self) -> None:
        first, other = self.rule_state(FIRST), self.rule_state(FIRST._replace(ordinal=2))
        self.write(Change("default", rules=(first, other)))
        for _ in range(2):
            self.write(Change("default", rules=(RuleClear(FIRST, first.rule),)))
            assert self._store.rules.all(EVERYONE) == [other]

    def test_of_several_words_on_one_rule_the_last_counts(self) -> None:
        first = self.rule_state(FIRST)
        clear = Change("default", rules=(RuleClear(FIRST, first.rule),))
        self.write(Change("default", rules=(first,)), clear, Change("default", rules=(replace(first, rung=1),)))
        assert self._store.rules.all(EVERYONE) == [replace(first, rung=1)]
        self.write(Change("default", rules=(first,)), clear)
        assert self._store.rules.all(EVERYONE) == []

    def test_a_rule_moves_only_if_its_change_is_written(self) -> None:
        member = self.member(self.put())
        late = Expect(ApplianceState.RETIRED, 7)
        told = Change("default", member.id, expect=late, rules=(self.rule_state(member.id),))
        assert self.write(told) == [False]
        assert self._store.rules.all(EVERYONE) == []

    def test_rules_of_another_tenant_are_neither_moved_nor_cleared(self) -> None:
        first = self.rule_state(FIRST)
        self.write(Change("default", rules=(first,)))
        stolen = replace(first, tenant="rival", rung=5)
        self.write(Change("rival", rules=(stolen,)))
        self.write(Change("rival", rules=(RuleClear(FIRST, first.rule),)))
        assert self._store.rules.all(EVERYONE) == [first]

    def test_where_rules_stand_is_there_when_the_store_is_opened_again(self) -> None:
        first = self.rule_state(FIRST)
        self.write(Change("default", rules=(first,)))
        self._store = self._reopen()
        assert self._store.rules.all(EVERYONE) == [first]

    def test_the_findings_of_an_appliance_are_those_about_it_and_about_what_is_in_it(self) -> None:
        subjects = (
            "x/1",
            "x/1:basics/disk/var",
            "x/1:a",
            "x/11",
            "x/11:basics/disk",
            "x/1;",
            "x/2:basics/disk",
            "yx/1",
        )
        self.write(
            Change("default", findings=tuple(self.finding(subject=one, kind=FindingKind.DETECTED) for one in subjects)),
            Change("default", findings=(FindingEnd(FindingKind.DETECTED, "x/1:a"), self.finding(subject="x/1"))),
        )
        found = self._store.findings.of_appliance(EVERYONE, "x", 1)
        assert sorted((one.kind, one.subject) for one in found) == [
            (FindingKind.DETECTED, "x/1"),
            (FindingKind.DETECTED, "x/1:basics/disk/var"),
            (FindingKind.FAULT, "x/1"),
        ]
