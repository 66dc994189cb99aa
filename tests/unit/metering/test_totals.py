"""Adding intervals up."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from cloudmon import metering
from cloudmon.metering import By
from cloudmon.model.usage import Dimension, Interval

T0 = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def interval(
    seconds: int,
    *,
    tenant: str = "default",
    uid: str = "aaa",
    ordinal: int = 1,
    number: int = 1,
    cloud: str = "east",
    estimated: bool = False,
    ongoing: bool = False,
) -> Interval:
    end = T0 + dt.timedelta(seconds=seconds)
    running = Dimension.NODE_RUNNING
    return Interval(tenant, uid, ordinal, number, cloud, f"n-{number}", running, T0, end, estimated, ongoing)


def amount(quantity: str, dimension: Dimension = Dimension.MONITOR_CALLS, cloud: str = "east") -> Interval:
    return Interval(
        "default", "", 0, 7, cloud, "monitor-a", dimension, T0, T0, estimated=False, quantity=Decimal(quantity)
    )


SOME = [
    interval(10),
    interval(5, number=2, cloud="west", estimated=True, ongoing=True),
    interval(7, ordinal=2),
    interval(100, tenant="other", uid="bbb"),
    amount("3"),
    amount("4"),
    amount("1.5", Dimension.MONITOR_CPU, cloud=""),
]

EXPECTED = {
    By.APPLIANCE: [
        ("default", "aaa", 1, 10, 5, True),
        ("default", "aaa", 2, 7, 0, False),
        ("other", "bbb", 1, 100, 0, False),
    ],
    By.SET: [("default", "aaa", 0, 17, 5, True), ("other", "bbb", 0, 100, 0, False)],
    By.TENANT: [("default", "", 0, 17, 5, True), ("other", "", 0, 100, 0, False)],
}


@pytest.mark.parametrize("by", EXPECTED)
def test_measured_and_estimated_seconds_are_kept_apart(by: By) -> None:
    """Incarnations of one appliance add up; the monitor's own usage is not among them."""
    found = metering.totals(SOME, by)
    assert EXPECTED[by] == [(t.tenant, t.set_uid, t.ordinal, t.measured_s, t.estimated_s, t.open) for t in found]


def test_a_cloud_adds_up_over_tenants() -> None:
    """What an account's bill must agree with."""
    assert [(t.cloud, t.measured_s, t.estimated_s) for t in metering.totals(SOME, By.CLOUD)] == [
        ("east", 117, 0),
        ("west", 0, 5),
    ]


def test_a_monitor_has_its_own_amounts_and_nothing_else() -> None:
    """Processor, memory, I/O and calls, each call with its cloud."""
    found = metering.totals(SOME, By.MONITOR)
    assert [(t.monitor, t.cloud, t.dimension, t.quantity) for t in found] == [
        ("monitor-a", "", Dimension.MONITOR_CPU, Decimal("1.5")),
        ("monitor-a", "east", Dimension.MONITOR_CALLS, Decimal(7)),
    ]


def test_amounts_are_clipped_where_they_stand() -> None:
    """``[since, until)`` holds for amounts too."""
    second = dt.timedelta(seconds=1)
    assert len(list(metering.clip([amount("1")], T0, T0 + second))) == 1
    assert list(metering.clip([amount("1")], T0 - second, T0)) == []


def test_what_is_cut_off_is_no_longer_open() -> None:
    """An interval that goes on, seen up to an earlier instant, cannot change any more."""
    found = list(metering.clip([interval(10, ongoing=True)], None, T0 + dt.timedelta(seconds=4)))
    assert [(i.seconds, i.open) for i in found] == [(4, False)]
