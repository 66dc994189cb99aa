"""Puts a monitor together from settings: for one plan, for the ticks of a command, or as a service."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from cloudmon import logs, plugins
from cloudmon.clock import Clock, SystemClock
from cloudmon.engine.workers import ThreadedWorkers, Workers
from cloudmon.errors import SettingsError, StoreError, StoreUnavailable
from cloudmon.model.health import CloudHealth, NotifierHealth
from cloudmon.monitor import forecast, reporting, self_usage
from cloudmon.monitor import wanted as wanting
from cloudmon.monitor.act import Boot, as_it_is
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.monitor.journal import Journal
from cloudmon.monitor.line import Line
from cloudmon.monitor.pace import Allowance, Pace, Paced
from cloudmon.monitor.policy import policy_of
from cloudmon.monitor.pricing import Pricing
from cloudmon.monitor.reports import PlanReport, TickReport
from cloudmon.monitor.tick import Monitor
from cloudmon.provider import Provider
from cloudmon.reconcile import putback
from cloudmon.settings import (
    MonitorSettings,
    Settings,
    SettingsFile,
    log_key,
    secrets_of,
)
from cloudmon.store import Lock, Missing, Ownership, Store, open_store

if TYPE_CHECKING:
    from cloudmon.monitor.herald import Herald

_log = structlog.get_logger(__name__)

LEAVING_SHARE = 0.8
"""Part of the drain time in which a monitor that was told to end has left; the rest is the process's own end."""

LAST_TOLD_S = 1.0
"""How long the end waits for what is being told."""

TIDY = dt.timedelta(hours=1)
"""Between two times at which old reports are forgotten."""

AT_START = ("state_dir", "health_address", "health_port", "log_format", "log_level", "drain_s", "journal_mib")
"""Keys of ``[monitor]`` that a running service does not take over."""


def _stuck_after_s(monitor: MonitorSettings) -> float:
    """How long a call may take before it is given up: libraries may try again, and time each try."""
    return monitor.call_timeout_s * 4


