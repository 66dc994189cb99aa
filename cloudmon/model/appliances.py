"""The appliance state table's row, incarnations (the resource aggregation table) and history."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cloudmon.model.identity import ApplianceId


class ApplianceState(enum.StrEnum):
    """Where an appliance stands. Unknown and stale are not among them: they are the quality of the view."""

    REQUESTED = "requested"
    """Wanted; no node, and none on its way."""
    LAUNCHING = "launching"
    """A launch is recorded; its node has not been seen running."""
    RUNNING = "running"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    ISOLATED = "isolated"
    """Its node runs, is paid for as such, and nothing comes in or goes out."""
    FAULTED = "faulted"
    """Its node is there and not well; the ladder works on it."""
    RETIRING = "retiring"
    RETIRED = "retired"


class Power(enum.StrEnum):
    """What an appliance is wanted to be."""

    RUNNING = "running"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    ISOLATED = "isolated"


class Cause(enum.StrEnum):
    """Why an appliance's state changed."""

    COMMANDED = "commanded"
    FAULT = "fault"
    CLOUD_OUTAGE = "cloud-outage"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


class Member(NamedTuple):
    """One row of the appliance state table. A named tuple: a hundred thousand are read in each tick.

    The columns of the current incarnation (``token`` … ``node_id``) repeat its row, so that a tick reads one table.
    """

    set_uid: str
    ordinal: int
    tenant: str
    state: ApplianceState
    since: dt.datetime
    wanted: Power
    incarnation: int
    """0 before the first launch."""
    token: str
    """Text of the current incarnation's token; empty before the first launch."""
    cloud: str
    """Empty before the first launch."""
    location: str
    node_id: str
    """Empty until the cloud named it."""
    rung: int
    """Rungs of the ladder taken for the present fault; a node that was lost, or turned off, unasked is one."""
    attempts: int
    """Failed actions since the last success."""
    retry_at: dt.datetime | None
    """Nothing automatic before this instant."""

    @property
    def id(self) -> ApplianceId:
        return ApplianceId(self.set_uid, self.ordinal)


class IncarnationState(enum.StrEnum):
    """Where one incarnation stands."""

    OPENING = "opening"
    """Its create call is recorded; a node may or may not exist."""
    LIVE = "live"
    ENDING = "ending"
    """To be terminated, and tried until its absence is seen."""
    ENDED = "ended"
    FAILED = "failed"
    """The cloud definitely refused it: no node ever was."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One row of the resource aggregation table: what stood behind an appliance, from when to when."""

    set_uid: str
    ordinal: int
    number: int
    tenant: str
    state: IncarnationState
    token: str
    cloud: str
    location: str
    size: str
    image: str
    node_id: str
    public_addresses: Sequence[str]
    private_addresses: Sequence[str]
    offer: Mapping[str, str]
    """The offer as it was: ``price_per_hour``, ``currency``, ``source``, ``dated`` (absent when unknown), ``spot``."""
    opened_at: dt.datetime
    since: dt.datetime | None
    """When its node began to run; None while it never did."""
    until: dt.datetime | None
    """When it ended; None while it may still be there."""
    last_call_at: dt.datetime | None
    """When a call that could make or end its node was last begun; absence proves nothing before it plus the lag."""
    cause: Cause | None
    """Why it ended."""
    user_data: str | None = None
    """SHA-256 of the template's user data that it was asked for with, as :meth:`Template.user_data_hash` makes it;
    None where that is not known."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of an appliance's state."""

    set_uid: str
    ordinal: int
    at: dt.datetime
    previous: ApplianceState | None
    state: ApplianceState
    cause: Cause
    reason: str
    evidence: Mapping[str, object]
