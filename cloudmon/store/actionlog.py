"""Reads the action log and verifies it; entries are written with the changes that they tell of."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from cloudmon.model.tenants import Scope
from cloudmon.store.anchors import Anchors
from cloudmon.store.chain import NO_HEAD, Head
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered
from cloudmon.store.tables import action_log, log_heads
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


class Missing(NamedTuple):
    """A chain whose last entries are not in the store."""

    chain: str
    stored: int
    """Entries that are there."""
    anchored: int
    """Entries that were."""


class ActionLog:
    """What happened, in chains that show tampering."""

    def __init__(self, database: Database, verifier: Verifier, anchors: Anchors | None) -> None:
        self._database = database
        self._verifier = verifier
        self._anchors = anchors

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

    def missing(self) -> list[Missing]:
        """Chains that were longer when they were last anchored than they are in the store: it was put back from an
        older copy, or cut. By chain; empty where nothing is missing, or no anchors are kept.

        Raises OSError when the anchors cannot be read.
        """
        if self._anchors is None:
            return []
        anchored = {anchor.chain: anchor.head.seq for anchor in self._anchors.read().anchors}  # the last of each
        heads = self._heads()
        found = [Missing(chain, heads.get(chain, NO_HEAD).seq, seq) for chain, seq in sorted(anchored.items())]
        return [one for one in found if one.stored < one.anchored]

    def go_on(self) -> None:
        """Anchor every chain as it stands, and those that are not there as none: what is missing has been said, and is
        not said again. The older anchors stay, and :meth:`verify` goes on naming what they show."""
        if self._anchors is not None:
            self._anchors.write({**{one.chain: NO_HEAD for one in self.missing()}, **self._heads()})

    def _heads(self) -> dict[str, Head]:
        statement = sa.select(log_heads.c.chain, log_heads.c.seq, log_heads.c.mac)
        return self._database.read(
            lambda connection: {chain: Head(seq, mac) for chain, seq, mac in connection.execute(statement)}
        )


def _entry(  # noqa: PLR0913  # one row
    seq: int, chain: str, at: dt.datetime, kind: str, subject: str, body: str, epoch: int, mac: str
) -> LoggedEntry:
    return LoggedEntry(seq, chain, at, kind, subject, json.loads(body), epoch, mac)
