"""Appliance sets and their generations: wanted state lives here."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import StoreError
from cloudmon.model import specs
from cloudmon.model.actions import LogEntry
from cloudmon.model.appliances import ApplianceState, Cause, HistoryEntry, Power
from cloudmon.model.changes import Change
from cloudmon.model.grants import Grant
from cloudmon.model.sets import ApplianceSet, Control, NextGeneration, SetSpec
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store import controls as control_rows
from cloudmon.store import grants as grant_rows
from cloudmon.store import ledger
from cloudmon.store.appending import history_row
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import appliances, history, set_generations, sets

UPDATABLE = frozenset(("lease_end", "retiring_since", "retired_reason", "retired_at", "warned_s"))

_JOINED = sa.select(sets, sa.type_coerce(set_generations.c.spec, sa.Text()).label("spec")).join(
    set_generations, sa.and_(set_generations.c.set_uid == sets.c.uid, set_generations.c.generation == sets.c.generation)
)

_BY_NAME = _JOINED.order_by(sets.c.name, sets.c.created_at, sets.c.uid)
_OF_AUTHOR = (
    sa.select(sets.c.tenant, sets.c.name, sa.type_coerce(set_generations.c.spec, sa.Text()))
    .join(sets, sets.c.uid == set_generations.c.set_uid)
    .where(set_generations.c.author == sa.bindparam("author"))
)
_LAST = _OF_AUTHOR.where(sets.c.retired_at.is_(None)).order_by(sets.c.name, set_generations.c.generation)
_ENDED = (
    _OF_AUTHOR.add_columns(sets.c.retired_reason)
    .where(sets.c.retired_at.is_not(None))
    .order_by(sets.c.retired_at, set_generations.c.generation)
)
_ACTIVE = _BY_NAME.where(sets.c.retired_at.is_(None))


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> SetSpec:
    # Equal text is an equal spec, and specs are frozen: whoever reads the same generation again shares one.
    return specs.from_json(json.loads(text))


class Sets:
    """What tenants asked for."""

    def __init__(self, database: Database, owned: Owned, new_uid: Callable[[], str]) -> None:
        self._database = database
        self._owned = owned
        self._new_uid = new_uid

    # --- reading ------------------------------------------------------------------------------------------------

    def active(self, scope: Scope) -> list[ApplianceSet]:
        """Sets that are not retired, by name; with the controls that are not released, and
        the grants that were not taken back."""
        return self._read(scope, standing(_ACTIVE, scope, sets.c.tenant))

    def all(self, scope: Scope) -> list[ApplianceSet]:
        """Every set there ever was, by name, a name's oldest first."""
        return self._read(scope, standing(_BY_NAME, scope, sets.c.tenant))

    def get(self, scope: Scope, uid: str) -> ApplianceSet | None:
        """The set of that uid, or None."""
        found = self._where(scope, sets.c.uid == uid)
        return found[0] if found else None

    def named(self, scope: Scope, name: str) -> ApplianceSet | None:
        """The active set of that name, else the one retired last, else None."""
        found = self._where(scope, sets.c.name == name)
        active = [one for one in found if one.retired_at is None]
        if active or not found:
            return active[0] if active else None
        return max(found, key=lambda one: (one.retired_at, one.created_at))

    def generations(self, scope: Scope, uid: str) -> list[tuple[int, str, SetSpec, dt.datetime]]:
        """(generation, author, spec, created_at) of a set, oldest first."""
        row = set_generations.c
        statement = (
            sa.select(row.generation, row.author, sa.type_coerce(row.spec, sa.Text()), row.created_at)
            .where(row.set_uid == uid, *covered(scope, row.tenant))
            .order_by(row.generation)
        )
        return self._database.read(
            lambda connection: [
                (generation, author, _parsed(spec), created_at)
                for generation, author, spec, created_at in connection.execute(statement)
            ]
        )

    def last_of_author(self, scope: Scope, author: str) -> dict[tuple[str, str], SetSpec]:
        """By tenant and name of each active set: the newest generation that ``author`` wrote of it."""
        statement = standing(_LAST, scope, sets.c.tenant)
        # The later generation of a set overwrites the earlier one.
        return self._database.read(
            lambda connection: {
                (tenant, name): _parsed(spec)
                for tenant, name, spec in connection.execute(statement, {"author": author})
            }
        )

    def ended_of_author(self, scope: Scope, author: str) -> dict[tuple[str, str], tuple[SetSpec, str]]:
        """By tenant and name of each set that has ended: the newest generation that ``author`` wrote of the one that
        ended last, and the reason of its end."""
        statement = standing(_ENDED, scope, sets.c.tenant)
        return self._database.read(
            lambda connection: {
                (tenant, name): (_parsed(spec), why)
                for tenant, name, spec, why in connection.execute(statement, {"author": author})
            }
        )

    def _where(self, scope: Scope, *conditions: Any) -> list[ApplianceSet]:
        return self._read(scope, _BY_NAME.where(*conditions, *covered(scope, sets.c.tenant)))

    def _read(self, scope: Scope, statement: sa.Select[Any]) -> list[ApplianceSet]:
        def work(connection: Connection) -> list[ApplianceSet]:
            rows = list(connection.execute(statement))
            laid: defaultdict[str, list[Control]] = defaultdict(list)
            for control in control_rows.standing(connection, scope):
                laid[control.set_uid].append(control)
            given: defaultdict[str, list[Grant]] = defaultdict(list)
            for grant in grant_rows.standing(connection, scope):
                given[grant.set_uid].append(grant)
            return [_from_row(row, tuple(laid[row.uid]), tuple(given[row.uid])) for row in rows]

        return self._database.read(work)

    # --- writing ------------------------------------------------------------------------------------------------

    def put(  # noqa: PLR0913  # a generation with all that belongs to it
        self,
        owner: Ownership,
        *,
        uid: str | None,
        spec: SetSpec,
        author: str,
        now: dt.datetime,
        changes: Sequence[Change] = (),
        reason: str = "",
    ) -> ApplianceSet:
        """Write a new set (``uid`` None) or the next generation of one, with rows for members that are new.

        Members whose row was RETIRED and that are wanted again go back to REQUESTED and keep their incarnation
        number. A lease end that the new spec changed replaces an extension; one that it repeats does not. Raises
        StoreError when the name is taken by an active set of the tenant, when ``uid`` names no set, one of another
        tenant, or one that is retiring or retired (an end is never taken back), or when one of ``changes`` does not
        hold: then nothing of all this is written.
        """

        def work(writing: Writing) -> str:
            found = self._create(writing, spec, author, now) if uid is None else _advance(writing, uid, spec, author)
            _generation(writing, found, spec, author, now, reason)
            if not all(ledger.apply(writing, changes, now=now)):
                raise StoreError(f"a change that belongs to set {spec.name!r} does not hold; nothing was written")
            return str(found.uid)

        written = self.get(EVERYONE, self._owned.write(owner, work))
        assert written is not None  # noqa: S101  # sets are never deleted
        return written

    def _create(self, writing: Writing, spec: SetSpec, author: str, now: dt.datetime) -> Any:
        row = sets.c
        taken = sa.select(row.uid).where(row.tenant == spec.tenant, row.name == spec.name, row.retired_at.is_(None))
        if writing.connection.execute(taken).first() is not None:
            raise StoreError(f"tenant {spec.tenant!r} has an active set {spec.name!r} already; nothing was written")
        uid = self._new_uid()
        values = {"uid": uid, "name": spec.name, "tenant": spec.tenant, "generation": 1, "author": author}
        values |= {"created_at": now, "lease_end": spec.lease.ends(now), "retiring_since": None, "retired_reason": ""}
        writing.connection.execute(sa.insert(sets), [{**values, "retired_at": None, "warned_s": ()}])
        return writing.connection.execute(sa.select(sets).where(row.uid == uid)).one()

    def update(
        self,
        owner: Ownership,
        uid: str,
        *,
        now: dt.datetime,  # noqa: ARG002  # every write says when it is
        log: LogEntry | None,
        **values: object,
    ) -> bool:
        """Set columns of a set that is not retired; False, and nothing logged, when it is or when there is none.

        ``values``: lease_end, retiring_since, retired_reason, retired_at, warned_s.
        """

        def work(writing: Writing) -> bool:
            return apply_update(writing, uid, values, log)

        return self._owned.write(owner, work)


