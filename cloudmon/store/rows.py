"""What all tables of the store share: one catalogue, one way to name constraints and to say an index."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import SQLModel

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


def index(name: str, *columns: str, where: str = "", unique: bool = False) -> sa.Index:
    """An index, over the rows where ``where`` holds if that is given."""
    if not where:
        return sa.Index(name, *columns, unique=unique)
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class Row(SQLModel):
    """The base of every table."""

    metadata = sa.MetaData(naming_convention=NAMES)


def table(row: type[Row]) -> sa.Table:
    """The Core table of a row's class."""
    found: sa.Table = row.__table__  # type: ignore[attr-defined]
    return found
