"""Intervals -> seconds and amounts per appliance, set, tenant, cloud or monitor. Money comes later."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from cloudmon.metering import timeline
from cloudmon.model.usage import Dimension, Interval


class By(enum.StrEnum):
    """What usage is added up by."""

    APPLIANCE = "appliance"
    SET = "set"
    TENANT = "tenant"
    CLOUD = "cloud"
    MONITOR = "monitor"
    """The monitors' own usage, and nothing else; the other ways leave it out."""


@dataclass(frozen=True, slots=True)
class Total:
    """What one subject used of one dimension. Fields that are added up over are empty, ``ordinal`` 0."""

    tenant: str
    set_uid: str
    ordinal: int
    cloud: str
    monitor: str
    dimension: Dimension
    measured_s: int
    """Seconds that an observation span covers."""
    estimated_s: int
    """Seconds that none covers; never a part of ``measured_s``."""
    quantity: Decimal
    open: bool
    """True when some of it still goes on."""


LEVELS = frozenset({Dimension.MONITOR_MEMORY})
"""Amounts that say how much was held, not how much was added: of these the largest counts."""

Subject = tuple[str, str, int, str, str]


def clip(intervals: Iterable[Interval], since: dt.datetime | None, until: dt.datetime | None) -> Iterator[Interval]:
    """What of ``intervals`` lies in ``[since, until)``; None leaves that side open. Amounts count where they stand."""
    for interval in intervals:
        if interval.start == interval.end:
            if (since is None or since <= interval.start) and (until is None or interval.start < until):
                yield interval
            continue
        start = interval.start if since is None else max(since, interval.start)
        end = interval.end if until is None else min(until, interval.end)
        if start < end:
            yield replace(interval, start=start, end=end, open=interval.open and end == interval.end)


def totals(intervals: Iterable[Interval], by: By) -> Sequence[Total]:
    """Measured and estimated seconds, and amounts, per subject and dimension; in the order of the subjects.

    Keeps one total a subject, never an interval.
    """
    sums: dict[tuple[Subject, Dimension], tuple[int, int, Decimal, bool]] = {}
    for interval in intervals:
        whole = interval.dimension in timeline.NODE
        if whole is (by is By.MONITOR):
            continue
        key = (_subject(interval, by), interval.dimension)
        measured, estimated, quantity, ongoing = sums.get(key, (0, 0, Decimal(0), False))
        if interval.estimated:
            estimated += interval.seconds
        else:
            measured += interval.seconds
        if interval.dimension in LEVELS:
            quantity = max(quantity, interval.quantity)
        else:
            quantity += interval.quantity
        sums[key] = (measured, estimated, quantity, ongoing or interval.open)
    return [Total(*subject, dimension, *found) for (subject, dimension), found in sorted(sums.items())]


def _subject(interval: Interval, by: By) -> Subject:
    if by is By.APPLIANCE:
        return (interval.tenant, interval.set_uid, interval.ordinal, "", "")
    if by is By.SET:
        return (interval.tenant, interval.set_uid, 0, "", "")
    if by is By.TENANT:
        return (interval.tenant, "", 0, "", "")
    if by is By.CLOUD:
        return ("", "", 0, interval.cloud, "")
    # A monitor's node is its id; which of its calls went to which cloud is kept apart.
    return ("", "", 0, interval.cloud, interval.node_id)
