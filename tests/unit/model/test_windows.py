"""When a maintenance window is open."""

from __future__ import annotations

import datetime as dt

import pytest

from cloudmon.model.updates import DAYS, Window

SATURDAY_NIGHT = Window(("sat",), 23 * 3_600, 3 * 3_600)


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    """In November 2026, whose 28th is a Saturday."""
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        (at(28, 22, 59), False),
        (at(28, 23), True),
        (at(29, 1, 59), True),
        (at(29, 2), False),
        (at(27, 23, 30), False),
        (at(22, 0, 30), True),
    ],
)
def test_it_is_open_from_its_time_on_for_as_long_as_it_lasts_over_midnight(now: dt.datetime, is_open: bool) -> None:
    assert (SATURDAY_NIGHT.open(now) is not None) is is_open


def test_it_says_from_when_to_when_and_counts_in_utc() -> None:
    elsewhere = at(29, 0).astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert SATURDAY_NIGHT.open(elsewhere) == (at(28, 23), at(29, 2))


def test_a_window_of_a_whole_day_each_day_is_always_open() -> None:
    always = Window(DAYS, 3_600, 86_400)
    assert all(always.open(at(28, hour)) for hour in range(24))
