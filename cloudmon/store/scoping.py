"""The one condition that keeps tenants apart."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from cloudmon.model.tenants import Scope


def covered(scope: Scope, column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions on a row's tenant: none for the service itself, no row at all for a scope of no tenants."""
    return () if scope.tenants is None else (column.in_(sorted(scope.tenants)),)


@lru_cache(maxsize=512)
def standing(statement: sa.Select[Any], scope: Scope, column: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """A statement that never changes, for this scope: put together once, since that costs more than a small answer."""
    return statement.where(*covered(scope, column))
