"""Whose time has come, as a plain table would say it."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from cloudmon.model.identity import ApplianceId
from cloudmon.monitor.instants import SPARE, Instants

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WHO = [ApplianceId("u", ordinal) for ordinal in range(1, 6)]


def at(seconds: int) -> dt.datetime:
    return BEGIN + dt.timedelta(seconds=seconds)


@given(st.lists(st.tuples(st.sampled_from(WHO), st.none() | st.integers(0, 20)), max_size=200), st.integers(0, 20))
def test_it_says_what_a_table_says(puts: list[tuple[ApplianceId, int | None]], seconds: int) -> None:
    """Whatever was put in between, more than once, taken back, or asked before."""
    found, table, now = Instants(), dict[ApplianceId, dt.datetime](), at(seconds)
    for number, (appliance, when) in enumerate(puts):
        found.put(appliance, None if when is None else at(when))
        if when is None:
            table.pop(appliance, None)
        else:
            table[appliance] = at(when)
        if number % 3 == 0:
            found.come(now)
    come = sorted(appliance for appliance, when in table.items() if when <= now)
    assert found.any_come(now) is bool(come)
    assert sorted(found.come(now)) == sorted(found.come(now)) == come
    for appliance in WHO:
        assert found.has_come(appliance, now) is (appliance in come or appliance not in table)
    assert found.first(WHO[:2]) == min((when for one, when in table.items() if one not in WHO[:2]), default=None)
    assert all((appliance in found) is (appliance in table) for appliance in WHO)


def test_what_is_outdated_does_not_pile_up() -> None:
    found = Instants()
    for seconds in range(10_000):
        found.put(WHO[seconds % 5], at(seconds))
    assert len(found._sooner) <= 2 * 5 + SPARE + 1
