"""Transactions of the monitor that owns the estate: fenced first, logged last, anchored after the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import Fenced, StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.store import chain as chains
from cloudmon.store import migrations, rows
from cloudmon.store.anchors import Anchors
from cloudmon.store.chain import Head, SignedRow
from cloudmon.store.columns import canonical, shown, storable
from cloudmon.store.database import Database
from cloudmon.store.rows import Insert
from cloudmon.store.tables import action_log, estates, log_heads, monitors

T = TypeVar("T")

WRONG_KEY = "the key is not the one this log was written with"

_HEADS_OF = sa.select(log_heads.c.chain, log_heads.c.seq, log_heads.c.mac).where(
    log_heads.c.chain.in_(sa.bindparam("chains", expanding=True))
)
_HEAD_OF = sa.select(log_heads.c.seq, log_heads.c.mac).where(log_heads.c.chain == sa.bindparam("wanted_chain"))
_APPEND = sa.insert(action_log)
_OWNER = sa.select(monitors.c.id).where(monitors.c.epoch == estates.c.epoch).scalar_subquery()
_ESTATE = sa.select(
    estates.c.epoch, estates.c.key_check, estates.c.id, _OWNER, migrations.VERSION.scalar_subquery()
).with_for_update(of=estates)


@cache
def _put_heads(insert: Insert) -> Any:
    upsert = insert(log_heads)
    fresh = upsert.excluded
    return upsert.on_conflict_do_update(index_elements=["chain"], set_={"seq": fresh.seq, "mac": fresh.mac})


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns the estate: passed with every write, and fenced out by a newer epoch. The monitor's own id tells it from
    another one of the same epoch: in a store that is put back from a copy an epoch comes twice."""

    monitor_id: str
    epoch: int


class Writing:
    """One such transaction while it runs."""

    def __init__(self, connection: Connection, epoch: int, is_sqlite: bool, *, telling: bool = False) -> None:
        self.connection = connection
        self.telling = telling
        """Whether somebody is to be told of findings that change."""
        self.told = 0
        """Messages that it wrote."""
        self.epoch = epoch
        self.heads: dict[str, Head] = {}
        self.insert = rows.insert_of(is_sqlite)
        """An INSERT that knows ON CONFLICT, in the database's own words."""
        self._entries: list[tuple[str, LogEntry]] = []

    def log(self, tenant: str, entry: LogEntry | None) -> None:
        """Put an entry at the end of its chain, when the transaction ends; None is none."""
        if entry is not None:
            self._entries.append((tenant, entry))

    def sign(self, key: bytes) -> None:
        """Chain and write what was logged."""
        if not self._entries:
            return
        self.heads = self._heads({entry.chain for _, entry in self._entries})
        rows = [self._chained(key, tenant, entry) for tenant, entry in self._entries]
        self._entries = []
        self.connection.execute(_APPEND, rows)
        self.connection.execute(
            _put_heads(self.insert),
            [{"chain": name, "seq": head.seq, "mac": head.mac} for name, head in self.heads.items()],
        )

    def _heads(self, names: set[str]) -> dict[str, Head]:
        if len(names) == 1:  # the common case, in a statement that is compiled once
            (name,) = names
            row = self.connection.execute(_HEAD_OF, {"wanted_chain": name}).one_or_none()
            return {} if row is None else {name: Head(*row)}
        rows = self.connection.execute(_HEADS_OF, {"chains": sorted(names)})
        return {name: Head(seq, mac) for name, seq, mac in rows}

    def _chained(self, key: bytes, tenant: str, entry: LogEntry) -> dict[str, Any]:
        before = self.heads.get(entry.chain, chains.NO_HEAD)
        try:
            at, body = shown(entry.at), canonical(entry.body)
        except (TypeError, ValueError) as error:
            raise StoreError(f"a log entry {entry.kind!r} cannot be written: {error}; nothing was written") from error
        # As the database will give them back, or the code would not be true of what is read.
        tenant, kind, subject = storable(tenant), storable(entry.kind), storable(entry.subject)
        row = SignedRow(
            entry.chain, before.seq + 1, tenant, at, kind, subject, body, self.epoch, previous=before.mac, mac=""
        )
        mac = chains.sign(key, row)
        self.heads[entry.chain] = Head(row.seq, mac)
        return {**row._asdict(), "at": entry.at, "mac": mac}


class Owned:
    """Runs such transactions."""

    def __init__(self, database: Database, key: bytes, anchors: Anchors | None) -> None:
        self.database = database
        self.telling = False
        """Whether messages are written about findings that change: where nobody is told, they would only pile up."""
        self.stirred: Callable[[], None] = lambda: None
        """Called after a commit that wrote messages."""
        self._key = key
        self._anchors = anchors

    def write(self, owner: Ownership, work: Callable[[Writing], T]) -> T:
        """Run ``work`` in one transaction, if ``owner`` is still the newest.

        Raises Fenced, before anything else is looked at, when a newer monitor owns the estate.
        """

        def fenced(writing: Writing, epoch: int, monitor_id: str | None) -> T:
            if epoch != owner.epoch:
                raise Fenced(f"a newer monitor owns the estate (epoch {epoch}, ours is {owner.epoch}); nothing written")
            if monitor_id != owner.monitor_id:
                raise Fenced(f"another monitor owns the estate in our epoch {epoch}; nothing written")
            return work(writing)

        return self._write(fenced)

    def take_over(self, work: Callable[[Writing], T]) -> T:
        """Run ``work`` as the beginning of a new epoch."""

        def begun(writing: Writing, epoch: int, _: str | None) -> T:
            writing.epoch = epoch + 1
            writing.connection.execute(sa.update(estates).values(epoch=epoch + 1))
            return work(writing)

        return self._write(begun)

    def _write(self, work: Callable[[Writing, int, str | None], T]) -> T:
        heads: dict[str, Head] = {}
        told = 0

        def once(connection: Connection) -> T:
            nonlocal told
            # The row's lock makes the owner's transactions follow each other on PostgreSQL, as SQLite's do anyway.
            epoch, check, estate, monitor_id, revision = connection.execute(_ESTATE).one()
            if revision != migrations.NEWEST:
                raise Fenced(
                    f"the store was brought to schema {revision} under this monitor, which knows {migrations.NEWEST}; "
                    "nothing written; start the cloudmon that did it"
                )
            writing = Writing(connection, epoch, self.database.is_sqlite, telling=self.telling)
            result = work(writing, epoch, monitor_id)
            if writing._entries and check != chains.key_check(self._key, estate):
                raise StoreError(f"{WRONG_KEY}; nothing written")
            writing.sign(self._key)
            told = writing.told
            heads.clear()
            heads.update(writing.heads)
            return result

        result = self.database.write(once)
        if heads and self._anchors is not None:
            self._anchors.write(heads)
        if told:
            self.stirred()
        return result
