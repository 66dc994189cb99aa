"""Usage events: append-only, told apart by their key, read in the order that folding needs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from cloudmon.model.tenants import Scope
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.store.appending import insert_usage
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership
from cloudmon.store.scoping import covered
from cloudmon.store.tables import USAGE_ORDER, usage_events

_DIMENSIONS = {str(one): one for one in Dimension}
_MARKS = {str(one): one for one in Mark}
# Without the columns' own conversions: one pass over the row below does them all.
_COLUMNS: list[Any] = [sa.type_coerce(usage_events.c[name], sa.types.NULLTYPE) for name in UsageEvent._fields]
_ROW: sa.Select[Any] = sa.select(*_COLUMNS)
_NOTHING = Decimal(0)
_PARSE = json.JSONDecoder().raw_decode
_ORDER = tuple(usage_events.c[name] for name in USAGE_ORDER)


class Usage:
    """Statements about what was used."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def add(self, owner: Ownership, events: Sequence[UsageEvent], now: dt.datetime) -> None:  # noqa: ARG002
        """Append events; those whose key is there already say nothing new."""
        if events:
            self._owned.write(owner, lambda writing: insert_usage(writing, list(events)))

    def events(
        self,
        scope: Scope,
        *,
        uid: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Iterator[UsageEvent]:
        """Events of one instant of the store, at ``[since, until)``, in constant memory, ordered by
        (set_uid, ordinal, incarnation, cloud, node_id, dimension, at, mark, key); text by its bytes."""
        row = usage_events.c
        where = list(covered(scope, row.tenant))
        where += [] if uid is None else [row.set_uid == uid]
        where += [] if since is None else [row.at >= since]
        where += [] if until is None else [row.at < until]
        statement = _ROW.where(*where).order_by(*_ORDER)
        dimensions, marks, instant, new, parse = _DIMENSIONS, _MARKS, self._database.instant, tuple.__new__, _PARSE
        for a, b, c, d, e, f, g, dimension, mark, at, quantity, evidence in self._database.stream(statement):
            amount = _NOTHING if quantity == "0" else Decimal(quantity)
            values = (a, b, c, d, e, f, g, dimensions[dimension], marks[mark], instant(at), amount, parse(evidence)[0])
            yield new(UsageEvent, values)
