"""Writes changes: each whole or not at all, all in one transaction, nothing by an owner that is no longer one.

A change's conditions are its updates themselves: they run, and when one of them touches no row the others of that
change are rolled back to a savepoint. What is only appended is collected and inserted in batches at the end, since
no later change reads it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from cloudmon.errors import StoreError
from cloudmon.model.appliances import Member
from cloudmon.model.changes import Budget, Change
from cloudmon.store import incarnations as incarnation_rows
from cloudmon.store.appending import Appending
from cloudmon.store.budgets import Tally
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.tables import appliances, incarnations, intents

MEMBER_COLUMNS = frozenset(Member._fields) - {"set_uid", "ordinal", "tenant"}
INTENT_COLUMNS = frozenset(
    ("attempts", "retry_at", "error", "node_id", "ended_at", "deadline", "evidence", "reason", "epoch", "result")
)


class Ledger:
    """The one way in for everything the monitor decides and learns."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    def write(
        self, owner: Ownership, changes: Sequence[Change], *, now: dt.datetime, budgets: Sequence[Budget] = ()
    ) -> list[bool]:
        """Write ``changes`` in order, in one transaction; True for each that was written, False for each that was not.

        A change is not written when its member's row no longer says what it expects, when an intent is no longer in
        one of the states it expects, or when the intent it opens is over a budget that covers it. Raises Fenced
        (nothing written) when ``owner`` is no longer the newest.
        """
        if not changes:
            return []
        return self._owned.write(owner, lambda writing: apply(writing, changes, now=now, budgets=budgets))


def apply(
    writing: Writing, changes: Sequence[Change], *, now: dt.datetime, budgets: Sequence[Budget] = ()
) -> list[bool]:
    """The changes' part of a transaction that writes more than them."""
    tally = Tally(writing.connection, budgets, changes, now)
    appending = Appending(writing, now)
    results = []
    for change in changes:
        intent = change.opens_intent
        written = (intent is None or tally.allows(intent)) and _conditions_hold(writing, change, appending)
        if written:
            appending.add(change)
            if intent is not None:
                tally.count(intent)
        results.append(written)
    appending.flush()
    return results


def _conditions_hold(writing: Writing, change: Change, appending: Appending) -> bool:
    """Make the change's updates; when one of them does not hold, none of them was made."""
    steps = len(change.intents) + len(change.incarnations) + (change.expect is not None or bool(change.member))
    if steps == 0:
        return True
    if appending.touches(change):
        appending.flush_rows()
    if steps == 1:
        return _update(writing, change)
    savepoint = writing.connection.begin_nested()
    if _update(writing, change):
        savepoint.commit()
        return True
    savepoint.rollback()
    return False


def _update(writing: Writing, change: Change) -> bool:
    return (
        _update_member(writing, change) and _update_intents(writing, change) and _update_incarnations(writing, change)
    )


def _update_member(writing: Writing, change: Change) -> bool:
    if change.expect is None and not change.member:
        return True
    if change.appliance is None:
        raise StoreError("a change of a member's row must say whose it is")
    statement = _member_update(frozenset(change.member), change.expect is not None)
    values: dict[str, Any] = dict(change.member)
    values |= {"b_set_uid": change.appliance.set_uid, "b_ordinal": change.appliance.ordinal, "b_tenant": change.tenant}
    if change.expect is not None:
        values |= {"b_state": change.expect.state, "b_incarnation": change.expect.incarnation}
    return writing.connection.execute(statement, values).rowcount == 1


@lru_cache(maxsize=256)
def _member_update(columns: frozenset[str], expected: bool) -> sa.Update:
    _known(columns, MEMBER_COLUMNS, "appliances")
    row = appliances.c
    where = [
        row.set_uid == sa.bindparam("b_set_uid"),
        row.ordinal == sa.bindparam("b_ordinal"),
        row.tenant == sa.bindparam("b_tenant"),
    ]
    if expected:
        where += [row.state == sa.bindparam("b_state"), row.incarnation == sa.bindparam("b_incarnation")]
    # A pure condition still updates, a column to itself: on PostgreSQL that also locks the row.
    values: Mapping[str, Any] = {name: sa.bindparam(name) for name in columns} or {"rung": row.rung}
    return sa.update(appliances).where(*where).values(values)


def _update_intents(writing: Writing, change: Change) -> bool:
    for update in change.intents:
        statement = _intent_update(frozenset(update.values), len(update.expected))
        values = {**update.values, "state": update.state, "b_id": update.id, "b_tenant": change.tenant}
        values |= {f"b_expected_{at}": state for at, state in enumerate(update.expected)}
        if writing.connection.execute(statement, values).rowcount != 1:
            return False
    return True


@lru_cache(maxsize=256)
def _intent_update(columns: frozenset[str], expected: int) -> sa.Update:
    _known(columns, INTENT_COLUMNS, "intents")
    row = intents.c
    return (
        sa.update(intents)
        .where(row.id == sa.bindparam("b_id"), row.tenant == sa.bindparam("b_tenant"))
        .where(sa.or_(sa.false(), *(row.state == sa.bindparam(f"b_expected_{at}") for at in range(expected))))
        .values({name: sa.bindparam(name) for name in columns | {"state"}})
    )


def _update_incarnations(writing: Writing, change: Change) -> bool:
    if change.incarnations and change.appliance is None:
        raise StoreError("a change of an incarnation must say whose it is")
    for update in change.incarnations:
        assert change.appliance is not None  # noqa: S101  # looked at above
        columns = incarnation_rows.columns_of(update.values)
        statement = _incarnation_update(frozenset(columns))
        columns |= {
            "b_set_uid": change.appliance.set_uid,
            "b_ordinal": change.appliance.ordinal,
            "b_number": update.number,
            "b_tenant": change.tenant,
        }
        if writing.connection.execute(statement, columns).rowcount != 1:
            return False
    return True


@lru_cache(maxsize=256)
def _incarnation_update(columns: frozenset[str]) -> sa.Update:
    _known(columns, incarnation_rows.UPDATABLE, "incarnations")
    row = incarnations.c
    return (
        sa.update(incarnations)
        .where(
            row.set_uid == sa.bindparam("b_set_uid"),
            row.ordinal == sa.bindparam("b_ordinal"),
            row.number == sa.bindparam("b_number"),
            row.tenant == sa.bindparam("b_tenant"),
        )
        .values({name: sa.bindparam(name) for name in columns})
    )


def _known(columns: frozenset[str], allowed: frozenset[str], table: str) -> None:
    unknown = columns - allowed
    if unknown:
        raise StoreError(f"{table} has no column {sorted(unknown)[0]!r} that a change may set")
