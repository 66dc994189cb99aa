"""What appliances said of themselves: whole states now and then, what changed in between, and what that adds up to."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model import states
from cloudmon.model.guests import GuestState, Report, ReportKind, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import Scope
from cloudmon.store import taking
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered
from cloudmon.store.tables import report_changes, report_snapshots

_FIELDS = ("number", "incarnation", "boot", "seq", "hash", "reported_at", "received_at", "body")
_NONE: Mapping[ApplianceId, GuestState] = MappingProxyType({})
_STATES_AT_ONCE = 100
_PRUNED_AT_ONCE = 10


class Heard(NamedTuple):
    """One report as it was taken."""

    received_at: dt.datetime
    kind: ReportKind
    body: Mapping[str, object]


class Reports:
    """States of appliances and how they came about."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def take(
        self,
        owner: Ownership,
        reports: Sequence[Report],
        *,
        now: dt.datetime,
        snapshots: Mapping[ApplianceId, GuestState] = _NONE,
    ) -> list[bool]:
        """Write verified reports in order, in one transaction; True for each that was taken.

        One is taken when it is of the agent that speaks for its appliance (instance, incarnation, tenant, not revoked)
        and news of it: a greater number of the same boot, or another boot. A difference must build on the hash of what
        was taken before it; the first report of an agent is a full one. With it the results of commands are written:
        those that are open and of this appliance end as done or failed, logged as ``intent.done``, ``intent.failed``.
        What is not taken writes nothing. ``snapshots`` are written as :meth:`snapshot` does.

        That hashes are true of full reports and differences is for the caller to have seen. Raises StoreError (nothing
        written) when a body is no JSON, Fenced, StoreUnavailable.
        """
        if not reports and not snapshots:
            return []
        bodies = [(report, taking.encoded(report.body)) for report in reports]
        wholes = _true(snapshots.values())
        return self._owned.write(owner, lambda writing: taking.take(writing, bodies, wholes, now)[0])

    def snapshot(self, owner: Ownership, state: GuestState, now: dt.datetime) -> bool:
        """Keep a state whole, so that it need not be added up from what came before it. Not a report: nothing else
        changes.

        False, and nothing is written, when its hash is not true or no report is known that it is the state after.
        """
        wholes = _true([state])
        if not wholes:
            return False
        return self._owned.write(owner, lambda writing: taking.take(writing, [], wholes, now)[1][0])

    def state(self, scope: Scope, appliance: ApplianceId, at: dt.datetime | None = None) -> GuestState | None:
        """The state of an appliance now, or at ``at``, of whatever incarnation said it last.

        None when nothing was heard, and when what is kept does not add up to the hash that was told: the way on is a
        full report.
        """
        return self._database.read(lambda connection: _state(connection, scope, appliance, at))

    def states(self, scope: Scope, appliances: Iterable[ApplianceId]) -> dict[ApplianceId, GuestState]:
        """The states of several; those that :meth:`state` has none of are left out."""
        wanted, found = list(appliances), {}
        for at in range(0, len(wanted), _STATES_AT_ONCE):
            some = wanted[at : at + _STATES_AT_ONCE]
            of = self._database.read(partial(_states, scope=scope, appliances=some))
            found.update({state.appliance: state for state in of if state is not None})
        return found

    def history(
        self,
        scope: Scope,
        appliance: ApplianceId,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> list[Heard]:
        """What came in at ``[since, until)`` and is kept, in the order it was taken.

        A state that was kept whole stands here, as a full report, only where what led to it is kept no more.
        """

        def work(connection: Connection) -> list[Any]:
            found = []
            for kind, table in ((ReportKind.FULL, report_snapshots), (ReportKind.DIFF, report_changes)):
                row = table.c
                where = [*_of(table, appliance), *covered(scope, row.tenant)]
                where += [] if since is None else [row.received_at >= since]
                where += [] if until is None else [row.received_at < until]
                statement = sa.select(row.number, row.received_at, row.body).where(*where)
                found += [(number, kind, at, body) for number, at, body in connection.execute(statement)]
            return found

        # By number, and of one number the difference first: "diff" sorts before "full".
        rows = sorted(self._database.read(work), key=lambda one: one[:2])
        first = [next(same) for _, same in itertools.groupby(rows, key=lambda one: one[0])]
        return [Heard(at, kind, json.loads(body)) for _, kind, at, body in first]

    def prune(self, owner: Ownership, *, before: dt.datetime) -> int:
        """Forget what is not needed to tell the state of an appliance at ``before`` or later; returns how many rows.

        A state can only be told from a whole one: differences since the newest of those before ``before`` stay. Several
        transactions, so that others get their turn; when one fails the earlier ones stand.
        """
        row = report_snapshots.c
        newest = sa.select(row.set_uid, row.ordinal, sa.func.max(row.number)).where(row.received_at < before)
        newest = newest.group_by(row.set_uid, row.ordinal)
        due = self._database.read(
            lambda connection: [(uid, at, number) for uid, at, number in connection.execute(newest)]
        )
        pruned = 0
        for at in range(0, len(due), _PRUNED_AT_ONCE):
            some = due[at : at + _PRUNED_AT_ONCE]
            pruned += self._owned.write(owner, partial(_forget, due=some))
        return pruned


def _true(told: Iterable[GuestState]) -> list[tuple[GuestState, str]]:
    """Those whose hash is true: one that is not would spoil every state after it."""
    return [
        (state, taking.encoded(state.sections)) for state in told if states.state_hash(state.sections) == state.hash
    ]


def _of(table: sa.Table, appliance: ApplianceId) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.set_uid == appliance.set_uid, table.c.ordinal == appliance.ordinal


def _state(connection: Connection, scope: Scope, appliance: ApplianceId, at: dt.datetime | None) -> GuestState | None:
    def rows(table: sa.Table, *more: sa.ColumnElement[bool]) -> sa.Select[Any]:
        row = table.c
        until = [] if at is None else [row.received_at <= at]
        return sa.select(*(row[name] for name in _FIELDS)).where(
            *_of(table, appliance), *until, *more, *covered(scope, row.tenant)
        )

    newest_first = report_snapshots.c.number.desc()
    whole = connection.execute(rows(report_snapshots).order_by(newest_first).limit(1)).one_or_none()
    if whole is None:
        return None
    after = report_changes.c.number > whole.number
    changes = connection.execute(rows(report_changes, after).order_by(report_changes.c.number)).all()
    last = changes[-1] if changes else whole
    try:
        sections: Sections = states.whole(json.loads(whole.body))
        for change in changes:
            sections = states.apply(sections, json.loads(change.body))
    except ValueError:
        return None
    if states.state_hash(sections) != last.hash:
        return None
    return GuestState(
        appliance, last.incarnation, last.boot, last.seq, last.hash, last.reported_at, last.received_at, sections
    )


def _states(connection: Connection, scope: Scope, appliances: Sequence[ApplianceId]) -> list[GuestState | None]:
    return [_state(connection, scope, appliance, None) for appliance in appliances]


def _forget(writing: Writing, due: Sequence[tuple[str, int, int]]) -> int:
    forgotten, execute = 0, writing.connection.execute
    for set_uid, ordinal, number in due:
        appliance = ApplianceId(set_uid, ordinal)
        changes = sa.delete(report_changes).where(*_of(report_changes, appliance), report_changes.c.number <= number)
        wholes = sa.delete(report_snapshots).where(
            *_of(report_snapshots, appliance), report_snapshots.c.number < number
        )
        forgotten += execute(changes).rowcount + execute(wholes).rowcount
    return forgotten
