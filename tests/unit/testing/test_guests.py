"""Simulated guests: what strikes them is reported over the channel's own wire, found by rules, and put right by the
commands that follow."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from guested import Guested
from spoken import Estate

from cloudmon.channel import userdata
from cloudmon.model import states
from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.guests import FAULTS, Exchange, Guest
from cloudmon.testing.guests.machine import STUBBORN, chance

MOST_BYTES = 10_240
"""Of memory that a guest may take, apart from what all of a template share."""


@pytest.fixture
def of(tmp_path: Path) -> Iterator[Guested]:
    made = Guested(tmp_path)
    yield made
    made.close()


def seed_of(fault: str, *, stubborn: bool) -> int:
    """A seed by which this fault withstands the first try, or does not."""
    return next(seed for seed in range(99) if (chance(seed, "stubborn", fault) < STUBBORN) is stubborn)


@pytest.mark.parametrize("stubborn", [False, True], ids=["at-once", "at-the-second-try"])
@pytest.mark.parametrize(
    ("fault", "rule", "verb"),
    [
        ("crashed", "application-down", Verb.APP_RESTART),
        ("malware", "malware", Verb.QUARANTINE),
        ("outdated", "package-outdated", Verb.APP_UPDATE),
        ("stray-account", "stray-account", Verb.ACCOUNT_REVOKE),
        ("disk-full", "disk-nearly-full", Verb.JOB_RUN),
        ("restart-loop", "restart-loop", Verb.APP_RESTART),
    ],
    ids=str,
)
def test_what_strikes_a_guest_is_found_and_put_right(
    fault: str, rule: str, verb: Verb, stubborn: bool, tmp_path: Path
) -> None:
    of = Guested(tmp_path, seed=seed_of(fault, stubborn=stubborn))
    of.run(20)
    assert (of.open(), of.guests[1].well()) == ([], True)
    of.strike(fault)
    assert not of.guests[1].well()
    of.run(80 if fault == "restart-loop" else 0.5)
    assert of.open() == [rule]
    of.run(300 if fault == "restart-loop" else 60)
    assert of.guests[1].well()
    assert of.open() == []
    ended = [IntentState.FAILED] * stubborn + [IntentState.DONE]
    assert [(one.verb, one.state) for one in of.commands()] == [(verb, state) for state in ended]
    of.close()


def test_one_that_hangs_says_nothing_until_it_boots(of: Guested) -> None:
    of.run(20)
    of.strike("silent")
    of.run(170)
    assert of.open() == ["report-silent"]
    of.guests[1].reboot(of.clock.now())
    of.due.clear()
    of.run(1)
    assert (of.open(), of.guests[1].well()) == ([], True)


def test_a_boot_ends_what_was_wrong_in_memory_and_nothing_on_the_disk(of: Guested) -> None:
    of.run(20)
    guest, now = of.guests[1], of.clock.now()
    before = guest.machine.boot
    for fault in FAULTS:
        guest.strike(fault, now)
    guest.reboot(now)
    assert guest.machine.boot != before
    assert sorted(guest.machine.faults) == ["disk-full", "malware", "outdated", "stray-account"]


def test_what_it_says_adds_up_to_what_it_has(of: Guested) -> None:
    """Differences too, and after a boot."""
    of.run(20)
    of.strike("stray-account")
    of.run(40)
    of.guests[1].reboot(of.clock.now())
    of.due.clear()
    of.run(40)
    state = of.memory.reports.state(EVERYONE, of.id())
    assert state is not None
    assert state.sections == of.guests[1].machine.sections(of.guests[1].machine.config, of.guests[1].interval_s)
    assert state.hash == states.state_hash(state.sections)


def test_a_command_that_a_boot_interrupts_is_answered_and_not_performed_again(of: Guested) -> None:
    of.run(20)
    of.strike("disk-full")
    of.run(0.5)
    of.guests[1].ring()
    of.due.clear()
    of.run(0.1)
    assert [one.state for one in of.commands()] == [IntentState.PERFORMED]
    of.guests[1].reboot(of.clock.now())
    of.due.clear()
    of.run(0.1)
    (first,) = of.commands()
    assert (first.state, first.error) == (IntentState.FAILED, "interrupted; whether it was performed is not known")
    assert not of.guests[1].well()


def test_its_key_is_renewed_before_it_ends(of: Guested) -> None:
    of.run(20)
    guest = of.guests[1]
    first = guest._keys.key()
    for _ in range(3):
        of.clock.advance(13 * 3_600)
        guest.step(of.clock.now())
    assert guest._keys.key() != first
    agent = of.memory.agents.get(EVERYONE, of.id())
    assert agent is not None
    assert (agent.serial, agent.received_at) == (1, of.clock.now())


@pytest.mark.parametrize("off_s", [-7_200.0, 7_200.0], ids=["behind", "ahead"])
def test_one_whose_clock_is_off_by_hours_learns_the_time(off_s: float) -> None:
    with _Estate(1) as of:
        guest = of.guest(1, off_s=off_s)
        guest.step(of.estate.clock.now())
        agent = of.estate.store.agents.get(EVERYONE, of.estate.id())
        assert agent is not None
        assert abs(agent.offset_s - off_s) <= 2
        assert agent.received_at == of.estate.clock.now()


def test_what_it_cannot_be_is_said(of: Guested) -> None:
    fresh = of.guest(1, 0)
    assert not fresh.may_suffer("crashed")
    with pytest.raises(ValueError, match="declares no such thing"):
        fresh.strike("crashed", of.clock.now())
    with pytest.raises(ValueError, match="'bored' is not a valid Fault"):
        fresh.strike("bored", of.clock.now())
    with pytest.raises(ValueError, match="bring no agent along"):
        Guest("#!/bin/sh\n", name="x", seed=1, answer=of.exchange)


class _Estate:
    """Guests of an estate that nobody looks at."""

    def __init__(self, count: int) -> None:
        self.estate = Estate(count=count)
        self.exchange = Exchange(lambda: self.estate.channel)

    def __enter__(self) -> _Estate:
        return self

    def __exit__(self, *_: object) -> None:
        self.estate.close()
        self.exchange.close()

    def guest(self, ordinal: int, off_s: float = 0.0) -> Guest:
        token = self.estate.channel.token(self.estate.id(ordinal), 1)
        told = userdata.render("", token=token, url="https://127.0.0.1:1", interval_s=30)
        return Guest(told, name=f"storefront-{ordinal}", seed=ordinal, answer=self.exchange, off_s=off_s)


def test_ten_thousand_of_them_fit() -> None:
    """What a guest takes, once it has enrolled and reported a few times, is given back when it goes."""
    with _Estate(40) as of:
        tracemalloc.start()
        guests = [of.guest(ordinal) for ordinal in range(1, 41)]
        for _ in range(4):
            for guest in guests:
                guest.step(of.estate.clock.now())
            of.estate.clock.advance(31)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        guests.clear()
        del guest
        gc.collect()
        each = (before - tracemalloc.get_traced_memory()[0]) / 40
        tracemalloc.stop()
    assert each <= MOST_BYTES
