"""Monitors and epochs: who owned the estate when. The newest owns it now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cloudmon.model.actions import LogEntry
from cloudmon.model.changes import Change
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store import ledger
from cloudmon.store.chain import ESTATE_CHAIN
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.tables import monitors


class MonitorRow(NamedTuple):
    """One monitor, as long as it owned the estate."""

    id: str
    epoch: int
    host: str
    pid: int
    started_at: dt.datetime
    lease_until: dt.datetime | None
    """Until when it owns the estate without saying so again; None where a lock on the store says it."""
    ended_at: dt.datetime | None
    """None while it runs, and for one that never said goodbye."""


_ROW = sa.select(*(monitors.c[name] for name in MonitorRow._fields))


class Monitors:
    """Those who own, or owned, the estate."""

    def __init__(self, database: Database, owned: Owned, new_uid: Callable[[], str]) -> None:
        self._database = database
        self._owned = owned
        self._new_uid = new_uid

    def begin(self, *, host: str, pid: int, now: dt.datetime, changes: Sequence[Change] = ()) -> Ownership:
        """Own the estate from now on: a new epoch, which fences every earlier one. Logged as ``monitor.started``.

        ``changes`` are written with it: what was found before anything else is written.
        """

        def work(writing: Writing) -> Ownership:
            owner = Ownership(self._new_uid(), writing.epoch)
            row = MonitorRow(owner.monitor_id, owner.epoch, host, pid, now, None, None)
            writing.connection.execute(sa.insert(monitors), [row._asdict()])
            body = {"host": host, "pid": pid, "epoch": owner.epoch}
            writing.log("", LogEntry(ESTATE_CHAIN, now, "monitor.started", owner.monitor_id, body))
            ledger.apply(writing, changes, now=now)
            return owner

        return self._owned.take_over(work)

    def end(self, owner: Ownership, now: dt.datetime) -> None:
        """Say that ``owner`` stops; a second time is quiet. Logged as ``monitor.stopped``. Raises Fenced."""

        def work(writing: Writing) -> None:
            row = monitors.c
            statement = sa.update(monitors).where(row.id == owner.monitor_id, row.ended_at.is_(None))
            if writing.connection.execute(statement.values(ended_at=now)).rowcount == 1:
                writing.log("", LogEntry(ESTATE_CHAIN, now, "monitor.stopped", owner.monitor_id, {}))

        self._owned.write(owner, work)

    def all(self, scope: Scope = EVERYONE) -> list[MonitorRow]:  # noqa: ARG002  # monitors belong to the estate
        """Every monitor there was, oldest first. They belong to the estate, so every scope sees them."""
        statement = _ROW.order_by(monitors.c.epoch)
        return self._database.read(lambda connection: [MonitorRow(*row) for row in connection.execute(statement)])

    def current(self) -> MonitorRow | None:
        """The newest that has not said goodbye, or None."""
        found = self.all()
        return found[-1] if found and found[-1].ended_at is None else None
