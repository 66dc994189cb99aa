"""Events -> intervals, streaming: one node's events are in memory at a time, however many there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from operator import itemgetter

from cloudmon.metering import timeline
from cloudmon.metering.seconds import Coverage, Part, floor
from cloudmon.model.usage import Interval, Span, UsageEvent

WHOSE = slice(UsageEvent._fields.index("set_uid"), UsageEvent._fields.index("node_id") + 1)
"""Set uid, ordinal, incarnation, cloud and node: what tells one node's events from the next one's."""


def fold(
    events: Iterable[UsageEvent], spans: Callable[[str], Sequence[Span]], *, now: dt.datetime
) -> Iterator[Interval]:
    """The intervals that ``events`` come to, as of ``now``.

    Arguments:
        events: those of one node together (as ``store.usage.events`` gives them); among themselves in any order and
            any number of times.
        spans: the observation spans of a cloud, in any order; asked once a cloud.
        now: where open intervals end; what lies after it is not counted yet.

    Each second that a node ran or stood is in exactly one interval of its (incarnation, cloud, node), and so is each
    second that a monitor ran. Where no span covers it, it is in an interval of its own, marked as estimated, unless
    the cloud itself said that the node began before it and ended at its end; a monitor's own time is measured up to
    the last thing it said. Intervals of a node come in order of time, amounts after them.
    """
    watched: dict[str, Coverage] = {}
    for _, together in groupby(events, key=itemgetter(WHOSE)):
        mine = iter(together)
        first = next(mine)
        said = timeline.statements(chain((first,), mine), now)
        if said.node:
            if first.cloud not in watched:
                watched[first.cloud] = Coverage((span.since, span.until) for span in spans(first.cloud))
            stretches = _stretches(first, said.node, watched[first.cloud], now, said.vouched)
            yield from _unsure(stretches, said.unsure)
        if said.monitor:
            yield from _stretches(first, said.monitor, Coverage([said.ends]), now, {})
        if said.amounts:
            yield from _amounts(first, said.amounts)


def _stretches(
    whose: UsageEvent,
    said: Sequence[timeline.Statement],
    watched: Coverage,
    now: dt.datetime,
    vouched: Mapping[dt.datetime, dt.datetime],
) -> Iterator[Interval]:
    for dimension, since, until in timeline.held(said):
        end = floor(until or now)
        parts: Iterable[Part] = watched.split(floor(since), end)
        if until is not None and until in vouched:
            parts = _known(list(parts), floor(vouched[until]))
        for start, stop, estimated in parts:
            yield Interval(
                whose.tenant, whose.set_uid, whose.ordinal, whose.incarnation, whose.cloud, whose.node_id,
                dimension, start, stop, estimated, until is None and stop == end,
            )  # fmt: skip


def _known(parts: list[Part], began: dt.datetime) -> list[Part]:
    """The same parts, the last of which is known from ``began`` on: the cloud says that it began then, and when it
    ended."""
    if not parts or not parts[-1][2] or began >= parts[-1][1]:
        return parts
    start, stop, _ = parts.pop()
    if start < began:
        return [*parts, (start, began, True), (began, stop, False)]
    # It goes on where watching ended.
    since = parts.pop()[0] if parts else start
    return [*parts, (since, stop, False)]


def _unsure(intervals: Iterator[Interval], unsure: Sequence[tuple[dt.datetime, dt.datetime]]) -> Iterator[Interval]:
    """The same intervals, estimated from the instants on at which the node was missed."""
    if not unsure:
        return intervals
    return (part for interval in intervals for part in _cut(interval, unsure))


def _cut(interval: Interval, unsure: Sequence[tuple[dt.datetime, dt.datetime]]) -> Iterator[Interval]:
    for since, until in unsure:
        start, end = max(interval.start, floor(since)), min(interval.end, floor(until))
        if interval.estimated or start >= end:
            continue
        if interval.start < start:
            yield replace(interval, end=start, open=False)
        yield replace(interval, start=start, end=end, estimated=True, open=False)
        if end == interval.end:
            return
        interval = replace(interval, start=end)  # what is left of it
    yield interval


def _amounts(whose: UsageEvent, said: Iterable[timeline.Statement]) -> Iterator[Interval]:
    for at, dimension, _, quantity in said:
        yield Interval(
            whose.tenant, whose.set_uid, whose.ordinal, whose.incarnation, whose.cloud, whose.node_id,
            dimension, floor(at), floor(at), False, quantity=quantity,
        )  # fmt: skip
