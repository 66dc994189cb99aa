"""A monitor meters itself: its time, its processor, its calls; nothing twice and nothing lost."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal

import pytest

from cloudmon import metering
from cloudmon.errors import StoreUnavailable
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.monitor.self_usage import Meter
from cloudmon.store import Store, open_store
from cloudmon.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return open_store("memory", log_key=b"k" * 32, anchor_dir=None, now=clock.now())


@pytest.fixture
def calls() -> Counter[str]:
    return Counter()


@pytest.fixture
def meter(store: Store, clock: FakeClock, calls: Counter[str]) -> Meter:
    """Of a monitor that has just begun."""
    owner = store.monitors.begin(host="here", pid=1, now=clock.now())
    found = Meter(store, owner, clock, calls=lambda: dict(calls))
    found.begin(clock.now())
    return found


def events(store: Store, dimension: Dimension) -> list[UsageEvent]:
    return [event for event in store.usage.events(EVERYONE) if event.dimension is dimension]


def test_its_time_is_counted_from_begin_to_end(store: Store, clock: FakeClock, meter: Meter) -> None:
    clock.advance(1_000)
    meter.end()
    found = [one for one in metering.fold(store.usage.events(EVERYONE), lambda _: (), now=clock.now()) if one.seconds]
    assert [(one.dimension, one.seconds, one.node_id) for one in found] == [
        (Dimension.MONITOR_RUNNING, 1_000, "monitor-1")
    ]


def test_calls_are_counted_by_cloud_and_each_once(
    store: Store, clock: FakeClock, meter: Meter, calls: Counter[str]
) -> None:
    calls.update(east=3)
    meter.write(force=True)
    clock.advance(1)
    calls.update(east=4, west=1)
    meter.write(force=True)
    clock.advance(1)
    meter.write(force=True)
    found = [(event.cloud, event.quantity) for event in events(store, Dimension.MONITOR_CALLS)]
    assert sorted(found) == [("east", Decimal(3)), ("east", Decimal(4)), ("west", Decimal(1))]


def test_calls_of_before_it_began_are_not_its_own(
    store: Store, clock: FakeClock, meter: Meter, calls: Counter[str]
) -> None:
    calls.update(east=9)
    later = Meter(store, store.monitors.begin(host="here", pid=2, now=clock.now()), clock, calls=lambda: dict(calls))
    later.begin(clock.now())
    later.write(force=True)
    assert events(store, Dimension.MONITOR_CALLS) == []


@pytest.mark.parametrize(("after_s", "written"), [(299, 0), (300, 1)], ids=["not yet", "after five minutes"])
def test_quiet_ticks_write_nothing_most_of_the_time(
    store: Store, clock: FakeClock, meter: Meter, calls: Counter[str], after_s: int, written: int
) -> None:
    meter.write()
    calls.update(east=1)
    clock.advance(after_s)
    meter.write()
    assert len(events(store, Dimension.MONITOR_CALLS)) == written


def test_the_first_tick_is_written_at_once(store: Store, clock: FakeClock, meter: Meter, calls: Counter[str]) -> None:
    calls.update(east=2)
    clock.advance(1)
    meter.write()
    assert [event.quantity for event in events(store, Dimension.MONITOR_CALLS)] == [Decimal(2)]


def test_a_clock_that_jumped_back_does_not_keep_it_from_writing(
    store: Store, clock: FakeClock, meter: Meter, calls: Counter[str]
) -> None:
    calls.update(east=1)
    clock.jump(dt.timedelta(days=-1))
    meter.write()
    assert len(events(store, Dimension.MONITOR_CALLS)) == 1


def test_what_the_store_did_not_take_is_written_later(
    store: Store, clock: FakeClock, meter: Meter, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.update(east=5)
    clock.advance(300)
    with monkeypatch.context() as patch:
        patch.setattr(store.usage, "add", _away)
        with pytest.raises(StoreUnavailable):
            meter.write()
    clock.advance(15)
    calls.update(east=1)
    meter.write()
    assert [event.quantity for event in events(store, Dimension.MONITOR_CALLS)] == [Decimal(6)]


def _away(*_: object) -> None:
    raise StoreUnavailable("the store is away")


@pytest.mark.parametrize(
    ("seen_s", "ends_s"), [(None, 0), (120, 120)], ids=["it was never seen to work", "it saw a cloud last then"]
)
def test_a_predecessor_that_was_killed_ran_until_it_was_last_seen_to_work(
    store: Store, clock: FakeClock, seen_s: int | None, ends_s: int
) -> None:
    began = clock.now()
    killed = store.monitors.begin(host="here", pid=1, now=began)
    Meter(store, killed, clock, calls=dict).begin(began)
    if seen_s is not None:
        store.spans.extend(killed, "east", began + dt.timedelta(seconds=seen_s), max_gap_s=60)
    clock.advance(9_000)
    before = store.monitors.current()
    owner = store.monitors.begin(host="here", pid=2, now=clock.now())
    Meter(store, owner, clock, calls=dict).close_predecessor(before, clock.now())
    ended = [event for event in events(store, Dimension.MONITOR_RUNNING) if event.mark is Mark.ENDED]
    assert [(event.node_id, event.at) for event in ended] == [("monitor-1", began + dt.timedelta(seconds=ends_s))]


def test_a_predecessor_that_ended_in_good_order_is_left_as_it_ended(store: Store, clock: FakeClock) -> None:
    killed = store.monitors.begin(host="here", pid=1, now=clock.now())
    store.monitors.end(killed, clock.now())
    before = store.monitors.current()
    owner = store.monitors.begin(host="here", pid=2, now=clock.now())
    Meter(store, owner, clock, calls=dict).close_predecessor(before, clock.now())
    assert events(store, Dimension.MONITOR_RUNNING) == []
