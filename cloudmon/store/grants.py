"""Accounts that people asked for, from when they are granted until they are taken back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.actions import LogEntry
from cloudmon.model.grants import Access, Grant, fingerprint
from cloudmon.model.tenants import Scope
from cloudmon.store import rows, scoping
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered
from cloudmon.store.tables import grants, sets

_ROW = sa.select(grants)
_STANDING = _ROW.where(grants.c.revoked_at.is_(None)).order_by(grants.c.set_uid, grants.c.user)


class Grants:
    """Accounts on the members of sets."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def standing(self, scope: Scope) -> list[Grant]:
        """Those that were not taken back, whether their time is over or not, by set and user."""
        return self._database.read(lambda connection: standing(connection, scope))

    def of_set(self, scope: Scope, uid: str) -> list[Grant]:
        """All there ever were on a set, oldest first."""
        statement = _ROW.where(grants.c.set_uid == uid, *covered(scope, grants.c.tenant))
        statement = statement.order_by(grants.c.since, grants.c.id)
        return self._database.read(lambda connection: [_grant(row) for row in connection.execute(statement)])

    def give(self, owner: Ownership, grant: Grant, now: dt.datetime) -> bool:
        """Write a grant in the place of any other that stands for its user, and log it.

        The same id again changes nothing; False, and nothing written, for a set that there is not, or that is another
        tenant's.
        """

        def work(writing: Writing) -> bool:
            tenant = sa.select(sets.c.tenant).where(sets.c.uid == grant.set_uid)
            if writing.connection.execute(tenant).scalar_one_or_none() != grant.tenant:
                return False
            if writing.connection.execute(_ROW.where(grants.c.id == grant.id)).first() is not None:
                return True
            _take_back(writing, grant.set_uid, grant.user, now)
            insert = rows.insert_of(self._database.is_sqlite)
            writing.connection.execute(insert(grants).values(**_values(grant)))
            writing.log(grant.tenant, LogEntry(grant.set_uid, now, "account.granted", grant.user, _shown(grant)))
            return True

        return self._owned.write(owner, work)

    def take_back(  # whose, which, when and why
        self, owner: Ownership, uid: str, user: str, now: dt.datetime, *, by: str, reason: str
    ) -> bool:
        """Take back what stands for a user on a set, and log it; False when nothing does."""

        def work(writing: Writing) -> bool:
            tenant = _take_back(writing, uid, user, now)
            if tenant is None:
                return False
            body = {"author": by, "reason": reason}
            writing.log(tenant, LogEntry(uid, now, "account.withdrawn", user, body))
            return True

        return self._owned.write(owner, work)


def standing(connection: Connection, scope: Scope) -> list[Grant]:
    """As :meth:`Grants.standing` promises, inside a reading."""
    return [_grant(row) for row in connection.execute(scoping.standing(_STANDING, scope, grants.c.tenant))]


def _take_back(writing: Writing, uid: str, user: str, now: dt.datetime) -> str | None:
    row = grants.c
    statement = sa.update(grants).where(row.set_uid == uid, row.user == user, row.revoked_at.is_(None))
    found: str | None = writing.connection.execute(
        statement.values(revoked_at=now).returning(row.tenant)
    ).scalar_one_or_none()
    return found


def _grant(row: Any) -> Grant:
    return Grant(
        id=row.id,
        tenant=row.tenant,
        set_uid=row.set_uid,
        user=row.user,
        access=Access(tuple(row.keys), tuple(row.rights), row.until),
        author=row.author,
        reason=row.reason,
        since=row.since,
        revoked_at=row.revoked_at,
    )


def _values(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "tenant": grant.tenant,
        "set_uid": grant.set_uid,
        "user": grant.user,
        "keys": list(grant.access.keys),
        "rights": list(grant.access.rights),
        "author": grant.author,
        "reason": grant.reason,
        "since": grant.since,
        "until": grant.access.until,
        "revoked_at": grant.revoked_at,
    }


def _shown(grant: Grant) -> Mapping[str, object]:
    access = grant.access
    until = access.until.isoformat() if access.until is not None else None
    keys = [fingerprint(key) for key in access.keys]
    found = {"keys": keys, "rights": list(access.rights), "until": until}
    return {**found, "author": grant.author, "reason": grant.reason, "request": grant.id}
