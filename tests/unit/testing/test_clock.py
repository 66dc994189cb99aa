"""The fake clock moves only when told, and its wall may jump apart from the truth."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from cloudmon.clock import Clock
from cloudmon.testing import FakeClock

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def test_it_is_a_clock() -> None:
    clock: Clock = FakeClock(NOON)
    assert (clock.now(), clock.monotonic()) == (NOON, 0.0)


def test_a_wait_lets_the_time_pass_at_once() -> None:
    clock = FakeClock(NOON)
    assert clock.wait(threading.Event(), 90) is False
    assert clock.now() == NOON + dt.timedelta(seconds=90)
    assert clock.monotonic() == 90


def test_a_wait_for_what_is_set_takes_no_time() -> None:
    clock, event = FakeClock(NOON), threading.Event()
    event.set()
    assert clock.wait(event, 90) is True
    assert clock.monotonic() == 0


def test_a_negative_wait_takes_no_time() -> None:
    clock = FakeClock(NOON)
    clock.wait(threading.Event(), -5)
    assert clock.monotonic() == 0


def test_the_least_wait_lets_some_time_pass() -> None:
    """A loop that waits until an instant ends, however little is left of it."""
    clock = FakeClock(NOON)
    clock.wait(threading.Event(), 1e-9)
    assert clock.now() == NOON + dt.timedelta(microseconds=1)


@pytest.mark.parametrize("hours", [-2, 3], ids=["back", "forth"])
def test_a_jump_moves_the_wall_and_no_time(hours: int) -> None:
    clock = FakeClock(NOON)
    clock.advance(60)
    clock.jump(dt.timedelta(hours=hours))
    assert clock.now() == NOON + dt.timedelta(hours=hours, seconds=60)
    assert clock.true_now() == NOON + dt.timedelta(seconds=60)
    assert clock.monotonic() == 60


def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ValueError, match="jump"):
        FakeClock(NOON).advance(-1)


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        FakeClock(dt.datetime(2026, 3, 1))  # noqa: DTZ001


def test_a_start_elsewhere_is_told_in_utc() -> None:
    there = dt.timezone(dt.timedelta(hours=5))
    assert FakeClock(NOON.astimezone(there)).now().tzinfo is dt.UTC
