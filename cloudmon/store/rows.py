"""What all tables of the store share: one catalogue, one way to name constraints and to say an index."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlmodel import SQLModel

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

_WHERE = "where"

Insert = Callable[[sa.Table], Any]


@cache
def insert_of(is_sqlite: bool) -> Insert:
    """What makes an INSERT that knows ON CONFLICT, in the database's own words."""
    if is_sqlite:
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # the other one's dialect is not loaded

        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert


def index(name: str, *columns: str, where: str = "", unique: bool = False) -> sa.Index:
    """An index, over the rows where ``where`` holds if that is given."""
    return sa.Index(name, *columns, unique=unique, info={_WHERE: where} if where else None)


def conditions(metadata: sa.MetaData, dialect: str) -> None:
    """Tell the dialect that tables are about to be made with over which rows each index goes.

    Not said where indexes are declared, since SQLAlchemy then loads every dialect that is named: 60 ms of each start on
    SQLite went into PostgreSQL's.
    """
    for found in metadata.tables.values():
        for one in found.indexes:
            if _WHERE in one.info:
                one.dialect_options[dialect]["where"] = sa.text(one.info[_WHERE])


class Row(SQLModel):
    """The base of every table."""

    metadata = sa.MetaData(naming_convention=NAMES)


def table(row: type[Row]) -> sa.Table:
    """The Core table of a row's class."""
    found: sa.Table = row.__table__  # type: ignore[attr-defined]
    return found
