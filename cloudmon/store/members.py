"""Reads the appliance state table and its history. ``all`` is the hottest read of a tick."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cloudmon.model.appliances import ApplianceState, HistoryEntry, Member, Power
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import appliances, history, sets

_ROW = sa.select(*(appliances.c[name] for name in Member._fields))
_ORDER = (appliances.c.set_uid, appliances.c.ordinal)
_ALL = _ROW.where(appliances.c.set_uid.in_(sa.select(sets.c.uid).where(sets.c.retired_at.is_(None)))).order_by(*_ORDER)
_STATES = {str(state): state for state in ApplianceState}
_POWERS = {str(power): power for power in Power}
_ENTRY = sa.select(*(history.c[name] for name in HistoryEntry.__dataclass_fields__))


class Members:
    """Appliances as rows of the state table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, scope: Scope) -> list[Member]:
        """Every member of every set that is not retired, ordered by set and ordinal."""
        return self._read(standing(_ALL, scope, appliances.c.tenant))

    def of_set(self, scope: Scope, uid: str) -> list[Member]:
        """Every member of one set, retired or not, ordered by ordinal."""
        return self._where(scope, appliances.c.set_uid == uid)

    def get(self, scope: Scope, appliance: ApplianceId) -> Member | None:
        """One member, or None."""
        found = self._where(scope, appliances.c.set_uid == appliance[0], appliances.c.ordinal == appliance[1])
        return found[0] if found else None

    def history(
        self,
        scope: Scope,
        uid: str,
        ordinal: int | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> list[HistoryEntry]:
        """Changes of state in ``[since, until)`` of one appliance, or of a whole set, oldest first."""
        row = history.c
        where = [row.set_uid == uid, *covered(scope, row.tenant)]
        where += [] if ordinal is None else [row.ordinal == ordinal]
        where += [] if since is None else [row.at >= since]
        where += [] if until is None else [row.at < until]
        statement = _ENTRY.where(*where).order_by(row.at, row.id)
        return self._database.read(lambda connection: [HistoryEntry(*found) for found in connection.execute(statement)])

    def at(self, scope: Scope, uid: str, ordinal: int, instant: dt.datetime) -> ApplianceState | None:
        """The state an appliance had at ``instant``; None before it was wanted."""
        row = history.c
        statement = (
            sa.select(row.state)
            .where(row.set_uid == uid, row.ordinal == ordinal, row.at <= instant, *covered(scope, row.tenant))
            .order_by(row.at.desc(), row.id.desc())
            .limit(1)
        )
        return self._database.read(lambda connection: connection.execute(statement).scalar_one_or_none())

    def _where(self, scope: Scope, *conditions: Any) -> list[Member]:
        return self._read(_ROW.where(*conditions, *covered(scope, appliances.c.tenant)).order_by(*_ORDER))

    def _read(self, statement: sa.Select[Any]) -> list[Member]:
        return self._database.raw(statement, _from_text if self._database.is_sqlite else _from_typed)


# Two conversions instead of one with a call per column: at a hundred thousand rows a call is what costs. For the same
# reason named tuples are made by tuple's own constructor.


class _Instants(dict[str | None, dt.datetime | None]):
    """Parses an instant once: members of a set change together, so they repeat. Lives as long as one read."""

    def __missing__(self, text: str) -> dt.datetime:
        instant = self[text] = dt.datetime.fromisoformat(text)
        return instant


def _from_text(rows: Iterable[Any]) -> list[Member]:
    states, powers, instants, new = _STATES, _POWERS, _Instants({None: None}), tuple.__new__
    return [
        new(Member, (a, b, c, states[state], instants[since], powers[wanted], d, e, f, g, h, i, j, instants[retry_at]))
        for a, b, c, state, since, wanted, d, e, f, g, h, i, j, retry_at in rows
    ]


def _from_typed(rows: Iterable[Any]) -> list[Member]:
    states, powers, new = _STATES, _POWERS, tuple.__new__
    return [
        new(Member, (a, b, c, states[state], since, powers[wanted], d, e, f, g, h, i, j, retry_at))
        for a, b, c, state, since, wanted, d, e, f, g, h, i, j, retry_at in rows
    ]
