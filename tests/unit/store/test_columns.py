"""Column types refuse what they cannot keep, and say the same on every database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

from cloudmon.model.usage import Mark
from cloudmon.store.columns import Amount, Instant, Json, Plain, Word, canonical, shown, storable

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()
zones = st.timezones() | st.just(dt.UTC)


def read(column: TypeDecorator[Any], kept: object) -> Any:
    """What comes back of what SQLite keeps."""
    processor = column.result_processor(SQLITE, None)
    return kept if processor is None else processor(kept)


@given(st.datetimes(timezones=zones, min_value=dt.datetime(2, 1, 1), max_value=dt.datetime(9998, 1, 1)))  # noqa: DTZ001
def test_an_instant_comes_back_as_the_same_instant_in_utc(instant: dt.datetime) -> None:
    kept = Instant().process_bind_param(instant, SQLITE)
    back = read(Instant(), kept)
    assert back == instant.astimezone(dt.UTC)
    assert back is not None
    assert back.tzinfo is dt.UTC


@given(st.lists(st.datetimes(timezones=st.just(dt.UTC)), min_size=2, max_size=6))
def test_instants_sort_as_text_as_they_sort_in_time(instants: list[dt.datetime]) -> None:
    assert sorted(map(shown, instants)) == [shown(instant) for instant in sorted(instants)]


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_an_instant_without_a_zone_is_refused(dialect: object) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Instant().process_bind_param(dt.datetime(2026, 1, 1), dialect)  # type: ignore[arg-type]  # noqa: DTZ001


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_an_amount_comes_back_exactly(amount: Decimal) -> None:
    kept = Amount().process_bind_param(amount, SQLITE)
    assert "E" not in kept
    assert read(Amount(), kept) == amount


@pytest.mark.parametrize("wrong", [0.1, 1, "1", Decimal("NaN"), Decimal("Infinity")], ids=str)
def test_an_amount_that_is_not_exact_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        Amount().process_bind_param(wrong, SQLITE)  # type: ignore[arg-type]


def test_equal_values_have_one_spelling() -> None:
    assert canonical({"b": (1, 2), "a": {"y": None, "x": Decimal("0.10")}}) == '{"a":{"x":"0.10","y":null},"b":[1,2]}'
    assert canonical({"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "of": {"b", "a"}}) == (
        '{"at":"2026-01-01T00:00:00.000000+00:00","of":["a","b"]}'
    )


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        Json().process_bind_param({"x": object()}, SQLITE)


@given(st.text())
def test_text_that_a_database_takes_is_kept_as_it_is(text: str) -> None:
    assert storable(text) == text.replace("\0", "\ufffd")


@given(st.text(st.characters()))
def test_any_text_becomes_one_that_a_database_takes(text: str) -> None:
    kept = Plain().process_bind_param(text, SQLITE)
    assert kept is not None
    assert "\0" not in kept
    kept.encode()
    assert storable(kept) == kept


def test_a_word_that_is_none_is_refused() -> None:
    assert Word(Mark).process_bind_param(Mark.BEGAN, SQLITE) == "began"
    assert Word(Mark).process_bind_param("began", SQLITE) == "began"
    assert read(Word(Mark), "began") is Mark.BEGAN
    with pytest.raises(KeyError):
        Word(Mark).process_bind_param("sometimes", SQLITE)