def apply_update(writing: Writing, uid: str, values: Mapping[str, object], log: LogEntry | None) -> bool:
    """Inside a transaction: what :meth:`Sets.update` promises."""
    unknown = set(values) - UPDATABLE
    if unknown or not values:
        raise StoreError(f"a set has no column {', '.join(sorted(unknown))!r} that can be updated")
    statement = sa.update(sets).where(sets.c.uid == uid, sets.c.retired_at.is_(None)).values(**values)
    found = writing.connection.execute(statement.returning(sets.c.tenant)).scalar_one_or_none()
    if found is None:
        return False
    writing.log(found, log)
    return True


def apply_generation(writing: Writing, fresh: NextGeneration, *, now: dt.datetime) -> bool:
    """Inside a transaction: the next generation of a set with rows for members that are new, as :meth:`Sets.put`
    writes them. False, and nothing written, when the set is not active, or not at the generation that this one
    follows any more."""
    row = sets.c
    follows = sa.select(row.uid).where(row.uid == fresh.uid, row.generation == fresh.follows)
    active = follows.where(row.retiring_since.is_(None), row.retired_at.is_(None))
    if writing.connection.execute(active).first() is None:
        return False
    found = _advance(writing, fresh.uid, fresh.spec, fresh.author)
    _generation(writing, found, fresh.spec, fresh.author, now, fresh.reason)
    return True


