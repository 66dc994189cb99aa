"""The inn of simulated guests: they do as their machines do, have their turns, and are struck as the settings say."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cloudmon.clock import SystemClock
from cloudmon.model.identity import ApplianceId
from cloudmon.model.simulated import Insides, Machine, Machines
from cloudmon.testing import FakeClock
from cloudmon.testing.guests import troubles
from cloudmon.testing.guests.bells import Bells
from cloudmon.testing.guests.inn import Inn, Struck
from cloudmon.testing.guests.staff import BEGIN_S, Staff
from cloudmon.testing.guests.troubles import Trouble, following, seed_of

QUIET = Insides(1, {}, 60)
UID = "rcouaiwzp3qp"
STEP_S = 30


def user_data(ordinal: int = 1, incarnation: int = 1) -> str:
    return f"printf '%s' 'cm1.-.a-{UID}-{ordinal}-{incarnation}.{'s' * 43}' >token"


class Cloud:
    """Machines that a test moves."""

    def __init__(self, insides: Insides | None = QUIET) -> None:
        self.insides = insides
        self._told: list[Machine] = []
        self.asked: list[int] = []

    def put(self, ordinal: int = 1, *, lives: bool = True, talks: bool = True, boots: int = 1, **other: Any) -> None:
        values = {"name": f"shop-{ordinal}-1", "user_data": user_data(ordinal), **other}
        self._told.append(Machine(f"vm-{ordinal}", lives=lives, talks=talks, boots=boots, **values))

    def machines(self, since: int = 0) -> Machines:
        self.asked.append(since)
        return Machines(len(self._told), self._told[since:])


class Fake:
    """A guest that notes what is done to it."""

    def __init__(self, user_data: str, *, name: str, seed: int, answer: object, poll_s: float) -> None:
        if "cm1." not in user_data:
            raise ValueError("no agent")
        self.name, self.seed = name, seed
        self.done: list[str] = []
        self.fault = ""
        self.breaks = False
        self.inside = 0

    def step(self, now: dt.datetime) -> dt.datetime:
        self.done.append("step")
        if self.breaks:
            raise RuntimeError("it broke")
        return now + dt.timedelta(seconds=STEP_S)

    def reboot(self, now: dt.datetime) -> None:
        self.done.append("reboot")
        self.fault = ""

    def ring(self) -> None:
        self.done.append("ring")

    def strike(self, fault: str, now: dt.datetime) -> None:
        self.fault = fault
        self.done.append(fault)

    def may_suffer(self, fault: str) -> bool:
        return fault != "impossible"

    def well(self) -> bool:
        return not self.fault


class Village:
    """An inn over one cloud, with guests that note what is done to them."""

    def __init__(self, insides: Insides | None = QUIET) -> None:
        self.clock = FakeClock()
        self.cloud = Cloud(insides)
        self.guests: list[Fake] = []
        self.inn = Inn({"here": self.cloud}, lambda _head, _body: None, make=self._make)  # type: ignore[arg-type,return-value]

    def _make(self, *words: Any, **named: Any) -> Any:
        self.guests.append(Fake(*words, **named))
        return self.guests[-1]

    def go(self, seconds: float = 0) -> list[str]:
        """Time passes, and everybody has his turn; what the first guest did."""
        self.clock.advance(seconds)
        self.inn.look(self.clock.now())
        before = len(self.guests[0].done) if self.guests else 0
        self.inn.turn(self.clock.now())
        return self.guests[0].done[before:] if self.guests else []


@pytest.fixture
def village() -> Village:
    made = Village()
    made.cloud.put()
    made.go()
    return made


def test_a_guest_moves_in_when_its_machine_talks_for_the_first_time() -> None:
    village = Village()
    village.cloud.put(talks=False, boots=0)
    assert village.go() == []
    village.cloud.put()
    assert village.go() == ["step"]
    assert village.guests[0].name == "shop-1-1"


def test_a_machine_without_an_agent_has_no_guest() -> None:
    village = Village()
    village.cloud.put(user_data="#!/bin/sh\n")
    village.go()
    assert village.inn.count.living == 0


def test_where_there_are_no_insides_nobody_asks_for_machines() -> None:
    village = Village(None)
    village.go()
    assert village.cloud.asked == []


def test_a_guest_is_stepped_when_it_is_due_and_not_before(village: Village) -> None:
    assert village.go(STEP_S - 1) == []
    assert village.go(1) == ["step"]


def test_only_machines_that_changed_are_asked_for(village: Village) -> None:
    village.go()
    assert village.cloud.asked == [0, 1]


def test_one_whose_machine_sleeps_says_nothing_and_goes_on_when_it_wakes(village: Village) -> None:
    village.cloud.put(talks=False)
    assert village.go(STEP_S * 3) == []
    assert village.inn.count[:2] == (1, 0)
    village.cloud.put()
    assert village.go(1) == ["step"]


def test_one_whose_machine_was_rebooted_boots_before_it_says_anything_more(village: Village) -> None:
    village.cloud.put(talks=False)
    village.cloud.put(boots=2)
    assert village.go(1) == ["reboot", "step"]
    assert village.go(STEP_S) == ["step"]


def test_one_whose_machine_ended_is_never_heard_again(village: Village) -> None:
    village.cloud.put(lives=False, talks=False)
    assert village.go(STEP_S * 3) == []
    assert village.inn.count.living == 0


def test_the_next_incarnation_is_another_guest(village: Village) -> None:
    village.cloud.put(lives=False, talks=False)
    village.cloud.put(2, user_data=user_data(1, 2), name="shop-1-2")
    village.go()
    assert [guest.name for guest in village.guests] == ["shop-1-1", "shop-1-2"]
    assert len({guest.seed for guest in village.guests}) == 2


def test_who_is_rung_asks_for_commands_at_once(village: Village) -> None:
    village.inn.ring([ApplianceId(UID, 1), ApplianceId(UID, 7)], village.clock.now())
    assert village.go(1) == ["ring", "step"]


def test_another_configuration_rings_everybody_of_the_set(village: Village) -> None:
    village.inn.ring_sets([UID], village.clock.now())
    assert village.go(1) == ["ring", "step"]
    village.inn.ring_sets(["another"], village.clock.now())
    assert village.go(1) == []


def test_who_is_rung_in_the_middle_of_a_step_has_another_one_and_is_never_in_two_hands(village: Village) -> None:
    inn, guest = village.inn, village.guests[0]
    before = guest.step

    def rung_meanwhile(now: dt.datetime) -> dt.datetime:
        guest.step = before  # type: ignore[method-assign]
        inn.ring([ApplianceId(UID, 1)], now)
        assert inn.take(now) is None
        return before(now)

    guest.step = rung_meanwhile  # type: ignore[method-assign]
    assert village.go(STEP_S) == ["step", "ring", "step"]


def test_a_guest_that_breaks_is_left_alone_for_a_while_and_nobody_else_is_hurt(village: Village) -> None:
    village.cloud.put(2)
    village.go()
    village.guests[0].breaks = True
    village.go(STEP_S)
    assert village.guests[1].done == ["step", "step"]
    assert village.go(30) == []
    assert village.go(30) == ["step"]


def test_the_line_tells_the_channel_first_and_then_the_guests(village: Village) -> None:
    told: list[tuple[str, tuple[Any, ...]]] = []

    class Line:
        def __getattr__(self, name: str) -> Callable[[Any], None]:
            return lambda whom: told.append((name, tuple(whom)))

    bells = Bells(Line(), village.inn, village.clock)  # type: ignore[arg-type]
    seat = ApplianceId(UID, 1)
    bells.ring(iter([seat]))
    assert village.go(1) == ["ring", "step"]
    bells.retell(iter([UID]))
    assert village.go(1) == ["ring", "step"]
    bells.reload([seat])
    bells.want_full([seat])
    assert told == [("ring", (seat,)), ("retell", (UID,)), ("reload", (seat,)), ("want_full", (seat,))]


# --- troubles ---------------------------------------------------------------------------------------------------------


def first_trouble(insides: Insides, now: dt.datetime) -> Trouble:
    found = following(insides, seed_of(insides, "shop-1-1"), 0, now + dt.timedelta(seconds=insides.quiet_s))
    assert found is not None
    return found


def test_what_is_to_come_over_a_guest_comes_when_it_is_due_and_its_end_is_noted() -> None:
    insides = Insides(1, {"crashed": 60.0}, 100)
    village = Village(insides)
    due = first_trouble(insides, village.clock.now())
    village.cloud.put()
    village.go()
    left_s = (due.at - village.clock.now()).total_seconds()
    assert left_s > 100
    assert "crashed" not in village.go(left_s - 0.001)
    assert village.go(0.001)[:1] == ["crashed"]
    assert (village.inn.count.struck, village.inn.count.well_again) == ({"crashed": 1}, {})
    village.guests[0].fault = ""
    village.go(STEP_S)
    assert village.inn.count.well_again == {"crashed": 1}
    assert village.inn.history[0] == Struck("shop-1-1", "crashed", due.at, village.clock.now())


def test_one_that_is_struck_is_spared_until_it_is_well() -> None:
    village = Village(Insides(1, {"crashed": 3_600.0}, 0))
    village.cloud.put()
    for _ in range(10):
        village.go(STEP_S)
    assert village.inn.count.struck == {"crashed": 1}


def test_one_is_spared_what_cannot_happen_to_it() -> None:
    village = Village(Insides(1, {"impossible": 3_600.0}, 0))
    village.cloud.put()
    for _ in range(10):
        village.go(STEP_S)
    assert village.inn.count.struck == {}


def test_a_boot_can_be_what_ends_a_trouble() -> None:
    village = Village(Insides(1, {"silent": 3_600.0}, 0))
    village.cloud.put()
    village.go()
    village.go(STEP_S)
    assert village.guests[0].fault == "silent"
    village.cloud.put(boots=2)
    village.go(0.001)
    assert village.inn.count.well_again == {"silent": 1}


def test_a_machine_that_ended_while_its_guest_was_struck_is_counted_apart() -> None:
    village = Village(Insides(1, {"malware": 3_600.0}, 0))
    village.cloud.put()
    village.go()
    village.go(STEP_S)
    village.cloud.put(lives=False, talks=False)
    village.go(1)
    assert (village.inn.count.ended, village.inn.count.well_again) == (1, {})
    assert village.inn.history[0].well_at is None


def test_what_strikes_whom_and_when_follows_from_seed_and_name() -> None:
    insides = Insides(7, {"crashed": 1.0, "malware": 3.0}, 0)
    now = FakeClock().now()

    def story(insides: Insides, name: str) -> list[Trouble | None]:
        return [following(insides, seed_of(insides, name), number, now) for number in range(5)]

    assert story(insides, "shop-1-1") == story(insides, "shop-1-1")
    assert story(insides, "shop-1-1") != story(insides, "shop-2-1")
    assert story(insides, "shop-1-1") != story(Insides(8, insides.faults_per_h, 0), "shop-1-1")


def test_faults_strike_as_often_as_the_settings_say() -> None:
    insides = Insides(7, {"crashed": 1.0, "malware": 3.0}, 0)
    now = FakeClock().now()
    found = [trouble for number in range(2_000) if (trouble := following(insides, 1, number, now))]
    assert sum(one.fault == "malware" for one in found) / len(found) == pytest.approx(0.75, abs=0.05)
    mean_s = sum((one.at - now).total_seconds() for one in found) / len(found)
    assert mean_s == pytest.approx(troubles.HOUR_S / 4, rel=0.1)


def test_where_no_fault_ever_strikes_nothing_is_to_come() -> None:
    assert following(QUIET, 1, 0, FakeClock().now()) is None


# --- the staff --------------------------------------------------------------------------------------------------------


def test_the_staff_steps_those_whose_turn_it_is_until_it_is_told_to_end() -> None:
    village = Village()
    stepped = threading.Event()
    village.cloud.put()
    village.inn.look(SystemClock().now())
    village.guests[0].step = lambda now: (stepped.set(), now + dt.timedelta(hours=1))[1]  # type: ignore[method-assign,func-returns-value]
    staff = Staff(village.inn, SystemClock(), hands=2)
    staff.begin()
    assert stepped.wait(10)
    staff.end(5)
    assert not any(thread.name.startswith("guests ") for thread in threading.enumerate())


def test_nobody_speaks_before_the_monitor_listens_and_a_thread_that_ended_is_told(village: Village) -> None:
    staff = Staff(village.inn, village.clock, hands=1)
    asked = len(village.cloud.asked)
    staff._threads = [threading.current_thread()]
    staff.look()
    assert len(village.cloud.asked) == asked
    village.clock.advance(BEGIN_S)
    staff.look()
    assert len(village.cloud.asked) == asked + 1
    staff._threads = [threading.Thread()]
    with pytest.raises(RuntimeError, match="has ended"):
        staff.look()
