"""Durations and instants as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.settings import values


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7_200),
        ("30d", 2_592_000),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        ("0.5h", 1_800),
        ("2H", 7_200),
        ("45", 45),
        (45, 45),
        (0.25, 0.25),
    ],
    ids=str,
)
def test_a_duration_is_so_many_seconds(written: object, expected: float) -> None:
    assert values.seconds(written) == expected


@pytest.mark.parametrize(
    "written",
    ["", "s", "5 minutes", "-5s", "1h-", "1,5h", "1h30", "5x", True, -1, float("inf"), float("nan"), "2000y", None, []],
    ids=repr,
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        values.seconds(written)


@given(st.integers(0, values.LONGEST_S))
def test_whole_seconds_come_back_as_they_went_in(number: int) -> None:
    assert values.whole_seconds(number) == values.whole_seconds(f"{number}s") == number


@pytest.mark.parametrize("written", ["a", "a-b", "A1", "0", "a" * 40])
def test_a_name_is_letters_digits_and_inner_hyphens(written: str) -> None:
    assert values.name(written) == written


@pytest.mark.parametrize("written", ["", "-a", "a-", "a_b", "a b", "a.b", "ä", "a" * 41, "a\n", 3], ids=repr)
def test_what_is_no_name_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a name"):
        values.name(written)
