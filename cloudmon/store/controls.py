"""Pauses, protections and maintenance windows, from when they are laid until they are released."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.model.sets import Control, ControlKind
from cloudmon.model.tenants import Scope
from cloudmon.store import scoping
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.tables import controls, sets

_FIELDS = tuple(Control.__dataclass_fields__)
_ROW = sa.select(*(controls.c[name] for name in _FIELDS))
_STANDING = _ROW.where(controls.c.released_at.is_(None)).order_by(controls.c.id)


class Controls:
    """What people lay upon sets and appliances."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def active(self, scope: Scope, now: dt.datetime) -> list[Control]:
        """Those in force at ``now``."""
        return [
            control
            for control in self._database.read(lambda connection: standing(connection, scope))
            if control.since <= now and (control.until is None or now < control.until)
        ]

    def lay(self, owner: Ownership, control: Control, now: dt.datetime, request_id: str = "") -> Control:
        """Write a control (its ``id`` is given by the store) and log it.

        The same ``request_id`` again changes nothing and returns what was laid then. Raises StoreError when there is
        no such set.
        """

        def work(writing: Writing) -> Control:
            tenant = _tenant(writing.connection, control.set_uid)
            if request_id:
                earlier = writing.connection.execute(_ROW.where(controls.c.request_id == request_id)).first()
                if earlier is not None:
                    return Control(*earlier)
            values = {name: getattr(control, name) for name in _FIELDS if name != "id"}
            values |= {"tenant": tenant, "request_id": request_id, "released_at": None}
            inserted = sa.insert(controls).values(**values).returning(controls.c.id)
            laid = dataclasses.replace(control, id=writing.connection.execute(inserted).scalar_one())
            body: dict[str, object] = {"kind": control.kind, "ordinal": control.ordinal, "owner": control.owner}
            body |= {"reason": control.reason, "until": control.until, "request": request_id}
            writing.log(tenant, LogEntry(control.set_uid, now, "control.laid", _subject(control), body))
            return laid

        return self._owned.write(owner, work)

    def release(  # noqa: PLR0913  # whose, which, when and why
        self,
        owner: Ownership,
        uid: str,
        ordinal: int | None,
        kind: ControlKind | None,
        now: dt.datetime,
        *,
        by: str = "",
        reason: str = "",
    ) -> int:
        """Release the controls of ``kind`` (None: of every kind) laid upon exactly this appliance, or with ``ordinal``
        None upon the whole set; returns how many there were. Log them."""

        def work(writing: Writing) -> int:
            row = controls.c
            which = [row.set_uid == uid, row.released_at.is_(None)]
            which.append(row.ordinal.is_(None) if ordinal is None else row.ordinal == ordinal)
            which += [] if kind is None else [row.kind == kind]
            statement = sa.update(controls).where(*which).values(released_at=now)
            statement = statement.returning(row.tenant, *(row[name] for name in _FIELDS))
            released = sorted(writing.connection.execute(statement), key=lambda found: int(found.id))
            for tenant, *fields in released:
                control = Control(*fields)
                body = {"kind": control.kind, "ordinal": control.ordinal, "owner": by, "reason": reason}
                writing.log(tenant, LogEntry(uid, now, "control.released", _subject(control), body))
            return len(released)

        return self._owned.write(owner, work)


def standing(connection: Connection, scope: Scope) -> list[Control]:
    """Controls that are not released, in force or not at any instant."""
    statement = scoping.standing(_STANDING, scope, controls.c.tenant)
    return [Control(*found) for found in connection.execute(statement)]


def _tenant(connection: Connection, uid: str) -> Any:
    tenant = connection.execute(sa.select(sets.c.tenant).where(sets.c.uid == uid)).scalar_one_or_none()
    if tenant is None:
        raise StoreError(f"there is no set {uid}; nothing was written")
    return tenant


def _subject(control: Control) -> str:
    return control.set_uid if control.ordinal is None else f"{control.set_uid}/{control.ordinal}"
