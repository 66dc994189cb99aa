"""Laws of metering's ground: usage events and observation spans."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from cloudmon.errors import Fenced
from cloudmon.model.changes import Change
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Mark, Span, UsageEvent
from cloudmon.testing.store_words import START, StoreWords, later


def _place(event: UsageEvent) -> tuple[object, ...]:
    text = (event.cloud.encode(), event.node_id.encode(), event.dimension.value)
    who = (event.set_uid.encode(), event.ordinal, event.incarnation)
    return (*who, *text, event.at, event.mark.value, event.key.encode())


class UsageLaws(StoreWords):
    """Promises of ``usage`` and ``spans``."""

    def test_usage_comes_in_the_order_that_folding_needs(self) -> None:
        events = [
            self.usage(ApplianceId(uid, ordinal), incarnation, mark, later(at))._replace(cloud=cloud)
            for uid in ("b", "a", "Z", "é")
            for ordinal in (10, 9)
            for incarnation in (2, 1)
            for cloud in ("west", "East", "east-1")
            for mark in (Mark.ENDED, Mark.BEGAN)
            for at in (5, 0)
        ]
        events = [event._replace(key=f"{event.key}/{event.cloud}") for event in events]
        random.Random(1).shuffle(events)  # noqa: S311  # any order will do
        self._store.usage.add(self._owner, events, START)
        assert list(self._store.usage.events(EVERYONE)) == sorted(events, key=_place)

    def test_the_same_usage_again_says_nothing_new(self) -> None:
        event = self.usage(ApplianceId("a", 1), 1, Mark.BEGAN, START)
        self._store.usage.add(self._owner, [event, event], START)
        self.write(Change("default", usage=(event._replace(evidence={"source": "other"}),)))
        assert list(self._store.usage.events(EVERYONE)) == [event]

    def test_quantities_are_exact(self) -> None:
        quantity = Decimal("12345678901234567890.000000000001")
        event = UsageEvent(
            "k", "", "", 0, 0, "", "", Dimension.MONITOR_CPU, Mark.QUANTITY, START, quantity, {"deep": {"a": [1, None]}}
        )
        self._store.usage.add(self._owner, [event], START)
        assert list(self._store.usage.events(EVERYONE)) == [event]

    def test_usage_can_be_asked_for_by_set_and_time(self) -> None:
        events = [self.usage(ApplianceId(uid, 1), 1, Mark.BEGAN, later(at)) for uid in "ab" for at in (0, 5, 9)]
        self._store.usage.add(self._owner, events, START)
        found = self._store.usage.events(EVERYONE, uid="a", since=later(5), until=later(9))
        assert list(found) == [events[1]]

    def test_usage_is_a_picture_of_one_instant_while_more_is_written(self) -> None:
        events = [self.usage(ApplianceId("a", ordinal), 1, Mark.BEGAN, START) for ordinal in range(1, 5_001)]
        self._store.usage.add(self._owner, events, START)
        reading = self._store.usage.events(EVERYONE)
        first = next(reading)
        self._store.usage.add(self._owner, [self.usage(ApplianceId("b", 1), 1, Mark.BEGAN, START)], START)
        assert [first, *reading] == events

    def test_a_reading_that_is_given_up_leaves_the_store_usable(self) -> None:
        events = [self.usage(ApplianceId("a", ordinal), 1, Mark.BEGAN, START) for ordinal in range(1, 5_001)]
        self._store.usage.add(self._owner, events, START)
        for _ in range(50):
            reading = self._store.usage.events(EVERYONE)
            assert next(reading) == events[0]
            reading.close()  # type: ignore[attr-defined]  # a generator
        assert self.put().generation == 1

    # --- spans ----------------------------------------------------------------------------------------------------

    def test_a_span_grows_while_the_cloud_is_seen_often_enough(self) -> None:
        for at in (0, 15, 30, 90):
            self._store.spans.extend(self._owner, "east", later(at), max_gap_s=60)
        assert self._store.spans.of(EVERYONE, "east") == [Span("east", START, later(90), 1, True)]

    def test_a_gap_ends_a_span_where_it_was_last_seen(self) -> None:
        for at in (0, 15, 100):
            self._store.spans.extend(self._owner, "east", later(at), max_gap_s=60)
        first, second = self._store.spans.of(EVERYONE, "east")
        assert (first.since, first.until, first.open) == (START, later(15), False)
        assert first.reason
        assert second == Span("east", later(100), later(100), 1, True)
        assert self._store.spans.of(EVERYONE, "east", since=later(16)) == [second]

    def test_a_failure_ends_a_span_where_it_was_last_seen(self) -> None:
        self._store.spans.extend(self._owner, "east", START, max_gap_s=60)
        self._store.spans.end(self._owner, "east", later(15), "Unreachable")
        self._store.spans.end(self._owner, "east", later(30), "still")
        assert self._store.spans.latest() == {"east": Span("east", START, START, 1, False, "Unreachable")}
        self._store.spans.extend(self._owner, "east", later(31), max_gap_s=60)
        assert self._store.spans.latest()["east"] == Span("east", later(31), later(31), 1, True)

    def test_another_monitor_begins_a_span_of_its_own(self) -> None:
        self._store.spans.extend(self._owner, "east", START, max_gap_s=60)
        second = self._store.monitors.begin(host="there", pid=2, now=later(1))
        self._store.spans.extend(second, "east", later(15), max_gap_s=60)
        assert [(one.epoch, one.open) for one in self._store.spans.of(EVERYONE, "east")] == [(1, False), (2, True)]

    def test_a_monitor_whose_epoch_has_passed_does_not_go_on_with_its_own_span(self) -> None:
        self._store.spans.extend(self._owner, "east", START, max_gap_s=60)
        self._store.monitors.begin(host="there", pid=2, now=later(1))
        with pytest.raises(Fenced):
            self._store.spans.extend(self._owner, "east", later(15), max_gap_s=60)
        assert self._store.spans.latest()["east"].until == START

    def test_a_clock_that_was_set_back_takes_nothing_from_a_span(self) -> None:
        self._store.spans.extend(self._owner, "east", later(100), max_gap_s=60)
        self._store.spans.extend(self._owner, "east", later(40), max_gap_s=60)
        assert self._store.spans.latest()["east"] == Span("east", later(100), later(100), 1, True)

    def test_each_cloud_has_its_own_spans(self) -> None:
        for cloud in ("east", "west"):
            self._store.spans.extend(self._owner, cloud, START, max_gap_s=60)
        self._store.spans.end(self._owner, "east", START, "x")
        assert {cloud: span.open for cloud, span in self._store.spans.latest().items()} == {
            "east": False,
            "west": True,
        }
