"""Whether a store is there, for those who only look: opening one would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudmon.store import database as databases
from cloudmon.store import migrations

SQLITE = "sqlite:///"


def is_made(url: str, *, paused: Callable[[float], None] = databases.pause) -> bool:
    """Whether a cloudmon store of whatever schema is at ``url``. Makes nothing.

    Raises StoreUnavailable when the database does not answer, StoreError for what is no database.
    """
    if url == "memory" or (url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()):
        return False
    database = databases.connect(url, paused=paused)
    try:
        return database.read(migrations.revision) is not None
    finally:
        database.close()
