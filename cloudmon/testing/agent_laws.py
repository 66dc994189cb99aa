"""Laws of agents: one token, one agent; one agent an appliance; who is revoked stays so until another token is used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from cloudmon.errors import Fenced, StoreError
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.guest_words import GuestWords
from cloudmon.testing.store_words import later


class AgentLaws(GuestWords):
    """Promises of ``agents``."""

    def appliance(self, ordinal: int = 1) -> ApplianceId:
        """A member of a new set."""
        return ApplianceId(self.put(f"of-{ordinal}").uid, ordinal)

    def now_speaks(self, appliance: ApplianceId) -> Agent:
        """The agent of an appliance."""
        found = self._store.agents.get(EVERYONE, appliance)
        assert found is not None
        return found

    def kinds(self, appliance: ApplianceId) -> list[str]:
        """What the log says of a set's agents."""
        entries = self._store.log.entries(EVERYONE, appliance.set_uid)
        return [entry.kind for entry in entries if entry.kind.startswith("agent.")]

    def test_a_token_made_by_hand_is_known_and_logged_once(self) -> None:
        appliance = self.appliance()
        offered = self.enrolment(appliance)
        for _ in range(2):
            self._store.agents.offer(self._owner, offered)
        assert self._store.agents.enrolment(EVERYONE, "m-1") == offered
        assert self._store.agents.enrolment(EVERYONE, "m-2") is None
        assert self.kinds(appliance) == ["agent.token"]
        entry = self._store.log.entries(EVERYONE, appliance.set_uid)[-1]
        assert (entry.subject, entry.body["author"]) == (f"{appliance.set_uid}/1", "ann")

    def test_an_agent_enrols_and_its_token_is_used(self) -> None:
        appliance = self.appliance()
        self._store.agents.offer(self._owner, self.enrolment(appliance))
        assert self.enrol(self.agent(appliance), at=7)
        assert self.now_speaks(appliance) == replace(self.agent(appliance), serial=1)
        used = self._store.agents.enrolment(EVERYONE, "m-1")
        assert used == self.enrolment(appliance, used_at=later(7), instance="first")
        assert self.kinds(appliance) == ["agent.token", "agent.enrolled"]

    def test_a_token_of_user_data_needs_no_row_before_it_is_used(self) -> None:
        appliance = self.appliance()
        assert self.enrol(self.agent(appliance), "a-token")
        used = self._store.agents.enrolment(EVERYONE, "a-token")
        assert used is not None
        assert used.instance == "first"

    def test_the_same_agent_may_repeat_its_enrolment_and_nothing_changes(self) -> None:
        """The answer can get lost."""
        agent = self.enrolled()
        self.take(self.full(agent))
        before = self.everything()
        assert self.enrol(agent, by=f"a-{agent.appliance.set_uid}", at=99)
        assert self.everything() == before

    def test_what_an_agent_performs_is_kept_and_changes_when_it_enrols_again(self) -> None:
        agent = self.enrolled(abilities=("report_now",))
        by = f"a-{agent.appliance.set_uid}"
        for told in (("report_now",), ("job_run", "report_now"), (), None):
            assert self.enrol(replace(agent, abilities=told), by=by, at=99)
            assert self.now_speaks(agent.appliance).abilities == told
        assert self.now_speaks(agent.appliance).serial == 1
        assert self.kinds(agent.appliance) == ["agent.enrolled"]

    def test_the_agents_of_a_set_are_told_by_themselves(self) -> None:
        agent, other = self.enrolled(1), self.enrolled(2)
        for one in (agent, other):
            found = self._store.agents.of_set(EVERYONE, one.appliance.set_uid)
            assert [each.appliance for each in found] == [one.appliance]
        assert self._store.agents.of_set(EVERYONE, "nobody") == []

    def test_a_token_that_was_used_is_nobody_else_s(self) -> None:
        appliance = self.appliance()
        assert self.enrol(self.agent(appliance))
        before = self.everything()
        assert not self.enrol(self.agent(appliance, "thief"))
        assert self.everything() == before

    def test_of_two_who_use_one_token_at_once_one_is_let_in(self) -> None:
        appliance = self.appliance()
        results: dict[str, bool] = {}

        def use(instance: str) -> None:
            results[instance] = self.enrol(self.agent(appliance, instance))

        threads = [threading.Thread(target=use, args=(name,)) for name in ("one", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results.values()) == [False, True]
        assert results[self.now_speaks(appliance).instance]
        assert self.now_speaks(appliance).serial == 1

    @pytest.mark.parametrize("other", ["instance", "incarnation"])
    def test_another_agent_ends_the_keys_of_the_one_before_and_begins_unheard(self, other: str) -> None:
        agent = self.enrolled()
        assert self.take(self.full(agent)) == [True]
        values = {"instance": {"instance": "second"}, "incarnation": {"incarnation": 2}}[other]
        second = replace(agent, **values)  # type: ignore[arg-type]
        assert self.enrol(second, "m-2")
        assert self.now_speaks(agent.appliance) == replace(second, serial=2)
        assert self.kinds(agent.appliance) == ["agent.enrolled"] * 2

    def test_an_agent_of_an_earlier_incarnation_is_not_let_in_again(self) -> None:
        agent = self.enrolled(incarnation=2)
        before = self.everything()
        assert not self.enrol(replace(agent, incarnation=1, instance="old"), "m-2")
        assert self.everything() == before

    def test_an_agent_that_another_one_followed_does_not_come_back_by_its_used_token(self) -> None:
        agent = self.enrolled()
        assert self.enrol(replace(agent, instance="second"), "m-2")
        before = self.everything()
        assert not self.enrol(agent, f"a-{agent.appliance.set_uid}")
        assert self.everything() == before

    def test_the_agent_that_speaks_may_use_another_token(self) -> None:
        agent = self.enrolled()
        assert self.enrol(agent, "m-2")
        assert self.now_speaks(agent.appliance).serial == 1
        assert not self.enrol(replace(agent, instance="thief"), "m-2")

    def test_a_revoked_agent_stays_so_until_a_fresh_token_is_used(self) -> None:
        agent = self.enrolled()
        agents, about = self._store.agents, {"now": later(5), "author": "ann", "reason": "stolen"}
        assert agents.revoke(self._owner, agent.appliance, **about)  # type: ignore[arg-type]
        assert self.now_speaks(agent.appliance).revoked_at == later(5)
        assert not agents.revoke(self._owner, agent.appliance, **about)  # type: ignore[arg-type]
        assert not self.enrol(agent, f"a-{agent.appliance.set_uid}")
        assert self.kinds(agent.appliance) == ["agent.enrolled", "agent.revoked"]
        entry = self._store.log.entries(EVERYONE, agent.appliance.set_uid)[-1]
        assert (entry.body["author"], entry.body["reason"]) == ("ann", "stolen")
        assert self.enrol(agent, "m-fresh")
        assert self.now_speaks(agent.appliance) == replace(agent, serial=2)

    def test_nobody_is_revoked_where_nobody_enrolled(self) -> None:
        told = {"now": later(5), "author": "ann", "reason": ""}
        assert not self._store.agents.revoke(self._owner, self.appliance(), **told)  # type: ignore[arg-type]

    def test_agents_are_listed_by_set_and_ordinal(self) -> None:
        found = [self.enrolled(ordinal).appliance for ordinal in (2, 1)]
        assert [agent.appliance for agent in self._store.agents.all(EVERYONE)] == sorted(found)

    def test_there_is_no_agent_and_no_token_of_a_set_that_is_not_the_tenant_s(self) -> None:
        appliance = self.appliance()
        before = self.everything()
        for wrong in (ApplianceId("nothing", 1), appliance):
            tenant = "rival" if wrong == appliance else "default"
            with pytest.raises(StoreError, match="no set"):
                self.enrol(self.agent(wrong, tenant=tenant))
            with pytest.raises(StoreError, match="no set"):
                self._store.agents.offer(self._owner, self.enrolment(wrong, tenant=tenant))
        assert self.everything() == before

    @pytest.mark.parametrize("verb", ["offer", "enrol", "revoke", "take", "snapshot", "prune"])
    def test_a_monitor_whose_epoch_has_passed_hears_nobody(self, verb: str) -> None:
        agent = self.enrolled()
        self.take(self.full(agent), self.full(agent, 2))
        state = self._store.reports.state(EVERYONE, agent.appliance)
        assert state is not None
        late, store = self._owner, self._store
        store.monitors.begin(host="there", pid=2, now=later(1))
        before = self.everything()
        token = self.enrolment(agent.appliance, "m-2")
        tries: dict[str, Callable[[], object]] = {
            "offer": lambda: store.agents.offer(late, token),
            "enrol": lambda: store.agents.enrol(late, agent, enrolment=token, now=later(2)),
            "revoke": lambda: store.agents.revoke(late, agent.appliance, now=later(2), author="a", reason=""),
            "take": lambda: store.reports.take(late, [self.full(agent, 3)], now=later(2)),
            "snapshot": lambda: store.reports.snapshot(late, state, later(2)),
            "prune": lambda: store.reports.prune(late, before=later(99)),
        }
        with pytest.raises(Fenced):
            tries[verb]()
        assert self.everything() == before