def _differ(one: MonitorSettings, other: MonitorSettings, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


class Service:
    """One monitor on one store. A context manager: leaving it ends the monitor's ownership and lets go of the store.

    Arguments:
        settings: what it is told.
        clock: what tells the time.
        file: where the settings came from, when they may change; None when they never do.
        workers: who makes the calls; None makes threads as the settings say.
        boot: completes the user data of nodes.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        file: SettingsFile | None = None,
        workers: Workers[Provider] | None = None,
        boot: Boot = as_it_is,
    ) -> None:
        self._boot = boot
        self._tidied_at: dt.datetime | None = None
        self.settings = settings
        self.clock = clock
        self._file = file
        self._paces: dict[str, Pace] = {}
        self._stop = threading.Event()
        self._leave_by: float | None = None
        self._exit = ExitStack()
        self._given = workers
        self._monitor: Monitor | None = None
        self._herald: Herald | None = None
        self._lock: Lock | None = None
        self.store: Store
        self.workers: Workers[Provider]
        self.pricing: Pricing

    def __enter__(self) -> Self:
        try:
            self.store = self._open_store()
            self._exit.callback(self.store.close)
            self.workers = self._given or self._threads()
            self._exit.callback(lambda: self.workers.close(self._left_s()))
            self.pricing = Pricing(self.store, self.workers)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._exit.close()

    # --- parts ------------------------------------------------------------------------------------------------------

    def _open_store(self) -> Store:
        state_dir = Path(self.settings.monitor.state_dir)
        return open_store(
            self.settings.store.url_with_password,
            log_key=log_key(self.settings),
            anchor_dir=state_dir / "anchors",
            now=self.clock.now(),
        )

    def _threads(self) -> Workers[Provider]:
        monitor = self.settings.monitor
        return ThreadedWorkers(
            self.make_provider,
            self.settings.clouds,
            clock=self.clock,
            workers_per_cloud=monitor.workers_per_cloud,
            stuck_after_s=_stuck_after_s(monitor),
        )

    def make_provider(self, cloud: str) -> Provider:
        """A new provider of one cloud for the calling thread, kept to the cloud's pace."""
        found = self.settings.clouds[cloud]
        factory = plugins.provider(found.provider)
        provider = factory(
            cloud,
            self.settings.options(cloud),
            now=self.clock.now,
            timeout_s=self.settings.monitor.call_timeout_s,
        )
        return Paced(provider, self.pace(cloud))

    def pace(self, cloud: str) -> Pace:
        """The pace of one cloud, shared by all its workers."""
        pace = self._paces.get(cloud)
        if pace is None:
            pace = self._paces.setdefault(cloud, Pace(cloud, self.clock, self._allowance(cloud), stop=self._stop))
        return pace

    def _allowance(self, cloud: str) -> Allowance:
        found = self.settings.clouds[cloud]
        return Allowance(found.calls_per_s, found.burst, patience_s=self.settings.monitor.call_timeout_s)

    # --- looking without touching -------------------------------------------------------------------------------------

    def plan(self) -> PlanReport:
        """What a tick would do now: clouds are looked at, nothing is written and nothing is done."""
        now = self.clock.now()
        policy = policy_of(self.settings, now.date())
        view = policy.view
        found = wanting.merge(
            self.store, self.settings.author, view.specs if view else (), limits=policy.limits, confirmed=False, now=now
        )
        seen = forecast.forecast(self.store, self.workers, self.clock, policy, found, now)
        held = (f"{self.settings.author}: {found.held}",) if found.held else ()
        return PlanReport((*reporting.wanted_rows(found), *seen.rows), (*held, *found.foreign, *seen.notes), seen.waits)

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def monitor(self) -> Monitor:
        """The monitor, once :meth:`begin` made one."""
        if self._monitor is None:
            raise AssertionError("begin() comes first")
        return self._monitor

    def begin(self, *, confirmed: bool = False) -> Monitor:
        """Take the store for this monitor alone and open a new epoch.

        Arguments:
            confirmed: a person said that what the settings ask for is meant, even where it is suddenly much less.

        Raises:
            MonitorAlreadyRuns: another one holds the store; the sentence names it and the way out.
        """
        if self._monitor is not None:
            return self._monitor
        now = self.clock.now()
        self._lock = self._exit.enter_context(self.store.lock(now))
        before = self.store.monitors.current()
        missing = self._missing()
        self.store.messages.keep(bool(self.settings.notify))
        noticed = [putback.noticed(sum(one.anchored - one.stored for one in missing), len(missing), now)]
        owner = self.store.monitors.begin(
            host=socket.gethostname(), pid=os.getpid(), now=now, changes=noticed if missing else ()
        )
        if missing:
            _log.error("the store is older than its anchors: nothing is ended before `cloudmon confirm store`")
            self.store.log.go_on()
        meter = self_usage.Meter(self.store, owner, self.clock, calls=self._calls)
        meter.close_predecessor(before, now)
        self._monitor = Monitor(
            store=self.store,
            owner=owner,
            workers=self.workers,
            clock=self.clock,
            policy=policy_of(self.settings, now.date(), confirmed=confirmed),
            journal=Journal(Path(self.settings.monitor.state_dir) / "journal.jsonl", self.settings.monitor.journal_mib),
            insides=Insides(Hearing(self.store), self.settings.rulebook()),
            boot=self._boot,
        )
        from cloudmon.monitor.herald import Herald  # noqa: PLC0415  # who only looks tells nobody

        self._herald = Herald(self.store, owner, self.clock, self.settings)
        self._exit.callback(self._end, owner, meter)
        self.meter = meter
        meter.begin(now)
        return self._monitor

    def _missing(self) -> list[Missing]:
        try:
            return self.store.log.missing()
        except OSError as error:
            _log.error("the anchors of the action log cannot be read", error=str(error))
            return []

    def attach(self, line: Line) -> None:
        """Agents are served from now on; this is the line to them."""
        self.monitor.line = line
        if self.monitor.insides is not None:
            self.monitor.insides.hearing.line = line

    @property
    def began(self) -> bool:
        """Whether :meth:`begin` made a monitor."""
        return self._monitor is not None

    def tell(self) -> bool:
        """Tell whoever is to be told, beside ticks; returns at once. True when another tick is worth while. Raises
        Fenced as a tick does."""
        return self._herald is not None and self._herald.run()

    @property
    def telling(self) -> bool:
        """Whether somebody is being told right now."""
        return self._herald is not None and self._herald.speaking

    def notifiers_health(self) -> tuple[NotifierHealth, ...]:
        """How telling goes."""
        return self._herald.health() if self._herald is not None else ()

    def lock_held(self) -> bool:
        """Whether the store is still this monitor's alone; once False it never is again."""
        return self._lock is None or self._lock.held()

    def drain(self) -> None:
        """Begin nothing more: calls that wait for their turn are given back, those under way go on. From here on
        everything together has the drain time to end."""
        if self._leave_by is None:
            self._leave_by = self.clock.monotonic() + self.settings.monitor.drain_s * LEAVING_SHARE
        self._stop.set()
        self.workers.close(0.0)

    def _left_s(self) -> float:
        """Seconds that are left for ending in good order."""
        if self._leave_by is None:
            return self.settings.monitor.drain_s
        return max(0.0, self._leave_by - self.clock.monotonic())

    def clouds_health(self) -> tuple[CloudHealth, ...]:
        """How talking to each cloud goes."""
        return tuple(pace.health() for _, pace in sorted(self._paces.items()))

    def tick(self) -> TickReport:
        """One tick, offers refreshed where they are due, the settings file read again where it changed."""
        monitor = self.begin()
        self.reload()
        with contextlib.suppress(StoreUnavailable):  # the tick says so, and goes on watching
            self.refresh_offers()
            self.tidy()
        report = monitor.tick()
        if monitor.policy.view is not None and monitor.policy.view.confirmed and not report.store_away:
            # What was confirmed has been taken over; the next suspicious view is held again.
            monitor.policy = replace(monitor.policy, view=replace(monitor.policy.view, confirmed=False))
        return report

    def file_changed(self) -> bool:
        """Whether the settings file says something that the next tick will take over, or refuse."""
        return self._file is not None and self._file.changed()

    def reload(self) -> bool:
        """Take over a changed settings file; a broken one is refused, loudly, and the old one stays in force."""
        if self._file is None or not self.file_changed():
            return False
        try:
            settings = self._file.reload()
        except SettingsError as error:
            _log.error("the changed settings are refused; the old ones stay in force", error=error.message)
            return False
        logs.conceal(secrets_of(settings))
        if settings.store != self.settings.store:
            _log.error("another store needs a restart; all other changes are taken over", file=str(self._file.path))
            settings = settings.model_copy(update={"store": self.settings.store})
        fixed = [f"monitor.{name}" for name in AT_START if _differ(settings.monitor, self.settings.monitor, name)]
        if fixed:
            _log.warning("these take effect with the next start only", keys=", ".join(fixed))
        if settings.policies != self.settings.policies and self.monitor.insides is not None:
            self.monitor.insides.judged_by(settings.rulebook())
        if settings.channel != self.settings.channel:
            _log.warning("the channel is changed with the next start only", file=str(self._file.path))
            settings = settings.model_copy(update={"channel": self.settings.channel})
        if settings.clouds != self.settings.clouds or settings.monitor != self.settings.monitor:
            self.pricing.outdate(
                {name for name, found in settings.clouds.items() if self.settings.clouds.get(name) != found}
            )
            self.settings = settings
            for cloud in self._paces.keys() & settings.clouds.keys():
                self._paces[cloud].allow(self._allowance(cloud))
            if isinstance(self.workers, ThreadedWorkers):
                self.workers.size(settings.monitor.workers_per_cloud, _stuck_after_s(settings.monitor))
            self.workers.replace(settings.clouds)
        self.settings = settings
        if self._herald is not None:
            self._herald.take_over(settings)
        self.monitor.policy = policy_of(settings, self.clock.now().date())
        _log.info("took over changed settings", file=str(self._file.path))
        return True

    def tidy(self) -> None:
        """Forget reports and deliveries that are older than the settings keep them, now and then."""
        now = self.clock.now()
        if self._tidied_at is not None and now - self._tidied_at < TIDY:
            return
        self._tidied_at = now
        owner, channel = self.monitor.owner, self.settings.channel
        before = now - dt.timedelta(seconds=self.settings.monitor.keep_deliveries_s)
        told = self.store.messages.prune(owner, before=before)
        reports = 0
        if channel is not None:
            reports = self.store.reports.prune(owner, before=now - dt.timedelta(seconds=channel.keep_reports_s))
        if reports or told:
            _log.info("forgot old reports and deliveries", reports=reports, deliveries=told)

    def refresh_offers(self) -> None:
        """Read the offers of clouds whose offers are older than the settings allow."""
        monitor = self.settings.monitor
        self.pricing.refresh(
            self.settings.clouds,
            self.clock.now(),
            interval_s=monitor.offers_interval_s,
            patience_s=monitor.call_timeout_s,
        )

    def _end(self, owner: Ownership, meter: self_usage.Meter) -> None:
        """The monitor's last words, for which nobody waits longer than there is time."""
        self._tell_the_last()
        words = threading.Thread(target=self._last_words, args=(owner, meter), name="last words", daemon=True)
        words.start()
        words.join(self._left_s())
        if words.is_alive():
            _log.warning("the store was too slow to write down the end of this monitor")

    def _tell_the_last(self) -> None:
        """What was found last is told as well, where that goes quickly; the next monitor tells the rest."""
        if self._herald is None:
            return
        with contextlib.suppress(StoreError):
            self._herald.run()
        self._herald.close(min(LAST_TOLD_S, self._left_s() / 2))

    def _last_words(self, owner: Ownership, meter: self_usage.Meter) -> None:
        """A store that is away, or somebody else's by now, does without them."""
        try:
            self.monitor.collect(0.0)
            meter.end()
            self.store.monitors.end(owner, self.clock.now())
        except StoreError as error:
            _log.warning("the end of this monitor could not be written down", error=error.message)

    def _calls(self) -> Mapping[str, int]:
        return {cloud: sum(pace.calls.values()) for cloud, pace in self._paces.items()}


def open_service(
    settings: Path | str | Settings,
    clock: Clock | None = None,
    *,
    boot_of: Callable[[Settings, Clock], Boot] | None = None,
) -> Service:
    """A service on these settings, or on the file of that name, which is watched for changes.

    ``boot_of`` makes what completes the user data of nodes; None leaves it as it is.
    """
    clock = clock or SystemClock()
    file = None if isinstance(settings, Settings) else SettingsFile(Path(settings))
    found = file.reload() if file is not None else settings
    assert isinstance(found, Settings)  # noqa: S101  # one of the two
    return Service(found, clock, file=file, boot=boot_of(found, clock) if boot_of is not None else as_it_is)
