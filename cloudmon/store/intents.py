"""Reads intents, and turns one into its row and back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from cloudmon.model.actions import GUEST_VERBS, ActionClass, Intent, IntentState, Verb
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered
from cloudmon.store.tables import intents

_PLAIN = tuple(name for name in Intent.__dataclass_fields__ if name != "appliance")
_OLDEST_FIRST = (intents.c.created_at, intents.c.set_uid, intents.c.ordinal, intents.c.id)
_NEWEST_FIRST = (intents.c.created_at.desc(), intents.c.id.desc())
# Written out, so that the partial indexes over exactly these serve them.
_ASKED = sa.text("intents.request_id <> ''")
_OPEN = sa.text("intents.state IN ('recorded', 'performed', 'incident')")
_SNAPSHOTS = sa.text("intents.verb IN ('snapshot', 'snapshot_end')")
_PENDING = sa.text("intents.state IN ('recorded', 'performed')")


class Intents:
    """Control actions, written down before they are performed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, scope: Scope) -> list[Intent]:
        """Those that have not come to their end, incidents among them: something is still to be done or to be seen.
        Oldest first."""
        return self._where(scope, _OPEN)

    def commands(self, scope: Scope, appliance: ApplianceId) -> list[Intent]:
        """Those recorded or performed that the agent of one appliance is to perform. Oldest first."""
        row = intents.c
        where = (row.set_uid == appliance.set_uid, row.ordinal == appliance.ordinal, row.verb.in_(sorted(GUEST_VERBS)))
        return self._where(scope, _PENDING, *where)

    def incidents(self, scope: Scope) -> list[Intent]:
        """Those of :meth:`open` that could not be brought to their end so far. Oldest first."""
        return self._where(scope, _OPEN, intents.c.state == IntentState.INCIDENT)

    def recent(self, scope: Scope, since: dt.datetime) -> list[Intent]:
        """All created at ``since`` or later, in whatever state. Oldest first."""
        return self._where(scope, intents.c.created_at >= since)

    def telling(self, scope: Scope, since: dt.datetime) -> list[Intent]:
        """Those of :meth:`recent` that budgets and the choice of offers look back at: all that can hurt, and launches
        that failed. Oldest first."""
        row = intents.c
        hurts = row.action_class != ActionClass.SAFE
        failed = sa.and_(row.verb == Verb.LAUNCH, row.state == IntentState.FAILED)
        return self._where(scope, row.created_at >= since, sa.or_(hurts, failed))

    def kept(self, scope: Scope, before: dt.datetime, limit: int) -> list[Intent]:
        """Those that took a snapshot before then, of whose end none is written down that is open or done. Oldest
        first."""
        row = intents.c
        ends = self._where(scope, _SNAPSHOTS, row.verb == Verb.SNAPSHOT_END, row.state != IntentState.FAILED)
        ended = {(one.cloud, one.arguments.get("kept")) for one in ends}
        taken = self._where(
            scope, _SNAPSHOTS, row.verb == Verb.SNAPSHOT, row.state == IntentState.DONE, row.ended_at < before
        )
        return [one for one in taken if (one.cloud, one.result.get("snapshot")) not in ended][:limit]

    def get(self, scope: Scope, intent_id: str) -> Intent | None:
        """The intent of that id, or None."""
        found = self._where(scope, intents.c.id == intent_id)
        return found[0] if found else None

    def of(self, scope: Scope, uid: str, ordinal: int | None = None, limit: int | None = None) -> list[Intent]:
        """Those of one appliance, or of a whole set, newest first, at most ``limit``."""
        where = [intents.c.set_uid == uid]
        if ordinal is not None:
            where.append(intents.c.ordinal == ordinal)
        return self._where(scope, *where, order=_NEWEST_FIRST, limit=limit)

    def of_request(self, scope: Scope, request_id: str) -> list[Intent]:
        """Those born of one request, oldest first."""
        return self._where(scope, _ASKED, intents.c.request_id == request_id)

    def latest(self, scope: Scope, limit: int) -> list[Intent]:
        """The newest of all, newest first."""
        return self._where(scope, order=_NEWEST_FIRST, limit=limit)

    def _where(
        self, scope: Scope, *conditions: Any, order: tuple[Any, ...] = _OLDEST_FIRST, limit: int | None = None
    ) -> list[Intent]:
        statement = sa.select(intents).where(*conditions, *covered(scope, intents.c.tenant)).order_by(*order)
        if limit is not None:
            statement = statement.limit(limit)
        return self._database.read(lambda connection: [_from_row(row) for row in connection.execute(statement)])


def _from_row(row: Any) -> Intent:
    values = row._mapping
    return Intent(appliance=ApplianceId(row.set_uid, row.ordinal), **{name: values[name] for name in _PLAIN})


def to_row(intent: Intent) -> dict[str, Any]:
    """The row of a new intent."""
    values = {name: getattr(intent, name) for name in _PLAIN}
    return values | {"set_uid": intent.appliance.set_uid, "ordinal": intent.appliance.ordinal}
