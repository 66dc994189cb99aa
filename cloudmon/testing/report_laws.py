"""Laws of reports: each is taken once, in order, from the agent that speaks; what is told adds up to the state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloudmon.errors import StoreError
from cloudmon.model import states
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.changes import Change
from cloudmon.model.guests import Agent, GuestState, ReportKind, Sections
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.crashes import crashing
from cloudmon.testing.guest_words import AFTER, BEFORE, GuestWords, result
from cloudmon.testing.store_words import later

LAST: Sections = {**AFTER, "load": {"now": {"one": 0.25}}}


class ReportLaws(GuestWords):
    """Promises of ``reports``, and of what results do to commands."""

    def state(self, agent: Agent) -> GuestState | None:
        """The state of an agent's appliance."""
        return self._store.reports.state(EVERYONE, agent.appliance)

    def intent_of(self, intent_id: str) -> Intent:
        """An intent as its row says it is now."""
        found = self._store.intents.get(EVERYONE, intent_id)
        assert found is not None
        return found

    # --- taking ---------------------------------------------------------------------------------------------------

    def test_a_state_is_what_the_reports_add_up_to(self) -> None:
        agent = self.enrolled()
        assert self.state(agent) is None
        assert self.take(self.full(agent), self.differing(agent)) == [True, True]
        assert self.take(self.differing(agent, 3, AFTER, LAST)) == [True]
        expected = GuestState(
            agent.appliance, 1, "boot-1", 3, states.state_hash(LAST), later(29), later(30), sections=LAST
        )
        assert self.state(agent) == expected
        assert self._store.reports.states(EVERYONE, [agent.appliance]) == {agent.appliance: expected}

    def test_how_far_an_agent_was_heard_is_known(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.differing(agent))
        assert self._store.agents.get(EVERYONE, agent.appliance) == replace(
            agent, serial=1, version="1.1", boot="boot-1", seq=2, hash=states.state_hash(AFTER),
            received_at=later(20), offset_s=0.25,
        )  # fmt: skip

    def test_a_report_that_was_taken_is_not_taken_again(self) -> None:
        agent = self.enrolled()
        first, second = self.full(agent), self.differing(agent)
        assert self.take(first, first, second) == [True, False, True]
        before = self.everything()
        assert self.take(first, second, self.full(agent, 2)) == [False, False, False]
        assert self.everything() == before

    def test_numbers_begin_anew_with_a_boot_and_an_earlier_boot_says_nothing_it_said_before(self) -> None:
        agent = self.enrolled()
        assert self.take(self.full(agent, 7), self.full(agent, 1, boot="boot-2")) == [True, True]
        assert self.take(self.full(agent, 7), self.full(agent, 6), self.full(agent, 1, boot="boot-2")) == [False] * 3
        assert self.take(self.full(agent, 1, boot="boot-3")) == [True]
        assert self.take(self.full(agent, 7), self.full(agent, 1, boot="boot-2")) == [False, False]
        resumed = self.full(agent, 8)
        assert self.take(resumed, self.full(agent, 1, boot="boot-2")) == [True, False], "a machine that was put back"

    def test_a_difference_goes_on_over_a_boot(self) -> None:
        agent = self.enrolled()
        assert self.take(self.full(agent, 5), self.differing(agent, 1, boot="boot-2")) == [True, True]
        found = self.state(agent)
        assert found is not None
        assert (found.boot, found.seq, found.sections) == ("boot-2", 1, AFTER)

    def test_a_difference_that_builds_on_something_else_is_not_taken(self) -> None:
        agent = self.enrolled()
        assert self.take(self.differing(agent)) == [False], "nothing was heard yet"
        assert self.take(self.differing(agent, base="")) == [False]
        assert self.take(self.full(agent, sections=LAST), self.differing(agent)) == [True, False]
        found = self.state(agent)
        assert found is not None
        assert found.sections == LAST

    @pytest.mark.parametrize(
        "wrong", [{"instance": "second"}, {"incarnation": 2}, {"tenant": "rival"}], ids=lambda wrong: next(iter(wrong))
    )
    def test_who_does_not_speak_for_the_appliance_is_not_heard(self, wrong: dict[str, Any]) -> None:
        agent = self.enrolled()
        before = self.everything()
        assert self.take(self.full(agent, **wrong)) == [False]
        assert self.everything() == before

    def test_a_revoked_agent_is_not_heard_and_an_unknown_one_neither(self) -> None:
        agent = self.enrolled()
        stranger = self.agent(agent.appliance._replace(ordinal=2))
        self._store.agents.revoke(self._owner, agent.appliance, now=later(1), author="ann", reason="")
        before = self.everything()
        assert self.take(self.full(agent), self.full(stranger)) == [False, False]
        assert self.everything() == before

    def test_the_agent_that_follows_begins_with_a_full_report(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent, 9))
        second = replace(agent, instance="second", incarnation=2)
        assert self.enrol(second, "m-2")
        assert self.take(self.full(agent, 10), self.differing(second, 11), self.full(second)) == [False, False, True]
        found = self.state(agent)
        assert found is not None
        assert (found.incarnation, found.seq) == (2, 1)

    def test_reports_of_many_are_taken_at_once_each_for_itself(self) -> None:
        agents = [self.enrolled(ordinal) for ordinal in (1, 2, 3)]
        firsts = [self.full(agent) for agent in agents]
        unknown = self.full(agents[2], 2, instance="other")
        assert self.take(*firsts, self.differing(agents[1]), unknown) == [True, True, True, True, False]
        found = self._store.reports.states(EVERYONE, [agent.appliance for agent in agents])
        assert [found[agent.appliance].sections for agent in agents] == [BEFORE, AFTER, BEFORE]

    def test_a_body_that_is_no_json_is_refused_and_nothing_is_written(self) -> None:
        agents = [self.enrolled(ordinal) for ordinal in (1, 2)]
        before = self.everything()
        with pytest.raises(StoreError):
            self.take(self.full(agents[0]), self.full(agents[1], body={"load": {"now": {"one": float("nan")}}}))
        assert self.everything() == before

    def test_names_that_a_database_cannot_hold_are_part_of_the_state_all_the_same(self) -> None:
        agent = self.enrolled()
        odd: Sections = {"files": {"nul \0 half \ud800 line\n é": {"mode": "0644"}}}
        assert self.take(self.full(agent, sections=odd)) == [True]
        found = self.state(agent)
        assert found is not None
        assert found.sections == odd

    def test_a_crash_before_the_commit_leaves_nothing_of_a_batch(self) -> None:
        agent = self.enrolled()
        before = self.everything()

        with crashing("store.before-commit"):
            self.take(self.full(agent), self.differing(agent))
        assert self.everything() == before
        assert self.take(self.full(agent), self.differing(agent)) == [True, True]

    def test_reports_are_there_when_the_store_is_opened_again(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.differing(agent))
        state = self.state(agent)
        self._store = self._reopen()
        assert self.state(agent) == state

    # --- states ---------------------------------------------------------------------------------------------------

    def test_a_state_that_does_not_add_up_is_none(self) -> None:
        agent = self.enrolled()
        assert self.take(self.full(agent), self.differing(agent, hash=states.state_hash(LAST))) == [True, True]
        assert self.state(agent) is None
        assert self._store.reports.states(EVERYONE, [agent.appliance]) == {}
        assert self.take(self.full(agent, 3, LAST)) == [True]
        assert self.state(agent) is not None

    def test_a_state_is_known_for_every_instant_that_is_kept(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.differing(agent), self.full(agent, 3, LAST))
        found = {at: self._store.reports.state(EVERYONE, agent.appliance, later(at)) for at in (9, 10, 19, 20, 30)}
        assert {at: state and state.sections for at, state in found.items()} == {
            9: None, 10: BEFORE, 19: BEFORE, 20: AFTER, 30: LAST,
        }  # fmt: skip

    def test_a_state_kept_whole_is_the_same_state(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.differing(agent))
        state = self.state(agent)
        assert state is not None
        before = self.everything()
        assert self._store.reports.snapshot(self._owner, state, later(50))
        assert self._store.reports.snapshot(self._owner, state, later(51))
        assert self.state(agent) == state
        assert self.everything() == before
        self.take(self.differing(agent, 3, AFTER, LAST))
        found = self.state(agent)
        assert found is not None
        assert found.sections == LAST

    def test_a_state_kept_whole_stands_where_it_belongs_though_more_was_heard_since(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.differing(agent))
        state = self.state(agent)
        assert state is not None
        third = self.differing(agent, 3, AFTER, LAST)
        assert self.take(third, snapshots={agent.appliance: state}) == [True]
        assert self._store.reports.prune(self._owner, before=later(25)) == 2, "the first report and the second"
        found = self.state(agent)
        assert found is not None
        assert found.sections == LAST

    def test_a_state_that_was_told_whole_is_kept_whole_already(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent))
        state = self.state(agent)
        assert state is not None
        self.take(self.differing(agent))
        before = self.everything()
        assert self._store.reports.snapshot(self._owner, state, later(50))
        assert self.everything() == before

    def test_a_state_is_kept_whole_with_the_reports_that_lead_to_it(self) -> None:
        agent = self.enrolled()
        first, second = self.full(agent), self.differing(agent)
        after = GuestState(agent.appliance, 1, "boot-1", 2, second.hash, second.reported_at, second.received_at, AFTER)
        assert self.take(first, second, snapshots={agent.appliance: after}) == [True, True]
        assert self._store.reports.prune(self._owner, before=later(99)) == 2
        assert self.state(agent) == after

    def test_a_state_that_is_not_what_was_told_is_not_kept(self) -> None:
        agent = self.enrolled()
        self.take(self.full(agent))
        state = self.state(agent)
        assert state is not None
        told = states.state_hash(AFTER)
        for wrong in (
            replace(state, sections=AFTER),
            replace(state, sections=AFTER, hash=told),
            replace(state, seq=5),
            replace(state, appliance=agent.appliance._replace(ordinal=2)),
        ):
            assert not self._store.reports.snapshot(self._owner, wrong, later(50))
            assert self.take(snapshots={wrong.appliance: wrong}) == []
        assert self.state(agent) == state

    # --- history --------------------------------------------------------------------------------------------------

    def test_history_is_what_came_in_in_order(self) -> None:
        agent = self.enrolled()
        reports = [self.full(agent), self.differing(agent), self.full(agent, 3, LAST)]
        self.take(*reports)
        state = self._store.reports.state(EVERYONE, agent.appliance, later(20))
        assert state is not None
        self._store.reports.snapshot(self._owner, state, later(50))
        history = self._store.reports.history
        assert history(EVERYONE, agent.appliance) == [(one.received_at, one.kind, one.body) for one in reports]
        some = history(EVERYONE, agent.appliance, later(20), later(30))
        assert [(one.received_at, one.kind) for one in some] == [(later(20), ReportKind.DIFF)]

    def test_what_is_pruned_is_not_needed_for_any_state_that_is_asked_for(self) -> None:
        agent, quiet = self.enrolled(1), self.enrolled(2)
        self.take(self.full(quiet))
        sections = [BEFORE, AFTER, LAST, BEFORE, AFTER]
        for seq, (before, after) in enumerate(zip([{}, *sections], sections, strict=False), 1):
            self.take(self.full(agent, seq, after) if seq in (1, 3) else self.differing(agent, seq, before, after))
        reports = self._store.reports
        kept = {at: reports.state(EVERYONE, agent.appliance, later(at)) for at in (35, 40, 45, 50)}
        assert reports.prune(self._owner, before=later(35)) == 2
        assert reports.prune(self._owner, before=later(35)) == 0
        assert {at: reports.state(EVERYONE, agent.appliance, later(at)) for at in kept} == kept
        assert reports.state(EVERYONE, agent.appliance, later(29)) is None
        assert self.state(quiet) is not None
        assert [one.kind for one in reports.history(EVERYONE, agent.appliance)] == [
            ReportKind.FULL, ReportKind.DIFF, ReportKind.DIFF,
        ]  # fmt: skip

    # --- commands -------------------------------------------------------------------------------------------------

    def test_the_commands_of_an_appliance_are_its_open_intents_for_its_agent(self) -> None:
        aset = self.put()
        of_first = [self.command(aset, state=state) for state in (IntentState.RECORDED, IntentState.PERFORMED)]
        self.command(aset, state=IntentState.DONE)
        self.command(aset, state=IntentState.INCIDENT)
        self.command(aset, 2)
        reboot = self.intent(self.member(aset), Verb.REBOOT)
        self.write(Change("default", opens_intent=reboot))
        found = self._store.intents.commands(EVERYONE, self.member(aset).id)
        assert sorted(one.id for one in found) == sorted(of_first)
        assert found[0].arguments == {"application": "shop"}
        assert found[0].result == {}

    @pytest.mark.parametrize(("ok", "state"), [(True, IntentState.DONE), (False, IntentState.FAILED)])
    def test_a_result_ends_its_command_and_is_logged(self, ok: bool, state: IntentState) -> None:
        agent = self.enrolled()
        aset = self._store.sets.active(EVERYONE)[0]
        command = self.command(aset)
        assert self.take(self.full(agent, results=(result(command, ok=ok),)), at=later(30)) == [True]
        found = self.intent_of(command)
        assert (found.state, found.ended_at) == (state, later(10))
        assert found.result["output"] == "done\n"
        assert found.result["exit"] == (0 if ok else 3)
        assert found.error == ("" if ok else "no such application")
        entry = self._store.log.entries(EVERYONE, aset.uid)[-1]
        assert (entry.kind, entry.subject, entry.body["verb"]) == (f"intent.{state}", command, "app_restart")
        assert self._store.intents.commands(EVERYONE, agent.appliance) == []
        assert self._store.log.verify(EVERYONE) == []

    def test_a_result_of_a_report_that_is_not_taken_ends_nothing(self) -> None:
        agent = self.enrolled()
        command = self.command(self._store.sets.active(EVERYONE)[0])
        self.take(self.full(agent))
        assert self.take(self.full(agent, results=(result(command),))) == [False]
        assert self.intent_of(command).state is IntentState.PERFORMED

    def test_a_result_ends_only_a_command_that_is_open_and_this_appliance_s(self) -> None:
        agent, other = self.enrolled(1), self.enrolled(2)
        mine, theirs = (self._store.sets.named(EVERYONE, f"storefront-{ordinal}") for ordinal in (1, 2))
        assert mine is not None
        assert theirs is not None
        reboot = self.intent(self.member(mine), Verb.REBOOT, state=IntentState.PERFORMED)
        self.write(Change("default", opens_intent=reboot))
        wrong = [
            self.command(mine, state=IntentState.DONE),
            self.command(mine, 2),
            self.command(theirs, other.appliance.ordinal),
            reboot.id,
            "unknown",
        ]
        before = [self._store.intents.get(EVERYONE, one) for one in wrong]
        entries = self._store.log.entries(EVERYONE)
        assert self.take(self.full(agent, results=tuple(result(one, ok=False) for one in wrong))) == [True]
        assert [self._store.intents.get(EVERYONE, one) for one in wrong] == before
        assert self._store.log.entries(EVERYONE) == entries
