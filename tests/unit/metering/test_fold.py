"""What a node's events come to: one decision table, then the laws as properties against counting second by second."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon import metering
from cloudmon.model.usage import Dimension, Interval, Mark, Span, UsageEvent

T0 = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
NOW = T0 + dt.timedelta(seconds=100)
RUN, STOP = Dimension.NODE_RUNNING, Dimension.NODE_STOPPED


def at(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def event(
    mark: Mark, seconds: float, dimension: Dimension = RUN, *, node: str = "n-1", number: int = 1, **evidence: float
) -> UsageEvent:
    key = f"{node}/{number}/{dimension}/{mark}/{seconds}/{evidence}"
    told = {name: at(instant).isoformat() for name, instant in evidence.items()}
    return UsageEvent(key, "default", "setuid", 3, number, "east", node, dimension, mark, at(seconds), Decimal(0), told)


def began(seconds: float, dimension: Dimension = RUN) -> UsageEvent:
    return event(Mark.BEGAN, seconds, dimension)


def ended(seconds: float, dimension: Dimension = RUN, **evidence: float) -> UsageEvent:
    return event(Mark.ENDED, seconds, dimension, **evidence)


def span(since: float, until: float) -> Span:
    return Span("east", at(since), at(until), 1, open=False)


WATCHED = (span(-10, 100),)


def folded(events: Sequence[UsageEvent], spans: Sequence[Span] = WATCHED, now: dt.datetime = NOW) -> list[Interval]:
    return list(metering.fold(events, lambda cloud: spans, now=now))


def shown(intervals: Sequence[Interval]) -> list[str]:
    """``run 10-20``, with ``~`` where estimated and ``+`` where open."""
    return [
        f"{'run' if found.dimension is RUN else 'stop'} {(found.start - T0).seconds}-{(found.end - T0).seconds}"
        + ("~" if found.estimated else "")
        + ("+" if found.open else "")
        for found in intervals
    ]


TABLE = {
    "began and ended": ([began(10), ended(20)], ["run 10-20"]),
    "began only goes on until now": ([began(10)], ["run 10-100+"]),
    "ended only says nothing": ([ended(20)], []),
    "ended before began goes on until now": ([ended(5), began(10)], ["run 10-100+"]),
    "began twice began at the first": ([began(10), began(15), ended(20)], ["run 10-20"]),
    "ended twice ended at the first": ([began(10), ended(20), ended(30)], ["run 10-20"]),
    "two stretches": ([began(10), ended(20), began(30), ended(40)], ["run 10-20", "run 30-40"]),
    "stopping ends running": ([began(10), began(20, STOP), ended(30, STOP)], ["run 10-20", "stop 20-30"]),
    "starting ends being stopped": ([began(10, STOP), began(20)], ["stop 10-20", "run 20-100+"]),
    "a late end of what was overtaken says nothing": (
        [began(10), began(20, STOP), ended(25), ended(30, STOP)],
        ["run 10-20", "stop 20-30"],
    ),
    "both begun at one instant: it ran": ([began(10), began(10, STOP), ended(20)], ["run 10-20"]),
    "both ended at once, one of them held": ([began(10), ended(20), ended(20, STOP)], ["run 10-20"]),
    "began and ended at one instant cancel out, from nothing": ([began(10), ended(10)], []),
    "began and ended at one instant cancel out, while it ran": (
        [began(10), ended(20), began(20), ended(30)],
        ["run 10-30"],
    ),
    "what lies after now is not counted yet": ([began(10), ended(150)], ["run 10-100+"]),
    "what begins after now is not counted yet": ([began(150)], []),
    "adjacent within one second": ([began(10.2), began(20.7, STOP), ended(30.9, STOP)], ["run 10-20", "stop 20-30"]),
    "within one second comes to none": ([began(10.2), ended(10.9)], []),
}


@pytest.mark.parametrize(("events", "expected"), TABLE.values(), ids=TABLE)
def test_events_of_a_node_come_to(events: list[UsageEvent], expected: list[str]) -> None:
    """Each row of the table, in the order given and in the opposite one."""
    assert expected == shown(folded(events))
    assert expected == shown(folded(events[::-1]))


SPANS = {
    "no span at all": ([], ["run 10-40~"]),
    "covered whole": ([span(0, 50)], ["run 10-40"]),
    "covered to the second": ([span(10, 40)], ["run 10-40"]),
    "a gap within": ([span(0, 20), span(30, 50)], ["run 10-20", "run 20-30~", "run 30-40"]),
    "spans that touch are one": ([span(0, 20), span(20, 50)], ["run 10-40"]),
    "spans that overlap are one": ([span(15, 50), span(0, 20), span(5, 7)], ["run 10-40"]),
    "begins and ends unseen": ([span(20, 30)], ["run 10-20~", "run 20-30", "run 30-40~"]),
    "an empty span covers nothing": ([span(20, 20)], ["run 10-40~"]),
    "spans elsewhere in time": ([span(0, 10), span(40, 50)], ["run 10-40~"]),
    "sub-second spans cover the seconds that end in them": ([span(0, 20.9)], ["run 10-20", "run 20-40~"]),
}


@pytest.mark.parametrize(("spans", "expected"), SPANS.values(), ids=SPANS)
def test_seconds_without_a_span_are_estimated(spans: list[Span], expected: list[str]) -> None:
    """Exactly the seconds that no span covers stand in intervals of their own."""
    assert expected == shown(folded([began(10), ended(40)], spans))


VOUCHED = {
    "nobody watched before the end": ([began(10), ended(40, began_at=10)], [span(0, 20)], ["run 10-40"]),
    "nobody ever watched": ([began(10), ended(40, began_at=10)], [], ["run 10-40"]),
    "an earlier gap stays one": (
        [began(10), ended(40, began_at=10)], [span(0, 15), span(20, 30)], ["run 10-15", "run 15-20~", "run 20-40"],
    ),
    "it began again while nobody watched": (
        [began(10), ended(40, began_at=25)], [span(0, 20)], ["run 10-20", "run 20-25~", "run 25-40"],
    ),
    "it began again after its end": (
        [began(10), ended(40, began_at=45)], [span(0, 20)], ["run 10-20", "run 20-40~"],
    ),
    "it began before anybody knew": ([began(10), ended(40, began_at=2)], [span(0, 20)], ["run 10-40"]),
    "watched to the end": ([began(10), ended(40, began_at=10)], [span(0, 50)], ["run 10-40"]),
    "the end that was seen says nothing after the cloud's": (
        [began(10), ended(40, began_at=10), ended(60)], [span(0, 20), span(60, 90)], ["run 10-40"],
    ),
    "what began after the cloud's end ends when it was seen": (
        [began(50), ended(40, began_at=10), ended(60)], [span(0, 20), span(60, 90)], ["run 50-60~"],
    ),
    "it stood": (
        [began(10), began(15, STOP), ended(40, began_at=10), ended(40, STOP, began_at=10)], [span(0, 20)],
        ["run 10-15", "stop 15-40"],
    ),
    "what was missed is estimated all the same": (
        [began(10), ended(40, began_at=10, missed_at=30)], [span(0, 20)], ["run 10-30", "run 30-40~"],
    ),
    "within one second": ([began(10.2), ended(40.9, began_at=10.2)], [span(0, 20)], ["run 10-40"]),
}  # fmt: skip


@pytest.mark.parametrize(("events", "spans", "expected"), VOUCHED.values(), ids=VOUCHED)
def test_what_nobody_watched_is_known_where_the_cloud_says_when_it_began_and_ended(
    events: list[UsageEvent], spans: list[Span], expected: list[str]
) -> None:
    """Evidence that comes after a gap corrects what the gap alone would leave estimated."""
    assert expected == shown(folded(events, spans))
    assert expected == shown(folded(events[::-1], spans))


def test_an_open_interval_is_open_in_its_last_part_only() -> None:
    """What lies after the cloud's last span is estimated, and alone can still change."""
    assert shown(folded([began(10)], [span(0, 60)])) == ["run 10-60", "run 60-100~+"]


