"""Tells people and programs what the outbox holds: routes messages, hands deliveries to notifiers, writes down what
came of it. Beside the monitor's turn and never in it: each notifier has a thread of its own while there is something
to say, and who does not answer keeps nobody else waiting.

Each try is begun in the store before anything is sent: who is fenced sends nothing, and after a crash the same delivery
is sent again with the same id.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from cloudmon import logs, plugins
from cloudmon.clock import Clock
from cloudmon.errors import CloudmonError, Fenced, NoticeRefused, NotifierError, NotifierUnavailable, StoreError
from cloudmon.model import identity
from cloudmon.model.health import NotifierHealth
from cloudmon.model.messages import Delivery, DeliveryEvent, DeliveryState
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.sorting import Sorting
from cloudmon.notices import trying, wording
from cloudmon.notifier import Notifier
from cloudmon.settings import Settings
from cloudmon.store import Ownership, Store

_log = structlog.get_logger(__name__)

Start = Callable[[str, Callable[[], None]], None]
"""As :data:`cloudmon.engine.local.Start`: name and work -> begins the work."""

LOOK_S = 30.0
"""Longest time between two looks into the outbox, though nothing was put in: a look that failed is made up for."""
WINDOW = 200
"""Deliveries of a notifier that are looked at together."""
MOST = 200
"""Deliveries that a notifier is handed before others have their turn at the store."""
REFUSALS = 3
"""Refusals in a row after which a notifier is given a pause: it is not this one notice that it does not like."""


def on_thread(name: str, work: Callable[[], None]) -> None:
    """On a daemon thread: what hangs does not keep the process from ending."""
    threading.Thread(target=work, name=name, daemon=True).start()


@dataclass(slots=True)
class _Line:
    """How speaking to one notifier goes."""

    busy: bool = False
    pending: int = 0
    failures: int = 0
    paused_until: dt.datetime | None = None
    last_sent_at: dt.datetime | None = None
    last_error: str = ""
    last_error_at: dt.datetime | None = None
    dead: int = 0


class Herald:
    """Tells. Made by the monitor that owns the estate; :meth:`run` is for one thread, and returns at once.

    Arguments:
        start: what begins a notifier's work; replaced where no threads are wanted.
        new_id: gives fresh uids.
    """

    def __init__(  # what a herald stands on
        self,
        store: Store,
        owner: Ownership,
        clock: Clock,
        settings: Settings,
        *,
        start: Start = on_thread,
        new_id: Callable[[], str] = identity.new_uid,
    ) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._start = start
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._stirred = True
        self._look_at: dt.datetime | None = None
        self._failed: CloudmonError | None = None
        self._answered = False
        self._closing = False
        self._sorting = Sorting(store, owner, new_id)
        self.take_over(settings)

    def take_over(self, settings: Settings) -> None:
        """Tell whom these settings name from now on."""
        self._settings = settings
        self._sorting.take_over(settings)
        self._store.messages.keep(self._sorting.wanted, self.stir)
        for line in self._lines.values():
            # Whoever changed the settings may have mended what was wrong.
            line.paused_until, line.failures = None, 0
        self.stir()

    def stir(self) -> None:
        """There is something to tell, or may be. From any thread; returns at once."""
        self._stirred = True

    def run(self) -> bool:
        """Do what is due. True when a trial has been answered that somebody waits for.

        Raises Fenced when a newer monitor owns the estate.
        """
        if self._failed is not None:
            raise self._failed
        now = self._clock.now()
        if self._stirred or (self._look_at is not None and now >= self._look_at):
            self._stirred = False
            self._look_at = now + dt.timedelta(seconds=LOOK_S) if self._sorting.wanted else None
            try:
                self._look(now)
            except Fenced:
                raise
            except StoreError as error:
                _log.warning("the outbox cannot be read; it is looked at again", error=error.message)
                self._look_at = now + dt.timedelta(seconds=LOOK_S)
        answered, self._answered = self._answered, False
        return answered

    def health(self) -> tuple[NotifierHealth, ...]:
        """How speaking to each notifier goes."""
        told = self._settings.notify
        return tuple(
            NotifierHealth(
                name=name,
                kind=told[name].kind,
                failing=line.failures > 0,
                pending=line.pending,
                dead=line.dead,
                last_sent_at=line.last_sent_at,
                last_error=line.last_error,
                last_error_at=line.last_error_at,
                paused_until=line.paused_until,
            )
            for name, line in ((name, self._line(name)) for name in sorted(told))
        )

    @property
    def speaking(self) -> bool:
        """Whether somebody is being told, or about to be."""
        return self._stirred or any(line.busy for line in self._lines.values())

    def close(self, patience_s: float) -> bool:
        """Begin nothing more, and wait for what is being said; False when it took longer than ``patience_s``. What was
        not heard of is said again by the next monitor."""
        self._closing = True
        with self._changed:
            return self._changed.wait_for(
                lambda: not any(line.busy for line in self._lines.values()), max(0.0, patience_s)
            )

    # --- looking ----------------------------------------------------------------------------------------------------

    def _look(self, now: dt.datetime) -> None:
        self._sorting.sort(now)
        counts = self._store.messages.unfinished(EVERYONE)
        for name in self._settings.notify:
            self._line(name).pending = counts.get(name, 0)
        due = [now + dt.timedelta(seconds=LOOK_S)] if self._sorting.wanted else []
        for name in counts:
            if name not in self._settings.notify:
                self._bury(name, now)
            elif not self._line(name).busy:
                at = self._due(name)
                if at is not None and at <= now:
                    self._begin(name)
                elif at is not None:
                    due.append(at)
        self._look_at = min(due, default=None)

    def _due(self, name: str) -> dt.datetime | None:
        pending = self._store.messages.pending(EVERYONE, name, WINDOW)
        at, paused = trying.next_at(pending), self._line(name).paused_until
        if at is None or paused is None or any(one.event is DeliveryEvent.TEST for one in pending):
            return at
        return max(at, paused)

    def _bury(self, name: str, now: dt.datetime) -> None:
        """There is no notifier of that name any more."""
        why = "no notifier of this name is configured any more"
        while pending := self._store.messages.pending(EVERYONE, name, WINDOW):
            self._settle([trying.buried(one, why, now) for one in pending])

    # --- speaking ---------------------------------------------------------------------------------------------------

    def _line(self, name: str) -> _Line:
        return self._lines.setdefault(name, _Line())

    def _begin(self, name: str) -> None:
        if self._closing:
            return
        self._line(name).busy = True
        try:
            self._start(f"notify {name}", functools.partial(self._speak, name))
        except RuntimeError:  # the machine has no thread left: the next look tries again
            self._line(name).busy = False

    def _speak(self, name: str) -> None:
        """All that one notifier is to be handed now, until it has to wait."""
        line = self._line(name)
        try:
            notifier, count = self._notifier(name), 0
            while count < MOST and not self._closing:
                batch = trying.due(self._store.messages.pending(EVERYONE, name, WINDOW), self._clock.now())
                if not batch:
                    break
                for delivery in batch:
                    count += 1
                    if not self._try(notifier, delivery, line):
                        return
        except Fenced as error:
            self._failed = error
        except StoreError as error:
            _log.warning("what came of telling cannot be written down", notifier=name, error=error.message)
        finally:
            with self._changed:
                line.busy = False
                self._changed.notify_all()
            self.stir()

    def _notifier(self, name: str) -> Notifier | None:
        """The notifier, made anew; None when it cannot be made."""
        told = self._settings.notify.get(name)
        if told is None:
            return None
        options = self._settings.notifier_options(name)
        try:
            made = plugins.notifier(told.kind)(name, options, now=self._clock.now, timeout_s=told.timeout_s)
        except Exception as error:  # whatever a foreign package raises
            _log.error("the notifier cannot be made", notifier=name, exc_info=error)
            return None
        return made

    def _try(self, notifier: Notifier | None, delivery: Delivery, line: _Line) -> bool:
        """One try of one delivery; whether the notifier may be handed another one."""
        if self._closing or not self._store.messages.claim(self._owner, [delivery.id]):
            return not self._closing
        tried = trying.begun(delivery)
        error, remark = _said(notifier, tried)
        now = self._clock.now()
        told = self._settings.notify.get(tried.notifier)
        if error is None:
            settled = trying.sent(tried, logs.masked(remark), now)
            line.failures, line.paused_until, line.last_sent_at = 0, None, now
        else:
            give_up_after_s = told.give_up_after_s if told is not None else 0.0
            settled = trying.failed(tried, error, now, give_up_after_s=give_up_after_s)
            line.failures += 1
            line.last_error, line.last_error_at = logs.masked(error.message), now
            _log.warning(
                "the notifier did not take it", notifier=tried.notifier, delivery=tried.id, error=error.message
            )
        self._settle([settled])
        if settled.state is DeliveryState.DEAD:
            line.dead += 1
        if tried.event is DeliveryEvent.TEST:
            self._answered = True
        waits = isinstance(error, NotifierUnavailable) or line.failures >= REFUSALS
        if error is not None and waits:
            wait_s = max(trying.pause_s(line.failures), getattr(error, "retry_after_s", None) or 0.0)
            line.paused_until = now + dt.timedelta(seconds=min(wait_s, trying.LONGEST_WISH_S))
        return not waits

    def _settle(self, settled: Sequence[Delivery]) -> None:
        self._store.messages.settle(self._owner, [trying.masked(one, logs.masked(one.error)) for one in settled])


def _said(notifier: Notifier | None, delivery: Delivery) -> tuple[NotifierError | None, str]:
    """What became of handing it over: the error, or what was remarked."""
    if notifier is None:
        return NotifierUnavailable("it cannot be made; the log says why", notifier=delivery.notifier), ""
    try:
        return None, notifier.send(wording.notice(delivery))
    except NotifierError as error:
        return error, ""
    except Exception as error:  # a broken notifier must not stop the others
        _log.error("a notifier raised what its contract forbids", notifier=delivery.notifier, exc_info=error)
        return NoticeRefused(f"it broke: {type(error).__name__}", notifier=delivery.notifier), ""
