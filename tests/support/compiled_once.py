"""What SQLAlchemy makes of a statement is kept for the whole run. Each store has an engine of its own, whose statements
are compiled anew, which takes more time than most tests of a store."""

from __future__ import annotations

from functools import wraps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine, create
from sqlalchemy.util import LRUCache

_create = create.create_engine
_compiled: Any = LRUCache(4_096)


@wraps(_create)
def _engine(*arguments: Any, **named: Any) -> Engine:
    made = _create(*arguments, **named)
    made._compiled_cache = _compiled
    return made


# Dialects are part of what statements are kept under: those of one kind say all in the same way.
for _kind in (SQLiteDialect_pysqlite, PGDialect_psycopg):
    _kind.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
    _kind.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
sa.create_engine = _engine