def test_nodes_and_incarnations_are_told_apart() -> None:
    """Two nodes of one incarnation are both counted: a duplicate costs money too."""
    events = [
        event(Mark.BEGAN, 10, node="n-1"), event(Mark.ENDED, 20, node="n-1"),
        event(Mark.BEGAN, 12, node="n-2"),
        event(Mark.BEGAN, 30, node="n-3", number=2),
    ]  # fmt: skip
    found = folded(events)
    assert [(i.node_id, i.incarnation, i.seconds) for i in found] == [("n-1", 1, 10), ("n-2", 1, 88), ("n-3", 2, 70)]


def test_spans_are_asked_once_a_cloud() -> None:
    """A thousand nodes of one cloud read its spans once."""
    asked: list[str] = []

    def spans(cloud: str) -> Sequence[Span]:
        asked.append(cloud)
        return WATCHED

    events = [event(Mark.BEGAN, 10, node=f"n-{number:04}") for number in range(1000)]
    assert len(list(metering.fold(events, spans, now=NOW))) == 1000
    assert asked == ["east"]


def test_the_fold_streams() -> None:
    """An interval comes out before the next node's events are all read."""
    read: list[str] = []

    def events() -> Iterator[UsageEvent]:
        for number in range(10):
            read.append(f"n-{number}")
            yield event(Mark.BEGAN, 10, node=f"n-{number}")

    intervals = metering.fold(events(), lambda cloud: WATCHED, now=NOW)
    assert next(intervals).node_id == "n-0"
    assert read == ["n-0", "n-1"]


