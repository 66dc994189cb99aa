"""Reads what is being waited for; timers are set and cleared with the changes that the ledger writes."""

from __future__ import annotations

import sqlalchemy as sa

from cloudmon.model.changes import Timer
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered
from cloudmon.store.tables import timers


class Timers:
    """Instants remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, scope: Scope = EVERYONE) -> list[Timer]:
        """Every timer that is set."""
        row = timers.c
        statement = sa.select(row.set_uid, row.ordinal, row.kind, row.since).where(*covered(scope, row.tenant))
        statement = statement.order_by(row.set_uid, row.ordinal, row.kind)
        return self._database.read(lambda connection: [Timer(*found) for found in connection.execute(statement)])
