"""Metering's first two steps: usage events and the intervals they fold to."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Dimension(enum.StrEnum):
    """What is measured. ``node`` is the existence of a node, the others are what the monitor used itself."""

    NODE_RUNNING = "node.running"
    """Seconds a node ran (or was paid for as running: pending and rebooting included)."""
    NODE_STOPPED = "node.stopped"
    """Seconds a node existed without running: stopped or suspended."""
    MONITOR_RUNNING = "monitor.running"
    MONITOR_CPU = "monitor.cpu"
    MONITOR_MEMORY = "monitor.memory"
    MONITOR_IO = "monitor.io"
    MONITOR_CALLS = "monitor.calls"


class Mark(enum.StrEnum):
    """What an event says of its dimension."""

    BEGAN = "began"
    ENDED = "ended"
    QUANTITY = "quantity"
    """An amount at an instant, for dimensions that are no duration."""


class UsageEvent(NamedTuple):
    """An append-only statement about usage. The same ``key`` again says nothing new."""

    key: str
    """Idempotency key: ``<token>/<dimension>/<mark>/<instant>`` or the like; equal keys are equal events."""
    tenant: str
    set_uid: str
    """Empty for the monitor's own usage."""
    ordinal: int
    incarnation: int
    cloud: str
    node_id: str
    dimension: Dimension
    mark: Mark
    at: dt.datetime
    quantity: Decimal
    """0 for marks of a duration."""
    evidence: Mapping[str, object]
    """What it rests on: ``source`` (``listing``, ``cloud``, ``command``, ``absence``), the words seen, the intent. Two
    entries count, both of an end: ``missed_at``, from when on nobody knows whether it held, and ``began_at``, when the
    cloud that says when it ended says that it began."""


def node_event(
    *,
    tenant: str,
    set_uid: str,
    ordinal: int,
    incarnation: int,
    cloud: str,
    node_id: str,
    dimension: Dimension,
    mark: Mark,
    at: dt.datetime,
    evidence: Mapping[str, object],
) -> UsageEvent:
    """The event that a node's dimension began or ended at ``at``; its key follows from its content."""
    key = f"{set_uid}/{ordinal}/{incarnation}/{cloud}/{node_id}/{dimension}/{mark}/{at.isoformat()}"
    return UsageEvent(
        key, tenant, set_uid, ordinal, incarnation, cloud, node_id, dimension, mark, at, Decimal(0), evidence
    )


@dataclass(frozen=True, slots=True)
class Span:
    """This cloud was seen whole, healthily, from when to when, by which monitor."""

    cloud: str
    since: dt.datetime
    until: dt.datetime
    epoch: int
    open: bool
    """True while listings extend it; False once a failure ended it."""
    reason: str = ""
    """Why it ended."""


@dataclass(frozen=True, slots=True)
class Interval:
    """``[start, end)`` in whole seconds in which a dimension held."""

    tenant: str
    set_uid: str
    ordinal: int
    incarnation: int
    cloud: str
    node_id: str
    dimension: Dimension
    start: dt.datetime
    end: dt.datetime
    estimated: bool
    """True where no observation span covers it, and no word of the cloud about its beginning and its end."""
    open: bool = False
    """True when no event has ended it yet: ``end`` is the instant of asking."""
    quantity: Decimal = Decimal(0)
    """The amount, for dimensions that are no duration; ``start`` and ``end`` are the same second then."""

    @property
    def seconds(self) -> int:
        return int((self.end - self.start).total_seconds())
