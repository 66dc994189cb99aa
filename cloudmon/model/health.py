"""What the running monitor says of itself; what ``/healthz`` shows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One periodic job of the engine."""

    name: str
    interval_s: float
    late_after_s: float
    late: bool
    """True when it has not ended well for ``late_after_s``: never started, still running, or failing each time."""
    running_since: dt.datetime | None = None
    last_success_at: dt.datetime | None = None
    last_failure_at: dt.datetime | None = None
    last_error: str = ""
    runs: int = 0
    """Runs that have ended, well or not."""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class WorkersHealth:
    """The workers of one cloud."""

    cloud: str
    threads: int
    busy: int
    queued: int
    stuck: int
    """Calls that were given up because they did not return; their threads are lost until they do."""


@dataclass(frozen=True, slots=True)
class CloudHealth:
    """What is known of talking to one cloud."""

    cloud: str
    last_listing_at: dt.datetime | None = None
    """When the last whole listing ended."""
    last_error: str = ""
    last_error_at: dt.datetime | None = None
    calls: int = 0
    throttled: int = 0
    paused_until: dt.datetime | None = None
    """Until when no call is made because the cloud asked us to slow down."""
    events_error: str = ""
    """Why its events are not heard now; empty while they are, and where it tells of none."""


@dataclass(frozen=True, slots=True)
class NotifierHealth:
    """What is known of telling somebody through one notifier."""

    name: str
    kind: str
    failing: bool
    """True when the last try failed."""
    pending: int = 0
    """Deliveries that have not come to their end, at the last look."""
    dead: int = 0
    """Deliveries that were given up since this monitor began."""
    last_sent_at: dt.datetime | None = None
    last_error: str = ""
    last_error_at: dt.datetime | None = None
    paused_until: dt.datetime | None = None
    """Until when nothing is handed to it, because it does not answer or asked to wait."""


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The memory outside the cloud."""

    url_shown: str
    """Without its password."""
    reachable: bool
    error: str = ""
    away_since: dt.datetime | None = None
    journal_bytes: int = 0
    journal_dropped: int = 0
    """Listings whose nodes the full journal had to drop."""


@dataclass(frozen=True, slots=True)
class HealthView:
    """All of it at one instant."""

    at: dt.datetime
    jobs: tuple[JobHealth, ...] = ()
    workers: tuple[WorkersHealth, ...] = ()
    clouds: tuple[CloudHealth, ...] = ()
    notifiers: tuple[NotifierHealth, ...] = ()
    store: StoreHealth | None = None
    """None while it is being opened."""
    estate: str = ""
    monitor_id: str = ""
    epoch: int = 0
    """0 before this monitor owns the estate."""
    started_at: dt.datetime | None = None
    fenced: bool = False
    """True once a newer monitor owns the estate."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why this monitor does not do its work, one sentence each; empty when it does.

        A cloud or a notifier that fails is no trouble of the monitor: it is shown, and dealt with.
        """
        found = [
            f"Job {job.name} is late: nothing ended well for {job.late_after_s:g} s." for job in self.jobs if job.late
        ]
        if self.store is not None and not self.store.reachable:
            found.append("The store is away: observing into the journal, acting on nothing.")
        if self.fenced:
            found.append("A newer monitor owns the estate: this one changes nothing.")
        return tuple(found)