# --- a monitor's own usage --------------------------------------------------------------------------------------


def own(mark: Mark, seconds: float, dimension: Dimension, quantity: str = "0") -> UsageEvent:
    key = f"{dimension}/{mark}/{seconds}"
    return UsageEvent(key, "default", "", 0, 7, "", "monitor-a", dimension, mark, at(seconds), Decimal(quantity), {})


def test_a_monitor_is_measured_up_to_its_last_word() -> None:
    """One that was killed said no end: after its last word its time is an estimate."""
    events = [
        own(Mark.QUANTITY, 30, Dimension.MONITOR_CPU, "1.5"),
        own(Mark.QUANTITY, 60, Dimension.MONITOR_CPU, "2.25"),
        own(Mark.BEGAN, 10, Dimension.MONITOR_RUNNING),
    ]
    running = [i for i in folded(events, []) if i.dimension is Dimension.MONITOR_RUNNING]
    assert [(i.seconds, i.estimated, i.open) for i in running] == [(50, False, False), (40, True, True)]


def test_an_amount_counts_once_however_often_it_came() -> None:
    """Equal keys are one event."""
    events = [own(Mark.QUANTITY, 30, Dimension.MONITOR_CALLS, "12")] * 3
    found = folded(events, [])
    assert [(Decimal(12), 0)] == [(i.quantity, i.seconds) for i in found]


# --- properties -------------------------------------------------------------------------------------------------

instants = st.integers(0, 60).map(lambda quarter: quarter / 4)
statements = st.builds(
    event, st.sampled_from([Mark.BEGAN, Mark.ENDED]), instants, st.sampled_from([RUN, STOP]), node=st.just("n-1")
)
vouched = st.builds(event, st.just(Mark.ENDED), instants, st.sampled_from([RUN, STOP]), began_at=instants)
streams = st.lists(statements | vouched, max_size=12)
spans_drawn = st.lists(st.tuples(instants, instants).map(lambda pair: span(min(pair), max(pair))), max_size=5)


