"""Laws of writing: fenced, conditional, whole or not at all, under budgets, and the same again says nothing new."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cloudmon.errors import Fenced, StoreError
from cloudmon.model.actions import OPEN_INTENTS, ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import (
    Budget,
    Change,
    Expect,
    FindingEnd,
    IncarnationUpdate,
    IntentUpdate,
    Timer,
    TimerClear,
    TimerKind,
)
from cloudmon.model.findings import FindingKind
from cloudmon.model.sets import Control, ControlKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.updates import Made
from cloudmon.testing.crashes import crashing
from cloudmon.testing.store_words import OPENED, START, StoreWords, later


class LedgerLaws(StoreWords):
    """Promises of ``ledger.write``, ``monitors`` and the intents and incarnations that are read back."""

    # --- ownership ------------------------------------------------------------------------------------------------

    def test_each_monitor_begins_a_newer_epoch(self) -> None:
        second = self._store.monitors.begin(host="there", pid=2, now=later(1))
        assert second.epoch == self._owner.epoch + 1
        rows = self._store.monitors.all()
        assert [(row.host, row.pid, row.epoch) for row in rows] == [("here", 1, 1), ("there", 2, 2)]

    def test_a_monitor_that_ended_is_not_the_current_one(self) -> None:
        current = self._store.monitors.current()
        assert current is not None
        assert current.id == self._owner.monitor_id
        self._store.monitors.end(self._owner, later(5))
        self._store.monitors.end(self._owner, later(6))
        assert self._store.monitors.current() is None
        assert self._store.monitors.all()[0].ended_at == later(5)

    @pytest.mark.parametrize(
        "verb", ["write", "put", "update", "extend", "end", "move", "lay", "release", "usage", "route"]
    )
    def test_a_monitor_whose_epoch_has_passed_changes_nothing(self, verb: str) -> None:
        aset = self.put()
        request = self.request()
        self._store.requests.add(request)
        store, owner = self._store, self._owner
        launch = self.launch(self.member(aset))
        control = Control(0, ControlKind.PAUSE, aset.uid, None, "ann", "", START, None)
        store.monitors.begin(host="there", pid=2, now=later(1))
        before = self.everything()
        tries: dict[str, Callable[[], Any]] = {
            "write": lambda: store.ledger.write(owner, [launch], now=START),
            "put": lambda: self.put(uid=aset.uid, count=5),
            "update": lambda: store.sets.update(owner, aset.uid, now=START, log=None, retired_at=START),
            "extend": lambda: store.spans.extend(owner, "east", later(2), max_gap_s=60),
            "end": lambda: store.spans.end(owner, "east", later(2), "x"),
            "move": lambda: store.requests.move(owner, request.id, request.state, type(request.state).DONE, now=START),
            "lay": lambda: store.controls.lay(owner, control, START),
            "release": lambda: store.controls.release(owner, aset.uid, None, None, START),
            "route": lambda: store.messages.route(owner, [self.delivery("d")]),
            "usage": lambda: store.usage.add(owner, launch.usage or self.confirm(launch).usage, START),
        }
        with pytest.raises(Fenced):
            tries[verb]()
        assert self.everything() == before
        assert store.spans.latest() == {}
        assert store.messages.deliveries(EVERYONE) == []

    # --- conditions -----------------------------------------------------------------------------------------------

    def test_a_change_is_written_whole(self) -> None:
        aset = self.put()
        change = self.launch(self.member(aset))
        assert self.write(change) == [True]
        member = self.member(aset)
        assert (member.state, member.incarnation, member.cloud) == (ApplianceState.LAUNCHING, 1, "east")
        assert self._store.intents.open(EVERYONE) == [change.opens_intent]
        assert self._store.incarnations.open(EVERYONE) == [change.opens_incarnation]
        assert self._store.members.history(EVERYONE, aset.uid, 1)[-1] == change.history
        assert self._store.log.entries(EVERYONE, aset.uid)[-1].kind == "intent.recorded"

    def test_a_change_that_expects_another_state_writes_nothing_of_itself(self) -> None:
        aset = self.put()
        stale = dataclasses.replace(
            self.launch(self.member(aset)),
            expect=Expect(ApplianceState.RUNNING, 0),
            timers=(Timer(aset.uid, 1, TimerKind.FAULT, START),),
            findings=(self.finding(),),
        )
        before = self.everything()
        assert self.write(stale) == [False]
        assert self.everything() == before

    def test_a_change_that_expects_another_incarnation_writes_nothing_of_itself(self) -> None:
        aset = self.put()
        stale = dataclasses.replace(self.launch(self.member(aset)), expect=Expect(ApplianceState.REQUESTED, 1))
        before = self.everything()
        assert self.write(stale) == [False]
        assert self.everything() == before

    def test_changes_around_one_that_does_not_hold_are_written(self) -> None:
        aset = self.put(count=3)
        first, stale, third = (self.launch(self.member(aset, ordinal)) for ordinal in (1, 2, 3))
        stale = dataclasses.replace(stale, expect=Expect(ApplianceState.STOPPED, 0))
        assert self.write(first, stale, third) == [True, False, True]
        assert [one.appliance.ordinal for one in self._store.intents.open(EVERYONE)] == [1, 3]

    def test_a_member_s_update_is_taken_back_when_an_intent_s_condition_fails(self) -> None:
        aset = self.put()
        launched = self.launch(self.member(aset))
        self.write(launched)
        confirmed = self.confirm(launched)
        (update,) = confirmed.intents
        wrong = dataclasses.replace(update, expected=frozenset({IntentState.PERFORMED}))
        before = self.everything()
        assert self.write(dataclasses.replace(confirmed, intents=(wrong,))) == [False]
        assert self.everything() == before
        assert self.write(confirmed) == [True]
        assert self.write(confirmed) == [False]

    def test_a_change_that_updates_an_incarnation_that_is_not_there_writes_nothing(self) -> None:
        aset = self.put()
        member = self.member(aset)
        change = Change(
            member.tenant,
            member.id,
            member={"rung": 3},
            incarnations=(IncarnationUpdate(7, {"state": IncarnationState.ENDED}),),
        )
        assert self.write(change) == [False]
        assert self.member(aset) == member

    def test_a_later_change_of_the_same_call_sees_what_an_earlier_one_opened(self) -> None:
        aset = self.put()
        launched = self.launch(self.member(aset))
        assert self.write(launched, self.confirm(launched)) == [True, True]
        (row,) = self._store.incarnations.of(EVERYONE, aset.uid, 1)
        assert (row.state, row.node_id, row.since) == (IncarnationState.LIVE, "n-1", later(30))
        assert self._store.intents.open(EVERYONE) == []

    def test_an_unknown_column_is_refused_by_name(self) -> None:
        aset = self.put()
        member = self.member(aset)
        with pytest.raises(StoreError, match="colour"):
            self.write(Change(member.tenant, member.id, member={"colour": "red"}))

    def test_a_word_that_is_no_state_is_refused_and_nothing_is_written(self) -> None:
        aset = self.put()
        member = self.member(aset)
        with pytest.raises(StoreError):
            self.write(self.launch(member), Change(member.tenant, member.id, member={"state": "sleepy"}))
        assert self.member(aset) == member
        assert self._store.intents.open(EVERYONE) == []

    def test_an_instant_without_a_time_zone_is_refused(self) -> None:
        aset = self.put()
        member = self.member(aset)
        with pytest.raises(StoreError):
            self.write(Change(member.tenant, member.id, member={"since": dt.datetime(2026, 1, 1)}))  # noqa: DTZ001
        assert self.member(aset) == member

    def test_ten_threads_of_conditional_updates_lose_none(self) -> None:
        aset = self.put()
        wins = 8

        def climb() -> None:
            won = 0
            while won < wins:
                seen = self.member(aset)
                # The incarnation is the counter here: each winner moves it by one from what it saw.
                expect = Expect(seen.state, seen.incarnation)
                change = Change(seen.tenant, seen.id, expect, {"incarnation": seen.incarnation + 1})
                won += self.write(change) == [True]

        threads = [threading.Thread(target=climb) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.member(aset).incarnation == 10 * wins

    # --- crashes --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("point", ["store.before-commit", "store.after-commit", "anchor.before-write"])
    def test_a_crash_around_the_commit_leaves_all_or_nothing(self, point: str) -> None:
        aset = self.put()
        before = self.everything()
        change = self.launch(self.member(aset))

        with crashing(point):
            self.write(change)
        written = point != "store.before-commit"
        assert (self.everything() != before) == written
        assert self.write(change) == [not written]
        assert self._store.log.verify(EVERYONE) == []

    # --- budgets --------------------------------------------------------------------------------------------------

    def test_a_budget_holds_back_what_goes_over_it_in_one_call(self) -> None:
        aset = self.put(count=4)
        changes = [self.destructive(self.member(aset, ordinal)) for ordinal in (1, 2, 3, 4)]
        budget = Budget("b", ActionClass.DESTRUCTIVE, 2, 3600, set_uid=aset.uid)
        assert self.write(*changes, budgets=[budget]) == [True, True, False, False]
        assert len(self._store.intents.open(EVERYONE)) == 2

    def test_a_budget_counts_what_earlier_calls_opened_within_the_window(self) -> None:
        aset = self.put(count=4)
        budget = Budget("b", ActionClass.DESTRUCTIVE, 1, 100, tenant="default")
        first, second, third = (self.destructive(self.member(aset, ordinal)) for ordinal in (1, 2, 3))
        assert self.write(first, budgets=[budget]) == [True]
        assert self.write(second, at=later(99), budgets=[budget]) == [False]
        assert self.write(third, at=later(100), budgets=[budget]) == [True]

    def test_a_budget_counts_requests_and_never_refuses_one(self) -> None:
        aset = self.put(count=3)
        budget = Budget("b", ActionClass.DESTRUCTIVE, 1, 100, cloud="east")
        asked = [self.destructive(self.member(aset, ordinal), origin=Origin.REQUEST) for ordinal in (1, 2)]
        own = self.destructive(self.member(aset, 3))
        assert self.write(*asked, own, budgets=[budget]) == [True, True, False]

    def test_a_budget_of_another_class_cloud_tenant_or_set_holds_nothing_back(self) -> None:
        aset = self.put()
        none: dict[str, Any] = {"limit": 0, "window_s": 3600}
        budgets = [
            Budget("class", ActionClass.RETIREMENT, **none),
            Budget("cloud", ActionClass.DESTRUCTIVE, cloud="west", **none),
            Budget("tenant", ActionClass.DESTRUCTIVE, tenant="other", **none),
            Budget("set", ActionClass.DESTRUCTIVE, set_uid="other", **none),
        ]
        assert self.write(self.destructive(self.member(aset)), budgets=budgets) == [True]

    def test_an_intent_that_a_failed_change_would_have_opened_is_not_counted(self) -> None:
        aset = self.put()
        stale = dataclasses.replace(self.destructive(self.member(aset, 1)), expect=Expect(ApplianceState.RUNNING, 9))
        budget = Budget("b", ActionClass.DESTRUCTIVE, 1, 3600)
        assert self.write(stale, self.destructive(self.member(aset, 2)), budgets=[budget]) == [False, True]

    # --- timers and findings --------------------------------------------------------------------------------------

    def test_a_timer_keeps_its_earlier_beginning_until_it_is_cleared(self) -> None:
        early, late = (Timer("u", 1, TimerKind.ABSENT, later(at)) for at in (0, 50))
        self.write(Change("default", timers=(late,)))
        self.write(Change("default", timers=(early,)))
        self.write(Change("default", timers=(late,)))
        assert self._store.timers.all() == [early]
        self.write(Change("default", timers=(TimerClear("u", 1, TimerKind.ABSENT), late)))
        assert self._store.timers.all() == [late]
        self.write(Change("default", timers=(early, TimerClear("u", 1, TimerKind.ABSENT))))
        assert self._store.timers.all() == []

    def test_an_open_finding_stays_as_it_is_and_takes_a_new_message(self) -> None:
        finding = self.finding()
        self.write(Change("default", findings=(finding,)))
        again = dataclasses.replace(finding, opened_at=later(60))
        self.write(Change("default", findings=(again,)), at=later(60))
        assert self._store.findings.open(EVERYONE) == [finding]
        worse = dataclasses.replace(again, message="worse", evidence={"n": 2})
        self.write(Change("default", findings=(worse,)), at=later(70))
        assert self._store.findings.open(EVERYONE) == [dataclasses.replace(worse, opened_at=START)]

    def test_a_finding_that_ended_can_open_again(self) -> None:
        finding = self.finding()
        end = FindingEnd(FindingKind.FAULT, finding.subject)
        again = dataclasses.replace(finding, opened_at=later(9))
        self.write(Change("default", findings=(finding,)))
        self.write(Change("default", findings=(end, again)), at=later(9))
        assert self._store.findings.open(EVERYONE) == [again]
        ended = dataclasses.replace(finding, ended_at=later(9))
        assert self._store.findings.of(EVERYONE, finding.subject) == [ended, again]
        self.write(Change("default", findings=(end, end)), at=later(10))
        assert self._store.findings.open(EVERYONE) == []

    # --- reading back ---------------------------------------------------------------------------------------------

    def test_an_intent_is_read_back_as_it_was_written(self) -> None:
        aset = self.put()
        intent = self.intent(
            self.member(aset), Verb.LAUNCH, offer="east/a/small", request_id="r", evidence={"a": [1, {"b": None}]}
        )
        self.write(Change("default", opens_intent=intent))
        assert self._store.intents.get(EVERYONE, intent.id) == intent

    def test_intents_are_found_by_state_by_age_and_by_appliance(self) -> None:
        aset = self.put()
        member = self.member(aset)
        old = self.intent(member, created_at=later(-100))
        stuck = self.intent(member, created_at=later(-50))
        new = self.intent(self.member(aset, 2))
        self.write(*(Change("default", opens_intent=one) for one in (old, stuck, new)))
        incident = IntentUpdate(stuck.id, OPEN_INTENTS, IntentState.INCIDENT, {"error": "Refused: no", "attempts": 6})
        done = IntentUpdate(old.id, OPEN_INTENTS, IntentState.DONE, {"ended_at": later(-20)})
        self.write(Change("default", intents=(incident, done)))
        intents = self._store.intents
        assert [one.id for one in intents.open(EVERYONE)] == [stuck.id, new.id]
        assert [(one.id, one.attempts, one.error) for one in intents.incidents(EVERYONE)] == [
            (stuck.id, 6, "Refused: no")
        ]
        assert [one.id for one in intents.recent(EVERYONE, later(-50))] == [stuck.id, new.id]
        assert [one.id for one in intents.of(EVERYONE, aset.uid)] == [new.id, stuck.id, old.id]
        assert [one.id for one in intents.of(EVERYONE, aset.uid, 1, limit=1)] == [stuck.id]
        assert [one.id for one in intents.latest(EVERYONE, 2)] == [new.id, stuck.id]

    def test_only_intents_that_hurt_or_failed_to_launch_tell_something(self) -> None:
        member = self.member(self.put())
        quiet = self.intent(member)
        refused = self.intent(member, state=IntentState.FAILED)
        hurts = self.intent(member, Verb.REBOOT)
        old = self.intent(member, Verb.REBOOT, created_at=later(-100))
        self.write(*(Change("default", opens_intent=one) for one in (quiet, refused, hurts, old)))
        found = self._store.intents.telling(EVERYONE, later(-99))
        assert {one.id for one in found} == {refused.id, hurts.id}

    def test_the_intents_of_one_request_are_found(self) -> None:
        member = self.member(self.put())
        mine = self.intent(member, request_id="request-1")
        others = [self.intent(member), self.intent(member, request_id="request-2")]
        self.write(*(Change("default", opens_intent=one) for one in (mine, *others)))
        assert self._store.intents.of_request(EVERYONE, "request-1") == [mine]
        assert self._store.intents.of_request(EVERYONE, "") == []

    def test_an_incarnation_is_read_back_with_the_offer_as_it_was(self) -> None:
        aset = self.put()
        launched = self.launch(self.member(aset))
        assert launched.opens_incarnation is not None
        odd = dataclasses.replace(
            launched.opens_incarnation, offer={"guaranteed": "no"}, public_addresses=("10.0.0.1",)
        )
        self.write(dataclasses.replace(launched, opens_incarnation=odd))
        found = self._store.incarnations.by_token(EVERYONE, odd.token)
        assert found == odd
        update = IncarnationUpdate(1, {"offer": OPENED, "private_addresses": ("10.0.0.2", "::1")})
        self.write(Change("default", launched.appliance, incarnations=(update,)))
        (found,) = self._store.incarnations.of(EVERYONE, aset.uid)
        assert (found.offer, found.private_addresses) == (OPENED, ("10.0.0.2", "::1"))

    def test_snapshots_are_kept_until_their_end_is_written_down(self) -> None:
        """One whose end failed, or is not due, is kept still; of two that tell of one, one end is enough."""
        member = self.member(self.put())

        def took(number: int, snapshot: str, **other: Any) -> Intent:
            done = {"state": IntentState.DONE, "ended_at": later(number), "created_at": later(number)}
            return self.intent(member, Verb.SNAPSHOT, **{**done, "result": {"snapshot": snapshot}, **other})

        def end(snapshot: str, state: IntentState) -> Intent:
            return self.intent(member, Verb.SNAPSHOT_END, state=state, arguments={"kept": snapshot})

        failed = took(4, "s-4", state=IntentState.FAILED, result={})
        first, again, kept, young = took(1, "s-1"), took(2, "s-1"), took(3, "s-3"), took(9, "s-9")
        ends = [end("s-1", IntentState.RECORDED), end("s-3", IntentState.FAILED)]
        self.write(*(Change("default", opens_intent=one) for one in (first, again, failed, kept, young, *ends)))
        assert [one.id for one in self._store.intents.kept(EVERYONE, later(9), 9)] == [kept.id]
        assert [one.id for one in self._store.intents.kept(EVERYONE, later(10), 9)] == [kept.id, young.id]
        assert [one.id for one in self._store.intents.kept(EVERYONE, later(10), 1)] == [kept.id]

    def test_what_nodes_were_asked_for_with_is_known_of_those_that_are_there(self) -> None:
        """Of each member the present node alone, and not of nodes that were adopted: nobody asked for them."""
        aset = self.put(count=4)
        other = self.put("other", 1)
        opened = [self.launch(self.member(aset, n)) for n in (1, 2, 3, 4)]
        opened.append(self.launch(self.member(other)))
        asked: tuple[dict[str, Any], ...] = (
            {"image": "image-2", "user_data": "hash"}, {"image": "image-2", "user_data": "hash"}, {"user_data": None},
            {"offer": {}}, {"image": "image-3"},
        )  # fmt: skip
        for change, told in zip(opened, asked, strict=True):
            assert change.opens_incarnation is not None
            row = dataclasses.replace(change.opens_incarnation, **told)
            self.write(dataclasses.replace(change, opens_incarnation=row))
        ending = IncarnationUpdate(1, {"state": IncarnationState.ENDING})
        self.write(Change("default", opened[1].appliance, incarnations=(ending,)))
        plain = opened[2].opens_incarnation
        assert plain is not None
        first, third = Made("east", "image-2", "hash"), Made("east", plain.image, None)
        assert self._store.incarnations.made(EVERYONE, aset.uid) == {1: first, 3: third}
        assert sorted(self._store.incarnations.makes(EVERYONE, [aset.uid])) == sorted(
            [(aset.uid, first), (aset.uid, third)]
        )
        assert len(self._store.incarnations.makes(EVERYONE, [aset.uid, other.uid])) == 3
        assert self._store.incarnations.makes(EVERYONE, []) == []

    def test_what_stood_behind_a_set_is_known_for_every_instant(self) -> None:
        aset = self.put(count=1)
        launched = self.launch(self.member(aset))
        self.write(launched, self.confirm(launched))
        gone = IncarnationUpdate(1, {"state": IncarnationState.ENDED, "until": later(100)})
        self.write(Change("default", launched.appliance, incarnations=(gone,)))
        numbers = {
            at: [one.number for one in self._store.incarnations.at(EVERYONE, aset.uid, later(at))]
            for at in (-1, 0, 99, 100)
        }
        assert numbers == {-1: [], 0: [1], 99: [1], 100: []}
        assert self._store.incarnations.by_token(EVERYONE, "") is None
        assert self._store.incarnations.live(EVERYONE) == []
