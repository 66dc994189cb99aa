"""The store as a whole: opening, verbs by group, the lock, closing."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from cloudmon import clock
from cloudmon.model import identity
from cloudmon.store import chain as chains
from cloudmon.store import database as databases
from cloudmon.store import locks, presence, schema
from cloudmon.store.actionlog import ActionLog
from cloudmon.store.agents import Agents
from cloudmon.store.anchors import Anchors
from cloudmon.store.controls import Controls
from cloudmon.store.database import Database
from cloudmon.store.findings import Findings
from cloudmon.store.grants import Grants
from cloudmon.store.incarnations import Incarnations
from cloudmon.store.intents import Intents
from cloudmon.store.ledger import Ledger
from cloudmon.store.locks import Lock
from cloudmon.store.members import Members
from cloudmon.store.messages import Messages
from cloudmon.store.monitors import Monitors
from cloudmon.store.offers import Offers, Placements
from cloudmon.store.owned import Owned
from cloudmon.store.reports import Reports
from cloudmon.store.requests import Requests
from cloudmon.store.rules import Rules
from cloudmon.store.sets import Sets
from cloudmon.store.spans import Spans
from cloudmon.store.timers import Timers
from cloudmon.store.usage import Usage
from cloudmon.store.verification import Verifier

T = TypeVar("T")


class Store:
    """The memory outside the cloud. Verbs, not a query builder; safe to share between threads.

    Reads take a scope first and never return another tenant's rows. Writes that belong to the monitor take its
    ownership first and raise Fenced when a newer one owns the estate. Everything raises StoreUnavailable when the
    database does not answer, is locked for too long, or full.
    """

    def __init__(
        self, database: Database, estate: str, *, log_key: bytes, anchors: Anchors | None, new_uid: Callable[[], str]
    ) -> None:
        owned = Owned(database, log_key, anchors)
        self.estate = estate
        self.url_shown = database.url_shown
        self.anchors = anchors
        self.sets = Sets(database, owned, new_uid)
        self.members = Members(database)
        self.incarnations = Incarnations(database)
        self.ledger = Ledger(owned)
        self.intents = Intents(database)
        self.log = ActionLog(database, Verifier(database, log_key, anchors), anchors)
        self.usage = Usage(database, owned)
        self.spans = Spans(database, owned)
        self.requests = Requests(database, owned)
        self.controls = Controls(database, owned)
        self.grants = Grants(database, owned)
        self.offers = Offers(database)
        self.findings = Findings(database)
        self.timers = Timers(database)
        self.monitors = Monitors(database, owned, new_uid)
        self.placements = Placements(database, owned)
        self.agents = Agents(database, owned)
        self.reports = Reports(database, owned)
        self.rules = Rules(database)
        self.messages = Messages(database, owned)
        self._database = database

    def at_once(self, work: Callable[[], T]) -> T:
        """Let all that ``work`` reads be of one state of the store; it writes nothing, and may run again, whole. Many
        readings are cheaper so too."""
        return self._database.at_once(work)

    def lock(self, now: dt.datetime | None = None) -> AbstractContextManager[Lock]:
        """Be this store's only monitor for the length of the block; the lock says whether it is still ``held()``.

        ``now`` is only shown to others who try; None means the machine's. Raises MonitorAlreadyRuns.
        """
        return locks.lock(self._database, self.estate, now or clock.SystemClock().now())

    def close(self) -> None:
        """Close all connections; a store in memory is gone."""
        self._database.close()


def open_store(  # noqa: PLR0913  # what a store is made of
    url: str,
    *,
    log_key: bytes,
    anchor_dir: Path | None,
    now: dt.datetime,
    upgrade: bool = False,
    new_uid: Callable[[], str] = identity.new_uid,
    paused: Callable[[float], None] = databases.pause,
) -> Store:
    """Open the store at ``url``, and make it when it is new.

    Arguments:
        url: ``memory``, ``sqlite:///path`` or ``postgresql://…``.
        log_key: key of the action log's chains.
        anchor_dir: folder for the anchors of the log's heads, outside the store; None keeps none.
        now: when a new estate was made.
        upgrade: bring an older schema up to date, while no monitor runs; without it such a store raises StoreOutdated.
        new_uid: gives fresh uids.
        paused: lets time pass between tries when the database is busy.

    Raises StoreTooNew for a store of a newer cloudmon, StoreLost for one that holds nothing while the anchors tell of
    one that did, MonitorAlreadyRuns for one that is to be upgraded under a monitor, StoreError for what is no store of
    ours.
    """
    database = databases.connect(url, paused=paused)
    folder = None if database.in_memory else anchor_dir

    def new_estate() -> dict[str, object]:
        presence.may_begin(database.url_shown, folder)
        uid = new_uid()
        return {"id": uid, "created_at": now, "epoch": 0, "key_check": chains.key_check(log_key, uid)}

    try:
        if database.path is not None and not database.path.exists():  # looking would make it
            presence.may_begin(database.url_shown, folder)
        older = schema.outdated(database) if upgrade else None
        # A monitor of the older version would go on as if nothing had changed.
        with contextlib.nullcontext() if older is None else locks.lock(database, older, now):
            estate = schema.prepare(database, new_estate, upgrade=upgrade)
        if estate.epoch == 0:
            presence.may_begin(database.url_shown, folder)
    except BaseException:
        database.close()
        raise
    anchors = None if anchor_dir is None else Anchors(anchor_dir, log_key)
    return Store(database, estate.id, log_key=log_key, anchors=anchors, new_uid=new_uid)