def counted(events: Sequence[UsageEvent], spans: Sequence[Span], now: dt.datetime) -> dict[int, tuple[Dimension, bool]]:
    """The law itself, second by second: a second belongs to what held at its end, and was watched if that was, or is
    known backwards from an end that the cloud told of, to what was watched or to the beginning that it told of."""
    said = {(found.at, found.dimension, found.mark) for found in events}
    told: dict[dt.datetime, str] = {}
    for found in events:
        if "began_at" in found.evidence:
            told[found.at] = min(str(found.evidence["began_at"]), told.get(found.at, "9"))
    seconds: dict[int, tuple[Dimension, bool]] = {}
    holds: Dimension | None = None
    since = 0
    for second in range(20):
        for instant in sorted({when for when, _, _ in said if at(second) <= when < at(second + 1) and when <= now}):
            began_now = {d for d in (RUN, STOP) if (instant, d, Mark.BEGAN) in said}
            ended_now = {d for d in (RUN, STOP) if (instant, d, Mark.ENDED) in said}
            before = holds
            if began_now - ended_now:
                holds = RUN if RUN in began_now - ended_now else STOP
            elif holds in ended_now - began_now:
                holds = None
            if holds is before:
                continue
            known = second - 1
            while before and instant in told and known >= since and seconds[known][1]:
                if at(known + 1) <= dt.datetime.fromisoformat(told[instant]):
                    break
                seconds[known] = (before, False)
                known -= 1
            since = second
        watched = any(s.since < at(second + 1) <= s.until for s in spans)
        if holds is not None and at(second + 1) <= now:
            seconds[second] = (holds, not watched)
    return seconds


@given(events=streams, spans=spans_drawn, data=st.data())
def test_any_order_and_any_repetition_come_to_the_same(
    events: list[UsageEvent], spans: list[Span], data: st.DataObject
) -> None:
    """Law 10's half: the bytes do not depend on the order or the count of the same statements."""
    again = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))))
    assert folded(events, spans) == folded(again, data.draw(st.permutations(spans)))


@given(events=streams, spans=spans_drawn, now=instants.map(lambda found: at(found + 2)))
def test_each_second_is_counted_once_and_estimated_exactly_where_no_span_covers_it(
    events: list[UsageEvent], spans: list[Span], now: dt.datetime
) -> None:
    """Law 3, against counting second by second."""
    found: list[tuple[int, tuple[Dimension, bool]]] = []
    for interval in folded(events, spans, now):
        assert interval.seconds > 0
        first = int((interval.start - T0).total_seconds())
        found += [(first + n, (interval.dimension, interval.estimated)) for n in range(interval.seconds)]
    assert len(found) == len(dict(found))
    assert counted(events, spans, now) == dict(found)


@given(events=streams, spans=spans_drawn)
def test_intervals_are_disjoint_and_in_order(events: list[UsageEvent], spans: list[Span]) -> None:
    """Each begins where the one before it ended, or later; only the last one can go on."""
    found = folded(events, spans)
    for before, after in itertools.pairwise(found):
        assert before.end <= after.start
    assert [i for i in found if i.open] == [i for i in found[-1:] if i.open]


@given(events=streams, spans=spans_drawn, cut=st.integers(0, 100).map(at))
def test_clipping_at_an_instant_loses_and_doubles_nothing(
    events: list[UsageEvent], spans: list[Span], cut: dt.datetime
) -> None:
    """What lies before an instant and what lies after it add up to the whole."""
    whole = folded(events, spans)
    parts = [*metering.clip(whole, None, cut), *metering.clip(whole, cut, None)]
    for by in metering.By:
        added = [(t.dimension, t.measured_s, t.estimated_s) for t in metering.totals(parts, by)]
        assert [(t.dimension, t.measured_s, t.estimated_s) for t in metering.totals(whole, by)] == added
