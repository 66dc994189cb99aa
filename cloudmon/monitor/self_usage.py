"""The monitor meters itself the same way: the time it ran, processor, memory, I/O, and calls to clouds."""

from __future__ import annotations

import datetime as dt
import resource
from collections.abc import Callable, Mapping
from decimal import Decimal

from cloudmon.clock import Clock
from cloudmon.model.identity import DEFAULT_TENANT
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.store import MonitorRow, Ownership, Store

WRITE_EVERY_S = 300
"""Seconds between two writes: often enough for a bill, seldom enough to leave quiet ticks quiet."""


class Meter:
    """Usage of one monitor, by its epoch.

    Arguments:
        store: where usage is written.
        owner: whose usage it is.
        clock: what tells the time.
        calls: calls made to each cloud so far.
    """

    def __init__(self, store: Store, owner: Ownership, clock: Clock, *, calls: Callable[[], Mapping[str, int]]) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._calls = calls
        self._written_at: dt.datetime | None = None
        self._before: dict[tuple[Dimension, str], Decimal] = {}

    def begin(self, now: dt.datetime) -> None:
        """The monitor began to run. What it uses from here on is written for the first time after its first tick."""
        self._before = dict(self._totals())
        self._store.usage.add(self._owner, [self._event(Dimension.MONITOR_RUNNING, Mark.BEGAN, now)], now)

    def close_predecessor(self, before: MonitorRow | None, now: dt.datetime) -> None:
        """End the running time of a monitor that was killed, at the last instant that it was seen to work."""
        if before is None or before.ended_at is not None:
            return
        ends = [span.until for span in self._store.spans.latest().values() if span.epoch == before.epoch]
        at = min(now, max([before.started_at, *ends]))
        event = _event(before.epoch, Dimension.MONITOR_RUNNING, Mark.ENDED, at, "", Decimal(0))
        self._store.usage.add(self._owner, [event], now)

    def write(self, *, force: bool = False) -> None:
        """Write what was used since the last time, when that is long enough ago."""
        now = self._clock.now()
        since = self._written_at
        if not force and since is not None and 0 <= (now - since).total_seconds() < WRITE_EVERY_S:
            return
        totals = dict(self._totals())
        events = []
        for (dimension, cloud), total in totals.items():
            # Memory is what it holds, all others are what was added since.
            known = Decimal(0) if dimension is Dimension.MONITOR_MEMORY else self._before.get((dimension, cloud))
            used = total - (known or Decimal(0))
            if used:
                events.append(_event(self._owner.epoch, dimension, Mark.QUANTITY, now, cloud, used))
        if events:
            self._store.usage.add(self._owner, events, now)
        # What the store did not take is written with what comes after it.
        self._written_at, self._before = now, totals

    def end(self) -> None:
        """The monitor ends in good order."""
        self.write(force=True)
        now = self._clock.now()
        self._store.usage.add(self._owner, [self._event(Dimension.MONITOR_RUNNING, Mark.ENDED, now)], now)

    def _event(self, dimension: Dimension, mark: Mark, at: dt.datetime) -> UsageEvent:
        return _event(self._owner.epoch, dimension, mark, at, "", Decimal(0))

    def _totals(self) -> Mapping[tuple[Dimension, str], Decimal]:
        """Processor seconds, resident bytes, blocks of I/O (512 bytes) and calls by cloud, since the process began."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        totals = {
            (Dimension.MONITOR_CPU, ""): Decimal(f"{used.ru_utime + used.ru_stime:.3f}"),
            (Dimension.MONITOR_MEMORY, ""): Decimal(used.ru_maxrss * 1024),
            (Dimension.MONITOR_IO, ""): Decimal(used.ru_inblock + used.ru_oublock),
        }
        for cloud, count in self._calls().items():
            totals[(Dimension.MONITOR_CALLS, cloud)] = Decimal(count)
        return totals


def _event(epoch: int, dimension: Dimension, mark: Mark, at: dt.datetime, cloud: str, quantity: Decimal) -> UsageEvent:
    key = f"monitor/{epoch}/{dimension}/{cloud}/{mark}/{at.isoformat()}"
    return UsageEvent(
        key, DEFAULT_TENANT, "", 0, epoch, cloud, f"monitor-{epoch}", dimension, mark, at, quantity, {"epoch": epoch}
    )
