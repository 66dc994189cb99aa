"""Whether a store is there, for those who only look: opening one would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from cloudmon.errors import StoreLost
from cloudmon.store import anchors, migrations
from cloudmon.store import database as databases

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


_MAY_MAKE = sa.text("SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE')")


def hindrance(url: str, *, paused: Callable[[float], None] = databases.pause) -> str:
    """Why a store cannot be made in a database that holds none, as far as that can be asked; empty where it can.

    Raises as :func:`is_made`.
    """
    if not url.startswith("postgresql:"):
        return ""
    database = databases.connect(url, paused=paused)
    try:
        name, allowed = database.read(lambda connection: connection.execute(_MAY_MAKE).one())
        if allowed:
            return ""
        where = f"schema {name}" if name else "any schema of its search_path"
        return f"{database.url_shown}: this user may not make tables in {where}"
    finally:
        database.close()


def may_begin(shown: str, anchor_dir: Path | None) -> None:
    """Whether a store that nothing was written to may be begun: not while anchors tell of one that was. Its monitor
    would know of nothing that runs, and launch all of it a second time.

    Arguments:
        shown: the store's URL, without its password.
        anchor_dir: the folder of the anchors; None where none are kept.

    Raises StoreLost, with what to do; StoreUnavailable when the anchors cannot be read.
    """
    if anchor_dir is not None and anchors.know_a_store(anchor_dir):
        raise StoreLost(
            f"the store {shown} holds nothing, but {anchor_dir / anchors.FILE} tells of one that did; put that one "
            "back, or name it in [store] url; to begin with nothing and launch everything anew, move the anchor file "
            "away"
        )
