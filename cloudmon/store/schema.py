"""The store's schema: made new from the tables, or brought up to date by migrations; and the estate's one row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import StoreError, StoreOutdated, StoreTooNew
from cloudmon.store import chain as chains
from cloudmon.store import migrations, rows
from cloudmon.store.database import Database
from cloudmon.store.tables import METADATA, estates

_CREATION = 0x636C6F756D6F6E
"""Advisory lock that two processes opening one new PostgreSQL store take in turn."""


def prepare(database: Database, *, log_key: bytes, now: dt.datetime, upgrade: bool, new_uid: Callable[[], str]) -> str:
    """Make the store at ``database`` fit this code; returns the estate's id.

    Raises StoreOutdated, StoreTooNew, or StoreError for a database that holds something else.
    """
    estate = database.read(_estate_if_current)
    if estate is not None:
        return estate

    def work(connection: Connection) -> str:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION)))
        found = _estate_if_current(connection)
        if found is None:
            _make_current(connection, log_key=log_key, now=now, upgrade=upgrade, new_uid=new_uid)
            found = _estate_if_current(connection)
        assert found is not None  # noqa: S101  # it was just made
        return found

    return database.write(work)


def _estate_if_current(connection: Connection) -> str | None:
    if migrations.revision(connection) != migrations.NEWEST:
        return None
    return str(connection.execute(sa.select(estates.c.id)).scalar_one())


def _make_current(
    connection: Connection, *, log_key: bytes, now: dt.datetime, upgrade: bool, new_uid: Callable[[], str]
) -> None:
    revision = migrations.revision(connection)
    if revision is None:
        create(connection)
        estate = new_uid()
        row = {"id": estate, "created_at": now, "epoch": 0, "key_check": chains.key_check(log_key, estate)}
        connection.execute(sa.insert(estates), [row])
        return
    if revision not in migrations.REVISIONS:
        raise StoreTooNew(
            f"the store has schema {revision}, this cloudmon knows up to {migrations.NEWEST}; use a newer cloudmon"
        )
    if not upgrade:
        raise StoreOutdated(
            f"the store has schema {revision}, this cloudmon needs {migrations.NEWEST}; "
            "back it up, then: cloudmon upgrade"
        )
    migrations.upgrade(connection)


def create(connection: Connection) -> None:
    """Make the newest schema in an empty database. Raises StoreError when it is not empty."""
    strange = sa.inspect(connection).get_table_names()
    if strange:
        raise StoreError(f"the database holds something else than a cloudmon store (table {strange[0]!r})")
    rows.conditions(METADATA, connection.dialect.name)
    METADATA.create_all(connection, checkfirst=False)
    migrations.stamp(connection)
