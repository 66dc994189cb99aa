"""The service: a monitor's jobs on an engine, until it is told to stop."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import structlog

from cloudmon.engine.local import LocalEngine
from cloudmon.engine.workers import ThreadedWorkers
from cloudmon.errors import Fenced, StoreUnavailable
from cloudmon.model.guests import Report
from cloudmon.model.health import CloudHealth, HealthView, StoreHealth
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.courier import Courier
from cloudmon.monitor.hints import Hints
from cloudmon.monitor.listening import Listeners
from cloudmon.monitor.probing import Prober
from cloudmon.monitor.service import Service
from cloudmon.settings import MonitorSettings

_log = structlog.get_logger(__name__)

REQUESTS_S = 1.0
"""Seconds between two looks for new requests: what a person waits for is begun within this."""

COMMANDS_S = 2.0
"""Seconds between two looks at commands that clouds perform."""

EVENTS_S = 5.0
"""Seconds between two looks at what clouds told of; what they tell is looked at as it comes."""

ATTEND_S = 1.0
"""Seconds between two looks at appliances whose time has come; reports are looked at as they come."""

NOTIFY_S = 1.0
"""Seconds between two looks whether anybody is to be told; where nothing happened nothing is read."""

WATCH_S = 5.0
"""Seconds between two looks at calls that hang, and at the lock on the store."""

DRAIN_SHARE = 0.6
"""Part of the drain time that is given to the jobs; the rest is for the last words and for letting go
of the store."""


def late_after_s(monitor: MonitorSettings) -> float:
    """How long no tick may have ended well before health says so: two may fail, the third may come as late as jitter
    lets it, and look at clouds that do not answer."""
    return (3 + monitor.poll_jitter) * monitor.poll_interval_s + 2 * monitor.call_timeout_s


class Serving:
    """Runs one monitor as a service. Made and run once.

    Arguments:
        service: entered already; its ownership is taken here.
        engine: what runs the jobs; None makes one of threads. Replaced where time is told.
    """

    def __init__(self, service: Service, engine: LocalEngine | None = None) -> None:
        self._service = service
        self._clock = service.clock
        self._engine = engine or LocalEngine(service.clock, drain_s=service.settings.monitor.drain_s * DRAIN_SHARE)
        self._stop = threading.Event()
        self._ended: Exception | None = None
        self._away_since: dt.datetime | None = None
        self._away = ""
        self._noted: frozenset[str] = frozenset()
        self._due: dt.datetime | None = None
        """When a tick is worth while before its interval is over."""
        self._edited = False
        """Whether the settings file had changed at the last look."""
        self._prober: Prober | None = None
        self._hints: Hints | None = None
        self._courier: Courier | None = None
        self._listeners = Listeners(service.make_provider, self._hinted, service.clock)
        self._started_at = service.clock.now()

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set.

        Raises:
            MonitorAlreadyRuns: at once, when another monitor holds the store.
            Fenced: when another monitor took the estate over while this one ran.
        """
        self._stop = stop
        service = self._service
        service.begin()
        monitor = service.settings.monitor
        late_s = late_after_s(monitor)
        self._engine.every("tick", monitor.poll_interval_s, self._tick, late_after_s=late_s, jitter=monitor.poll_jitter)
        self._engine.every("requests", REQUESTS_S, self._look_for_work, late_after_s=late_s + 2 * REQUESTS_S)
        self._engine.every("attend", ATTEND_S, self._attend, late_after_s=late_s + 2 * ATTEND_S)
        self._engine.every("notify", NOTIFY_S, self._tell, late_after_s=late_s + 2 * NOTIFY_S)
        self._engine.every("events", EVENTS_S, self._look_at_hints, late_after_s=late_s + 2 * EVENTS_S)
        self._engine.every("commands", COMMANDS_S, self._carry, late_after_s=late_s + 2 * COMMANDS_S)
        self._engine.every("watch", WATCH_S, self._watch, late_after_s=60.0)
        self._probe()
        self._courier = Courier(service.monitor)
        self._hints = Hints(service.monitor, lambda: self._engine.nudge("tick"))
        # What waits for its turn must not hold up the end: it is given back as soon as the end is asked for.
        threading.Thread(target=self._let_go, name="let go", daemon=True).start()
        _log.info("the monitor runs", epoch=service.monitor.owner.epoch, store=service.store.url_shown)
        self._engine.run(stop)
        _log.info("the monitor ends")
        if self._ended is not None:
            raise self._ended

    def beside(self, name: str, interval_s: float, job: Callable[[], None], *, late_after_s: float) -> None:
        """Run another job beside the monitor's own, watched as they are. Call before :meth:`run`."""
        self._engine.every(name, interval_s, job, late_after_s=late_after_s)

    def heard(self, reports: Sequence[Report]) -> None:
        """These reports are in the store: what they show is attended to at once. From any thread; returns at once."""
        insides = self._service.monitor.insides
        if insides is not None:
            insides.heard(reports)
            self._engine.nudge("attend")

    def _probe(self) -> None:
        """Appliances are asked over the network from now on, as soon as some template says how."""
        insides = self._service.monitor.insides
        if insides is None:
            return

        def told(appliances: Collection[ApplianceId]) -> None:
            insides.answered(appliances)
            self._engine.nudge("attend")

        insides.outside = self._prober = Prober(self._clock, told)

    def _hinted(self, cloud: str, node_ids: Collection[str]) -> None:
        if self._hints is not None and self._hints.put(cloud, node_ids):
            self._engine.nudge("events")

    def health(self) -> HealthView:
        """How the service is doing now."""
        service = self._service
        workers = service.workers.health() if isinstance(service.workers, ThreadedWorkers) else ()
        monitor = service.monitor if service.began else None
        journal = monitor.journal if monitor is not None else None
        return HealthView(
            at=self._clock.now(),
            jobs=self._engine.health(),
            workers=workers,
            clouds=self._clouds_health(),
            notifiers=service.notifiers_health(),
            store=StoreHealth(
                service.store.url_shown,
                reachable=not self._away,
                error=self._away,
                away_since=self._away_since,
                journal_bytes=journal.size if journal is not None else 0,
                journal_dropped=journal.dropped if journal is not None else 0,
            ),
            estate=service.store.estate,
            monitor_id=monitor.owner.monitor_id if monitor is not None else "",
            epoch=monitor.owner.epoch if monitor is not None else 0,
            started_at=self._started_at,
            fenced=isinstance(self._ended, Fenced),
        )

    def _clouds_health(self) -> tuple[CloudHealth, ...]:
        deaf = self._listeners.errors()
        return tuple(replace(found, events_error=deaf.get(found.cloud, "")) for found in self._service.clouds_health())

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        try:
            report = self._service.tick()
        except Fenced as error:
            # Somebody newer owns the estate: this one changes nothing more, and says so.
            self._end(error)
            return
        self._keep_time()
        self._listen()
        self._note_away(report.store_away)
        # What changed may make something due at once, and what was done may be seen already; what waits for an instant
        # need not wait for the interval too.
        self._due = self._clock.now() if report.again else report.next_at
        for note in report.notes:
            # Said once, not every few seconds for as long as it holds.
            if note not in self._noted:
                _log.warning("noted", note=note)
        self._noted = frozenset(report.notes)
        if report.performed or report.failed:
            _log.info("acted", performed=report.performed, failed=report.failed)
        if not report.store_away:
            self._service.meter.write()

    def _keep_time(self) -> None:
        """Tick as the settings say now: they may be others than before the tick."""
        monitor = self._service.settings.monitor
        late_s = late_after_s(monitor)
        self._engine.reschedule("tick", monitor.poll_interval_s, late_after_s=late_s, jitter=monitor.poll_jitter)
        self._engine.reschedule("requests", REQUESTS_S, late_after_s=late_s + 2 * REQUESTS_S)

    def _attend(self) -> None:
        try:
            begun = self._service.monitor.attend()
        except Fenced as error:
            self._end(error)
            return
        except StoreUnavailable:
            return  # the tick says so; the same is looked at again
        if begun:
            _log.info("attended", begun=begun)
        insides = self._service.monitor.insides
        if insides is not None and insides.behind:
            self._engine.nudge("attend")

    def _tell(self) -> None:
        try:
            answered = self._service.tell()
        except Fenced as error:
            self._end(error)
            return
        if answered:
            self._engine.nudge("tick")

    def _look_at_hints(self) -> None:
        """Nodes that their cloud told of are read, and what follows is done."""
        try:
            begun = self._hints.look() if self._hints is not None else 0
        except Fenced as error:
            self._end(error)
            return
        except StoreUnavailable:
            return  # the tick says so, and sees what this look did not
        if begun:
            _log.info("attended to events", begun=begun)

    def _carry(self) -> None:
        """Commands that clouds perform go there, and their results come back."""
        try:
            if self._courier is not None:
                self._courier.round()
        except Fenced as error:
            self._end(error)
        except StoreUnavailable:
            return  # the tick says so; the next round does the same again

    def _note_away(self, away: str) -> None:
        if away and not self._away:
            self._away_since = self._clock.now()
        elif not away:
            self._away_since = None
        self._away = away

    def _look_for_work(self) -> None:
        """Somebody asks for something, something fell due, or the settings are others: tick without waiting for the
        interval."""
        # Who writes the file may not be done yet: it has to have changed at two looks.
        before, self._edited = self._edited, self._service.file_changed()
        if before and self._edited:
            self._edited = False
            self._engine.nudge("tick")
            return
        try:
            pending = self._service.store.requests.pending(EVERYONE)
        except StoreUnavailable:
            return
        due = self._due is not None and self._clock.now() >= self._due
        if pending or due:
            self._due = None
            self._engine.nudge("tick")

    def _watch(self) -> None:
        workers = self._service.workers
        if isinstance(workers, ThreadedWorkers):
            workers.watch()
        if not self._service.lock_held():
            self._end(Fenced("the lock on the store was lost; another monitor may own the estate now"))

    def _listen(self) -> None:
        """Listen to every cloud that tells of events, as the last tick found them."""
        views, clouds = self._service.monitor.views, self._service.settings.clouds
        telling = {cloud for cloud, view in views.items() if "wait_events" in view.verbs}
        # While a cloud is not seen nobody knows its verbs: it is listened to on, if it was.
        telling |= {cloud for cloud, view in views.items() if not view.healthy and cloud in self._listeners.clouds}
        self._listeners.follow({cloud: clouds[cloud] for cloud in telling & clouds.keys()})

    def _end(self, error: Exception) -> None:
        _log.error("this monitor must change nothing more", error=str(error))
        self._ended = error
        self._stop.set()

    def _let_go(self) -> None:
        self._stop.wait()
        self._service.drain()
        self._listeners.close()
        if self._prober is not None:
            self._prober.close(self._service.settings.monitor.drain_s * DRAIN_SHARE)
