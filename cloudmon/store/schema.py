"""The store's schema: made new from the tables, or brought up to date by migrations; and the estate's one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import StoreError, StoreOutdated, StoreTooNew
from cloudmon.store import migrations, rows
from cloudmon.store.database import Database
from cloudmon.store.tables import METADATA, estates

_CREATION = 0x636C6F756D6F6E
"""Advisory lock that two processes opening one new PostgreSQL store take in turn."""


class Estate(NamedTuple):
    """The estate's one row, as far as it is asked for here."""

    id: str
    epoch: int
    """0 until its first monitor begins: nothing was written before that."""


def prepare(database: Database, estate: Callable[[], Mapping[str, object]], *, upgrade: bool) -> Estate:
    """Make the store at ``database`` fit this code.

    Arguments:
        database: what is asked.
        estate: the estate's row for a store that is made new; what it raises leaves the database as it was.
        upgrade: bring an older schema up to date.

    Raises StoreOutdated, StoreTooNew, or StoreError for a database that holds something else.
    """
    found = database.read(_estate_if_current)
    if found is not None:
        return found

    def work(connection: Connection) -> Estate:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION)))
        found = _estate_if_current(connection)
        if found is None:
            _make_current(connection, estate, upgrade=upgrade)
            found = _estate_if_current(connection)
        assert found is not None  # noqa: S101  # it was just made
        return found

    return database.write(work)


def outdated(database: Database) -> str | None:
    """The estate's id in a store of an older schema; None where there is none, or it is current.

    Raises StoreError for one whose making was cut off.
    """

    def work(connection: Connection) -> str | None:
        revision = migrations.revision(connection)
        if revision is None or revision == migrations.NEWEST or revision not in migrations.REVISIONS:
            return None
        found = connection.execute(sa.select(estates.c.id)).scalar_one_or_none()
        if found is None:
            raise StoreError("the store was never made to its end: it has tables, and no estate; remove it")
        return str(found)

    return database.read(work)


def _estate_if_current(connection: Connection) -> Estate | None:
    if migrations.revision(connection) != migrations.NEWEST:
        return None
    return Estate(*connection.execute(sa.select(estates.c.id, estates.c.epoch)).one())


def _make_current(connection: Connection, estate: Callable[[], Mapping[str, object]], *, upgrade: bool) -> None:
    revision = migrations.revision(connection)
    if revision is None:
        row = estate()
        create(connection)
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
