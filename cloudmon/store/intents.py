"""Reads intents, and turns one into its row and back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from cloudmon.model.actions import GUEST_VERBS, ActionClass, Intent, IntentState, Verb
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import intents

_PLAIN = tuple(name for name in Intent.__dataclass_fields__ if name != "appliance")
_ROW = sa.select(intents.c.set_uid, intents.c.ordinal, *(intents.c[name] for name in _PLAIN))
_OLDEST_FIRST = (intents.c.created_at, intents.c.set_uid, intents.c.ordinal, intents.c.id)
_NEWEST_FIRST = (intents.c.created_at.desc(), intents.c.id.desc())
# Written out, so that the partial indexes over exactly these serve them.
_ASKED = sa.text("intents.request_id <> ''")
_OPEN = sa.text("intents.state IN ('recorded', 'performed', 'incident')")
_SNAPSHOTS = sa.text("intents.verb IN ('snapshot', 'snapshot_end')")
_PENDING = sa.text("intents.state IN ('recorded', 'performed')")
_ALL_OPEN = _ROW.where(_OPEN).order_by(*_OLDEST_FIRST)
_RECENT = _ROW.where(intents.c.created_at >= sa.bindparam("since")).order_by(*_OLDEST_FIRST)
_TELLING = _RECENT.where(
    sa.or_(
        intents.c.action_class != ActionClass.SAFE,
        sa.and_(intents.c.verb == Verb.LAUNCH, intents.c.state == IntentState.FAILED),
    )
)


class Intents:
    """Control actions, written down before they are performed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, scope: Scope) -> list[Intent]:
        """Those that have not come to their end, incidents among them: something is still to be done or to be seen.
        Oldest first."""
        return self._read(standing(_ALL_OPEN, scope, intents.c.tenant))

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
        return self._read(standing(_RECENT, scope, intents.c.tenant), since=since)

    def telling(self, scope: Scope, since: dt.datetime) -> list[Intent]:
        """Those of :meth:`recent` that budgets and the choice of offers look back at: all that can hurt, and launches
        that failed. Oldest first."""
        return self._read(standing(_TELLING, scope, intents.c.tenant), since=since)

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
        statement = _ROW.where(*conditions, *covered(scope, intents.c.tenant)).order_by(*order)
        if limit is not None:
            statement = statement.limit(limit)
        return self._read(statement)

    def _read(self, statement: sa.Select[Any], **values: Any) -> list[Intent]:
        return self._database.read(
            lambda connection: [
                Intent(intent_id, ApplianceId(uid, ordinal), *told)
                for uid, ordinal, intent_id, *told in connection.execute(statement, values)
            ]
        )


def to_row(intent: Intent) -> dict[str, Any]:
    """The row of a new intent."""
    values = {name: getattr(intent, name) for name in _PLAIN}
    return values | {"set_uid": intent.appliance.set_uid, "ordinal": intent.appliance.ordinal}
