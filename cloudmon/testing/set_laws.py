"""Laws of wanted state: sets, generations, members, controls, requests, offers and rankings."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal

import pytest

from cloudmon.errors import StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.changes import Change, Expect, Timer, TimerKind
from cloudmon.model.offers import Choice, Offer, Price
from cloudmon.model.requests import RequestState
from cloudmon.model.sets import (
    ApplianceSet,
    Control,
    ControlKind,
    Healing,
    Lease,
    Needs,
    NextGeneration,
    SetSpec,
    Template,
)
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import SetMove
from cloudmon.testing.crashes import crashing
from cloudmon.testing.store_words import START, StoreWords, later

RICH = SetSpec(
    "rich",
    1,
    Template(
        "web",
        {"*": "image-1", "east": "image-2"},
        Needs(2, 4096, max_price_per_hour=Decimal("0.10"), sizes=("small",), spot=True),
        user_data="#!/bin/sh\necho {appliance}\n",
        options={"east": {"network": "n", "keys": ["a", {"b": None}], "deep": {"x": 1.5}}},
    ),
    tenant="acme",
    clouds=("east", "west"),
    lease=Lease(start=START, end=later(3_600), grace_s=60, warn_s=(600,)),
    healing=Healing(ladder=("replace",), power="accept"),
)


class SetLaws(StoreWords):
    """Promises of ``sets``, ``members``, ``controls``, ``requests``, ``offers`` and ``placements``."""

    # --- sets and their members -----------------------------------------------------------------------------------

    def test_a_new_set_has_a_requested_member_for_each_ordinal(self) -> None:
        aset = self.put(count=3)
        members = self._store.members.of_set(EVERYONE, aset.uid)
        assert [one.ordinal for one in members] == [1, 2, 3]
        assert {(one.state, one.wanted, one.incarnation) for one in members} == {
            (ApplianceState.REQUESTED, Power.RUNNING, 0)
        }
        assert [one.state for one in self._store.members.history(EVERYONE, aset.uid)] == [ApplianceState.REQUESTED] * 3

    def test_a_set_is_read_back_as_it_was_put(self) -> None:
        written = self._store.sets.put(self._owner, uid=None, spec=RICH, author="api", now=START)
        assert self._store.sets.active(EVERYONE) == [written]
        assert (written.spec, written.lease_end, written.generation, written.author) == (RICH, later(3_600), 1, "api")

    def test_the_next_generation_keeps_the_uid_and_adds_members(self) -> None:
        first = self.put(count=1)
        second = self.put(count=3, uid=first.uid, author="cli")
        assert (second.uid, second.generation, second.author) == (first.uid, 2, "cli")
        assert len(self._store.members.of_set(EVERYONE, first.uid)) == 3
        found = self._store.sets.generations(EVERYONE, first.uid)
        assert [(number, author, spec.count) for number, author, spec, _ in found] == [
            (1, "file:x", 1),
            (2, "cli", 3),
        ]

    def test_a_smaller_generation_leaves_the_rows_of_surplus_members(self) -> None:
        first = self.put(count=3)
        self.put(count=1, uid=first.uid)
        assert len(self._store.members.of_set(EVERYONE, first.uid)) == 3

    def test_a_retired_member_that_is_wanted_again_keeps_its_incarnation_number(self) -> None:
        aset = self.put(count=2)
        for ordinal in (1, 2):
            state = ApplianceState.RETIRED if ordinal == 2 else ApplianceState.RUNNING
            values = {"state": state, "incarnation": 4, "node_id": "n", "rung": 2}
            self.write(Change("default", self.member(aset, ordinal).id, member=values))
        self.put(count=2, uid=aset.uid)
        kept, again = self.member(aset, 1), self.member(aset, 2)
        assert (kept.state, kept.incarnation) == (ApplianceState.RUNNING, 4)
        assert (again.state, again.incarnation, again.node_id, again.rung) == (ApplianceState.REQUESTED, 4, "", 0)

    def test_a_name_is_unique_among_the_active_sets_of_a_tenant(self) -> None:
        first = self.put("storefront")
        with pytest.raises(StoreError, match="storefront"):
            self.put("storefront")
        other = self.put("storefront", tenant="acme")
        assert {one.uid for one in self._store.sets.active(EVERYONE)} == {first.uid, other.uid}
        self._retire(first)
        assert self.put("storefront").uid not in {first.uid, other.uid}

    def test_a_retired_set_is_gone_from_the_active_and_found_by_name(self) -> None:
        first = self.put("storefront")
        self._retire(first, at=10)
        named = self._store.sets.named(EVERYONE, "storefront")
        assert named is not None
        assert (named.uid, named.retired_at, named.retired_reason) == (first.uid, later(10), "over")
        assert self._store.sets.active(EVERYONE) == []
        assert self._store.members.all(EVERYONE) == []
        second = self.put("storefront")
        found = self._store.sets.named(EVERYONE, "storefront")
        assert found is not None
        assert found.uid == second.uid
        assert len(self._store.sets.all(EVERYONE)) == 2
        assert self._store.sets.named(EVERYONE, "unheard-of") is None

    def test_a_set_that_is_retiring_takes_no_new_generation(self) -> None:
        aset = self.put()
        self._store.sets.update(self._owner, aset.uid, now=START, log=None, retiring_since=START)
        with pytest.raises(StoreError, match="retiring"):
            self.put(uid=aset.uid, count=5)

    def test_a_retired_set_is_not_updated(self) -> None:
        aset = self.put()
        self._retire(aset)
        entry = LogEntry(aset.uid, START, "lease.extended", aset.name, {})
        updated = self._store.sets.update(self._owner, aset.uid, now=START, log=entry, lease_end=later(9))
        assert updated is False
        assert [one.kind for one in self._store.log.entries(EVERYONE, aset.uid)] == ["set.generation", "set.retired"]

    def test_an_extension_outlives_a_generation_that_repeats_the_end(self) -> None:
        lease = Lease(end=later(100))
        aset = self.put(lease=lease)
        values = {"lease_end": later(900), "warned_s": (60,)}
        self._store.sets.update(self._owner, aset.uid, now=START, log=None, **values)
        kept = self.put(uid=aset.uid, count=3, lease=lease)
        assert (kept.lease_end, kept.warned_s) == (later(900), (60,))
        moved = self.put(uid=aset.uid, count=3, lease=Lease(end=later(200)))
        assert (moved.lease_end, moved.warned_s) == (later(200), ())

    def test_a_set_and_its_changes_are_put_together_or_not_at_all(self) -> None:
        aset = self.put()
        before = self.everything()
        stale = Change("default", self.member(aset).id, Expect(ApplianceState.RUNNING, 0), {"rung": 1})
        spec = dataclasses.replace(aset.spec, count=9)
        with pytest.raises(StoreError):
            self._store.sets.put(self._owner, uid=aset.uid, spec=spec, author="cli", now=START, changes=[stale])
        assert self.everything() == before
        timer = Timer(aset.uid, 1, TimerKind.FAULT, START)
        change = Change("default", timers=(timer,))
        self._store.sets.put(self._owner, uid=aset.uid, spec=spec, author="cli", now=START, changes=[change])
        assert self._store.timers.all() == [timer]

    def test_the_last_view_of_an_author_is_what_that_author_wrote_last(self) -> None:
        mine = self.put("mine", count=1)
        self.put("mine", count=2, uid=mine.uid)
        self.put("mine", count=9, uid=mine.uid, author="cli")
        gone = self.put("gone")
        self._retire(gone)
        self.put("theirs", author="cli")
        found = self._store.sets.last_of_author(EVERYONE, "file:x")
        assert {key: spec.count for key, spec in found.items()} == {("default", "mine"): 2}

    def test_the_state_at_an_instant_is_that_of_the_last_change_before_it(self) -> None:
        aset = self.put()
        member = self.member(aset)
        entry = self.history(member, ApplianceState.RUNNING, later(60))
        self.write(Change("default", member.id, history=entry))
        members = self._store.members
        states = [members.at(EVERYONE, aset.uid, 1, later(at)) for at in (-1, 0, 59, 60, 999)]
        requested, running = ApplianceState.REQUESTED, ApplianceState.RUNNING
        assert states == [None, requested, requested, running, running]
        assert members.history(EVERYONE, aset.uid, 1, later(1), later(61)) == [entry]
        assert members.history(EVERYONE, aset.uid, None, None, later(60))[-1].ordinal == 2

    def test_members_come_by_set_and_ordinal(self) -> None:
        sets = [self.put(name, count=12) for name in ("b", "a")]
        found = [(one.set_uid, one.ordinal) for one in self._store.members.all(EVERYONE)]
        assert found == sorted((one.uid, ordinal) for one in sets for ordinal in range(1, 13))

    # --- controls -------------------------------------------------------------------------------------------------

    def test_a_control_is_in_force_from_its_beginning_to_its_end_or_release(self) -> None:
        aset = self.put()
        whole = self._lay(aset, None, later(10), later(20))
        one = self._lay(aset, 1, START, None)
        controls = self._store.controls
        in_force = {at: controls.active(EVERYONE, later(at)) for at in (0, 10, 19, 20)}
        assert in_force == {0: [one], 10: [whole, one], 19: [whole, one], 20: [one]}
        (found,) = self._store.sets.active(EVERYONE)
        assert found.controls == (whole, one)
        assert controls.release(self._owner, aset.uid, 1, ControlKind.PAUSE, later(5)) == 1
        assert controls.release(self._owner, aset.uid, 1, ControlKind.PAUSE, later(6)) == 0
        assert controls.active(EVERYONE, later(10)) == [whole]
        kinds = [entry.kind for entry in self._store.log.entries(EVERYONE, aset.uid)]
        assert kinds == ["set.generation", "control.laid", "control.laid", "control.released"]

    def test_the_same_request_lays_one_control(self) -> None:
        aset = self.put()
        control = Control(0, ControlKind.PROTECT, aset.uid, None, "ann", "", START, None)
        first = self._store.controls.lay(self._owner, control, START, "request-1")
        assert self._store.controls.lay(self._owner, control, later(5), "request-1") == first
        assert self._store.controls.active(EVERYONE, later(5)) == [first]

    def test_a_control_upon_no_set_is_refused(self) -> None:
        control = Control(0, ControlKind.PAUSE, "nosuchset", None, "ann", "", START, None)
        with pytest.raises(StoreError, match="nosuchset"):
            self._store.controls.lay(self._owner, control, START)

    # --- requests -------------------------------------------------------------------------------------------------

    def test_a_request_goes_from_pending_over_accepted_to_its_end(self) -> None:
        request = self.request()
        requests = self._store.requests
        requests.add(request)
        requests.add(dataclasses.replace(request, reason="again"))
        assert requests.pending(EVERYONE) == [request]
        accepted, done = RequestState.ACCEPTED, RequestState.DONE
        assert requests.move(self._owner, request.id, RequestState.PENDING, accepted, now=later(1)) is True
        assert requests.pending(EVERYONE) == []
        assert [one.state for one in requests.open(EVERYONE)] == [accepted]
        assert requests.move(self._owner, request.id, accepted, done, now=later(2), outcome="done") is True
        assert requests.move(self._owner, request.id, accepted, done, now=later(3), outcome="twice") is False
        ended = dataclasses.replace(request, state=done, outcome="done", ended_at=later(2))
        assert requests.get(EVERYONE, request.id) == ended
        assert requests.open(EVERYONE) == []

    def test_requests_are_read_in_the_order_in_which_they_were_added(self) -> None:
        """Though many are made at one instant, and the clock of whoever makes one may be behind."""
        made = [self.request(created_at=later(-number // 3)) for number in range(12)]
        for request in made:
            self._store.requests.add(request)
        self._store.requests.add(made[0])
        assert self._store.requests.pending(EVERYONE) == made
        assert self._store.requests.open(EVERYONE) == made
        assert self._store.requests.recent(EVERYONE, later(-100)) == made
        assert self._store.requests.recent(EVERYONE, later(0)) == made[:1]

    def test_a_request_moves_with_its_changes_and_its_log_or_not_at_all(self) -> None:
        aset = self.put()
        request = self.request()
        self._store.requests.add(request)
        launch = self.launch(self.member(aset))
        stale = dataclasses.replace(self.launch(self.member(aset, 2)), expect=Expect(ApplianceState.STOPPED, 0))
        entry = LogEntry(aset.uid, START, "request.accepted", request.id, {})
        before = self.everything()
        pending, accepted = RequestState.PENDING, RequestState.ACCEPTED
        move = self._store.requests.move
        both = [launch, stale]
        assert move(self._owner, request.id, pending, accepted, now=START, log=entry, changes=both) is False
        assert self.everything() == before
        assert move(self._owner, request.id, pending, accepted, now=START, log=entry, changes=[launch]) is True
        assert self._store.intents.open(EVERYONE) == [launch.opens_intent]
        assert "request.accepted" in [one.kind for one in self._store.log.entries(EVERYONE, aset.uid)]

    def test_a_request_moves_with_what_it_changes_in_its_set_or_not_at_all(self) -> None:
        aset = self.put()
        request = self.request()
        self._store.requests.add(request)
        pending, done = RequestState.PENDING, RequestState.DONE
        move = self._store.requests.move
        longer = SetMove(
            aset.uid, {"lease_end": later(9_000)}, LogEntry(aset.uid, START, "lease.extended", aset.name, {})
        )
        assert move(self._owner, request.id, RequestState.ACCEPTED, done, now=START, aset=longer) is False
        assert self._store.sets.active(EVERYONE)[0].lease_end == aset.lease_end
        assert move(self._owner, request.id, pending, done, now=START, aset=longer) is True
        assert self._store.sets.active(EVERYONE)[0].lease_end == later(9_000)
        assert "lease.extended" in [one.kind for one in self._store.log.entries(EVERYONE, aset.uid)]

    def test_a_request_does_not_move_when_its_set_is_retired(self) -> None:
        aset = self.put()
        request = self.request()
        self._store.requests.add(request)
        self._retire(aset)
        before = self.everything()
        longer = SetMove(aset.uid, {"lease_end": later(9_000)}, None)
        found = self._store.requests.move(
            self._owner, request.id, RequestState.PENDING, RequestState.DONE, now=START, aset=longer
        )
        assert found is False
        assert self.everything() == before

    def test_a_request_moves_with_its_set_s_next_generation_and_what_becomes_of_new_members(self) -> None:
        aset = self.put(count=1)
        request = self.request()
        self._store.requests.add(request)
        grown = NextGeneration(aset.uid, 1, dataclasses.replace(aset.spec, count=3), "ann", "grows")
        launches = [self.launch(self.member(aset)._replace(ordinal=ordinal)) for ordinal in (2, 3)]
        moved = self._store.requests.move(
            self._owner, request.id, RequestState.PENDING, RequestState.ACCEPTED, now=START, changes=launches,
            generation=grown,
        )  # fmt: skip
        assert moved is True
        assert self._store.sets.active(EVERYONE)[0].spec.count == 3
        assert [entry[:2] for entry in self._store.sets.generations(EVERYONE, aset.uid)] == [(1, "file:x"), (2, "ann")]
        states = [member.state for member in self._store.members.of_set(EVERYONE, aset.uid)]
        assert states == [ApplianceState.REQUESTED, ApplianceState.LAUNCHING, ApplianceState.LAUNCHING]
        assert "set.generation" in [one.kind for one in self._store.log.entries(EVERYONE, aset.uid)]

    @pytest.mark.parametrize("why", ["moved before", "a change does not hold", "another generation", "retiring"])
    def test_a_set_does_not_grow_with_a_request_that_does_not_move(self, why: str) -> None:
        aset = self.put(count=1)
        request = self.request()
        self._store.requests.add(request)
        launch = self.launch(self.member(aset)._replace(ordinal=2))
        expected = RequestState.ACCEPTED if why == "moved before" else RequestState.PENDING
        if why == "a change does not hold":
            launch = dataclasses.replace(launch, expect=Expect(ApplianceState.REQUESTED, 7))
        elif why == "another generation":
            self.put(count=1, uid=aset.uid)
        elif why == "retiring":
            values = {"retiring_since": START, "retired_reason": "over"}
            assert self._store.sets.update(self._owner, aset.uid, now=START, log=None, **values)
        grown = NextGeneration(aset.uid, 1, dataclasses.replace(aset.spec, count=2), "ann", "grows")
        before = self.everything()
        moved = self._store.requests.move(
            self._owner, request.id, expected, RequestState.DONE, now=START, changes=[launch], generation=grown
        )
        assert moved is False
        assert self.everything() == before

    @pytest.mark.parametrize("point", ["store.before-commit", "store.after-commit"])
    def test_a_crash_around_the_commit_grows_a_set_once_or_not_at_all(self, point: str) -> None:
        aset = self.put(count=1)
        request = self.request()
        self._store.requests.add(request)
        grown = NextGeneration(aset.uid, 1, dataclasses.replace(aset.spec, count=2), "ann", "grows")
        launch = self.launch(self.member(aset)._replace(ordinal=2))

        def move() -> bool:
            pending, accepted = RequestState.PENDING, RequestState.ACCEPTED
            return self._store.requests.move(
                self._owner, request.id, pending, accepted, now=START, changes=[launch], generation=grown
            )

        with crashing(point):
            move()
        assert move() is (point == "store.before-commit")
        assert self._store.sets.active(EVERYONE)[0].spec.count == 2
        assert [one.state for one in self._store.requests.open(EVERYONE)] == [RequestState.ACCEPTED]
        assert self._store.intents.open(EVERYONE) == [launch.opens_intent]

    # --- offers and rankings --------------------------------------------------------------------------------------

    def test_offers_are_replaced_cloud_by_cloud(self) -> None:
        plain = Offer("east", "small", "a", 1, 1024, 10)
        price = Price(Decimal("0.0104"), "USD", "aws-pricing", dt.date(2026, 2, 1))
        rich = Offer("east", "big", "a", 4, 8192, 80, price, 3, later(60), True, "arm64")
        west = dataclasses.replace(plain, cloud="west")
        offers = self._store.offers
        assert offers.of("east") == ([], None)
        offers.replace("east", [plain, rich, plain], START)
        offers.replace("west", [west], START)
        assert offers.of("east") == ([rich, plain], START)
        offers.replace("east", [], later(5))
        assert offers.of("east") == ([], later(5))
        assert offers.all() == [west]

    def test_a_ranking_is_read_back_in_its_order(self) -> None:
        aset = self.put()
        choices = [
            Choice(Offer("west", "small", "b", 1, 1024, 10), True, "cheapest"),
            Choice(Offer("east", "small", "a", 1, 1024, 10), False, "too dear"),
        ]
        placements = self._store.placements
        assert placements.latest(EVERYONE, aset.uid) == []
        placements.put(self._owner, aset.uid, 1, choices[::-1], START)
        placements.put(self._owner, aset.uid, 1, choices, START)
        assert placements.latest(EVERYONE, aset.uid) == choices
        placements.put(self._owner, aset.uid, 2, choices[:1], START)
        assert placements.latest(EVERYONE, aset.uid) == choices[:1]

    def _retire(self, aset: ApplianceSet, at: float = 0) -> None:
        entry = LogEntry(aset.uid, later(at), "set.retired", aset.name, {})
        values = {"retiring_since": later(at), "retired_reason": "over", "retired_at": later(at)}
        assert self._store.sets.update(self._owner, aset.uid, now=later(at), log=entry, **values)

    def _lay(self, aset: ApplianceSet, ordinal: int | None, since: dt.datetime, until: dt.datetime | None) -> Control:
        control = Control(0, ControlKind.PAUSE, aset.uid, ordinal, "ann", "work", since, until)
        return self._store.controls.lay(self._owner, control, START)
