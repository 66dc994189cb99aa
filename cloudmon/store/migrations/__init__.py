"""Schema revisions of the store, shipped with it and run by Alembic inside the store's own transaction.

Opening a store that is up to date reads one row and does not import Alembic.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
)
"""Oldest first; a test compares them with the files in ``versions``."""

NEWEST = REVISIONS[-1]
_LOCATION = "cloudmon.store:migrations"
_VERSION = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
VERSION = sa.select(_VERSION.c.version_num)
"""The schema's revision, of a store that has one."""


def revision(connection: Connection) -> str | None:
    """The schema's revision; None for a database without any."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(VERSION).scalar_one_or_none()


def stamp(connection: Connection) -> None:
    """Say that the schema is the newest."""
    _VERSION.create(connection)
    connection.execute(sa.insert(_VERSION).values(version_num=NEWEST))


def upgrade(connection: Connection, to: str = NEWEST) -> None:
    """Run the revisions that the schema lacks, in the transaction of ``connection``."""
    # Imported here: only a store that is out of date pays for it.
    from alembic import command  # noqa: PLC0415

    command.upgrade(_configured(connection), to)


def _configured(connection: Connection) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _LOCATION)
    config.attributes["connection"] = connection
    return config