def _generation(  # a generation with all that belongs to it
    writing: Writing, found: Any, spec: SetSpec, author: str, now: dt.datetime, reason: str
) -> None:
    row = {"set_uid": found.uid, "generation": found.generation, "tenant": spec.tenant, "author": author}
    row |= {"created_at": now, "reason": reason, "spec": specs.to_json(spec)}
    writing.connection.execute(sa.insert(set_generations), [row])
    _want_members(writing, found.uid, spec, now, reason or f"wanted by {author}")
    body = {"name": spec.name, "generation": found.generation, "author": author, "count": spec.count}
    writing.log(spec.tenant, LogEntry(found.uid, now, "set.generation", spec.name, {**body, "reason": reason}))


def _advance(writing: Writing, uid: str, spec: SetSpec, author: str) -> Any:
    connection = writing.connection
    before = connection.execute(_JOINED.where(sets.c.uid == uid)).one_or_none()
    if before is None or before.tenant != spec.tenant:
        raise StoreError(f"tenant {spec.tenant!r} has no set {uid}; nothing was written")
    if before.retiring_since is not None or before.retired_at is not None:
        raise StoreError(f"set {before.name!r} is retiring, and an end is never taken back; nothing was written")
    if before.name != spec.name:
        raise StoreError(f"set {before.name!r} cannot become {spec.name!r}; nothing was written")
    values: dict[str, Any] = {"generation": before.generation + 1, "author": author}
    ends = spec.lease.ends(before.created_at)
    if _parsed(before.spec).lease.ends(before.created_at) != ends:
        values |= {"lease_end": ends, "warned_s": ()}
    connection.execute(sa.update(sets).where(sets.c.uid == uid).values(**values))
    return connection.execute(sa.select(sets).where(sets.c.uid == uid)).one()


def _want_members(writing: Writing, uid: str, spec: SetSpec, now: dt.datetime, reason: str) -> None:
    row = appliances.c
    rows = writing.connection.execute(sa.select(row.ordinal, row.state).where(row.set_uid == uid))
    states: dict[int, ApplianceState] = {found.ordinal: found.state for found in rows}
    fresh = [ordinal for ordinal in range(1, spec.count + 1) if ordinal not in states]
    again = [one for one in range(1, spec.count + 1) if states.get(one) is ApplianceState.RETIRED]
    wanted = {"state": ApplianceState.REQUESTED, "since": now, "wanted": Power.RUNNING, "node_id": "", "retry_at": None}
    wanted |= {"rung": 0, "attempts": 0}
    if fresh:
        empty = {"set_uid": uid, "tenant": spec.tenant, "incarnation": 0, "token": "", "cloud": "", "location": ""}
        writing.connection.execute(
            sa.insert(appliances), [{**empty, **wanted, "ordinal": ordinal} for ordinal in fresh]
        )
    if again:
        statement = sa.update(appliances).where(row.set_uid == uid, row.ordinal == sa.bindparam("b_ordinal"))
        writing.connection.execute(statement.values(**wanted), [{"b_ordinal": ordinal} for ordinal in again])
    entries = [
        HistoryEntry(uid, one, now, states.get(one), ApplianceState.REQUESTED, Cause.COMMANDED, reason, {})
        for one in (*fresh, *again)
    ]
    if entries:
        writing.connection.execute(sa.insert(history), [history_row(spec.tenant, entry) for entry in entries])


def _from_row(row: Any, controls: tuple[Control, ...], grants: tuple[Grant, ...]) -> ApplianceSet:
    return ApplianceSet(
        uid=row.uid,
        name=row.name,
        tenant=row.tenant,
        generation=row.generation,
        author=row.author,
        spec=_parsed(row.spec),
        created_at=row.created_at,
        lease_end=row.lease_end,
        retiring_since=row.retiring_since,
        retired_reason=row.retired_reason,
        retired_at=row.retired_at,
        warned_s=tuple(row.warned_s),
        controls=controls,
        grants=grants,
    )
