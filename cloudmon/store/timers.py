"""Reads what is being waited for; timers are set and cleared with the changes that the ledger writes."""

from __future__ import annotations

import sqlalchemy as sa

from cloudmon.model.changes import Timer
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import standing
from cloudmon.store.tables import timers

_ALL = sa.select(timers.c.set_uid, timers.c.ordinal, timers.c.kind, timers.c.since).order_by(
    timers.c.set_uid, timers.c.ordinal, timers.c.kind
)


class Timers:
    """Instants remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, scope: Scope = EVERYONE) -> list[Timer]:
        """Every timer that is set."""
        statement = standing(_ALL, scope, timers.c.tenant)
        return self._database.read(lambda connection: [Timer(*found) for found in connection.execute(statement)])
