"""Reads the action log and verifies it; entries are written with the changes that they tell of."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered
from cloudmon.store.tables import action_log
from cloudmon.store.verification import Break, Verifier


class LoggedEntry(NamedTuple):
    """One entry of the action log as it is chained."""

    seq: int
    chain: str
    at: dt.datetime
    kind: str
    subject: str
    body: Mapping[str, object]
    epoch: int
    mac: str


class ActionLog:
    """What happened, in chains that show tampering."""

    def __init__(self, database: Database, verifier: Verifier) -> None:
        self._database = database
        self._verifier = verifier

    def entries(
        self,
        scope: Scope,
        chain: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
    ) -> list[LoggedEntry]:
        """Entries at ``[since, until)`` of one chain or of all, oldest first; with ``limit`` the newest that many."""
        row = action_log.c
        where = list(covered(scope, row.tenant))
        where += [] if chain is None else [row.chain == chain]
        where += [] if since is None else [row.at >= since]
        where += [] if until is None else [row.at < until]
        columns = (row.seq, row.chain, row.at, row.kind, row.subject, row.body, row.epoch, row.mac)
        newest_first = (row.seq.desc(),) if chain is not None else (row.at.desc(), row.chain.desc(), row.seq.desc())
        statement = sa.select(*columns).where(*where).order_by(*newest_first)
        if limit is not None:
            statement = statement.limit(limit)
        found = self._database.read(lambda connection: list(connection.execute(statement)))
        return [_entry(*fields) for fields in reversed(found)]

    def verify(self, scope: Scope) -> list[Break]:
        """Every break of the chains that ``scope`` covers; empty means whole.

        A scope of some tenants covers their sets' chains; the estate's own chain and the anchors of chains that no set
        explains belong to the service.
        """
        return self._verifier.verify(scope)


def _entry(  # noqa: PLR0913  # one row
    seq: int, chain: str, at: dt.datetime, kind: str, subject: str, body: str, epoch: int, mac: str
) -> LoggedEntry:
    return LoggedEntry(seq, chain, at, kind, subject, json.loads(body), epoch, mac)
