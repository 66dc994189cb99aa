"""What people and programs ask a running service for. Anyone may add one; only the owner moves it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.actions import LogEntry
from cloudmon.model.changes import Change
from cloudmon.model.requests import Request, RequestState
from cloudmon.model.sets import NextGeneration
from cloudmon.model.tenants import Scope
from cloudmon.store import ledger, rows
from cloudmon.store import sets as set_rows
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import requests

ENDS = frozenset((RequestState.DONE, RequestState.REFUSED, RequestState.FAILED))

_FIELDS = tuple(Request.__dataclass_fields__)
_ROW = sa.select(*(requests.c[name] for name in _FIELDS)).order_by(requests.c.seq, requests.c.created_at, requests.c.id)
# Written out, so that the partial index over these states serves it.
_OPEN = sa.text("requests.state IN ('pending', 'accepted')")
_ALL_OPEN = _ROW.where(_OPEN)
_ALL_PENDING = _ALL_OPEN.where(requests.c.state == RequestState.PENDING)


# Two that are added at the same moment may get the same number: then neither was first, and their instants decide.
_NEXT = sa.select(sa.func.coalesce(sa.func.max(requests.c.seq), 0) + 1).scalar_subquery()


class _NotMoved(Exception):  # no error: it only takes the transaction back
    """Takes the transaction back."""


class SetMove(NamedTuple):
    """What a request's move changes in a set."""

    uid: str
    values: Mapping[str, object]
    """As :meth:`cloudmon.store.sets.Sets.update` takes them."""
    log: LogEntry | None


class Requests:
    """Wishes and what came of them."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def add(self, request: Request) -> None:
        """Write a request; the same id again changes nothing."""
        insert = rows.insert_of(self._database.is_sqlite)
        values = {name: getattr(request, name) for name in _FIELDS}
        statement: Any = insert(requests).values(**values, seq=_NEXT).on_conflict_do_nothing(index_elements=["id"])

        def work(connection: Connection) -> None:
            connection.execute(statement)

        self._database.write(work)

    def pending(self, scope: Scope) -> list[Request]:
        """Those nobody has looked at yet, in the order in which they were added."""
        return self._read(standing(_ALL_PENDING, scope, requests.c.tenant))

    def open(self, scope: Scope) -> list[Request]:
        """Those pending or accepted, in the order in which they were added."""
        return self._read(standing(_ALL_OPEN, scope, requests.c.tenant))

    def get(self, scope: Scope, request_id: str) -> Request | None:
        """The request of that id, or None."""
        found = self._where(scope, requests.c.id == request_id)
        return found[0] if found else None

    def recent(self, scope: Scope, since: dt.datetime) -> list[Request]:
        """All made at ``since`` or later, in the order in which they were added."""
        return self._where(scope, requests.c.created_at >= since)

    def move(  # noqa: PLR0913  # a move with all that belongs to it
        self,
        owner: Ownership,
        request_id: str,
        expected: RequestState,
        state: RequestState,
        *,
        now: dt.datetime,
        outcome: str = "",
        log: LogEntry | None = None,
        changes: Sequence[Change] = (),
        aset: SetMove | None = None,
        generation: NextGeneration | None = None,
    ) -> bool:
        """Move a request that is in ``expected`` to ``state``, with everything that belongs to the move.

        ``generation`` comes before ``changes``, which may therefore be about members that it adds. All or nothing:
        False, and nothing written, when the request is not in ``expected``, one of ``changes`` does not hold, the set
        of ``aset`` is retired, or that of ``generation`` is not what ``generation`` follows.
        """

        def work(writing: Writing) -> bool:
            row = requests.c
            values: dict[str, Any] = {"state": state, "outcome": outcome}
            if state in ENDS:
                values["ended_at"] = now
            statement = sa.update(requests).where(row.id == request_id, row.state == expected).values(**values)
            tenant = writing.connection.execute(statement.returning(row.tenant)).scalar_one_or_none()
            if tenant is None:
                raise _NotMoved
            if generation is not None and not set_rows.apply_generation(writing, generation, now=now):
                raise _NotMoved
            if not all(ledger.apply(writing, changes, now=now)):
                raise _NotMoved
            if aset is not None and not set_rows.apply_update(writing, *aset):
                raise _NotMoved
            writing.log(tenant, log)
            return True

        try:
            return self._owned.write(owner, work)
        except _NotMoved:
            return False

    def _where(self, scope: Scope, *conditions: Any) -> list[Request]:
        return self._read(_ROW.where(*conditions, *covered(scope, requests.c.tenant)))

    def _read(self, statement: sa.Select[Any]) -> list[Request]:
        return self._database.read(lambda connection: [Request(*row) for row in connection.execute(statement)])
