"""Takes reports: decides which are news of an agent that is believed, and writes those of one call in a few batches.

Each row of ``agents`` that a call is about is read once, decided on, and written once. That is safe because the owner's
transactions follow each other on every database. ``number`` counts what was taken of an appliance: it says the order of
changes, and which of them a snapshot already holds.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.errors import StoreError
from cloudmon.model.actions import GUEST_VERBS, OPEN_INTENTS, IntentState, LogEntry
from cloudmon.model.guests import GuestState, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.store.owned import Writing
from cloudmon.store.rows import Insert
from cloudmon.store.tables import agents, intents, report_changes, report_snapshots

BOOTS_KEPT = 8
"""Boots before the present one of which we know how far they were heard."""

_ORDINALS_AT_ONCE = 1_000
# Plain ASCII: characters that no database takes stand as escapes, so that the state's hash is still true when read.
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

# A set at a time: SQLite looks up a list of pairs by the first of each alone.
_HEADS = sa.select(
    agents.c.ordinal,
    agents.c.tenant,
    agents.c.incarnation,
    agents.c.instance,
    agents.c.revoked_at,
    agents.c.boot,
    agents.c.seq,
    agents.c.hash,
    agents.c.received_at,
    agents.c.taken,
    agents.c.boots,
).where(agents.c.set_uid == sa.bindparam("b_set_uid"), agents.c.ordinal.in_(sa.bindparam("ordinals", expanding=True)))
_ADVANCE = (
    sa.update(agents)
    .where(agents.c.set_uid == sa.bindparam("b_set_uid"), agents.c.ordinal == sa.bindparam("b_ordinal"))
    .values(
        {name: sa.bindparam(name) for name in ("boot", "seq", "hash", "taken", "boots")}
        | {name: sa.bindparam(name) for name in ("version", "received_at", "offset_s")}
    )
)
_CHANGES = sa.insert(report_changes)
_END_COMMAND = (
    sa.update(intents)
    .where(
        intents.c.id == sa.bindparam("b_id"),
        intents.c.set_uid == sa.bindparam("b_set_uid"),
        intents.c.ordinal == sa.bindparam("b_ordinal"),
        intents.c.tenant == sa.bindparam("b_tenant"),
        intents.c.verb.in_(sorted(GUEST_VERBS)),
        intents.c.state.in_(sorted(OPEN_INTENTS)),
    )
    .values({name: sa.bindparam(name) for name in ("state", "ended_at", "error", "result")})
    .returning(intents.c.verb)
)


def _number_in(table: sa.Table) -> sa.Select[Any]:
    keys = ("set_uid", "ordinal", "incarnation", "boot", "seq", "hash")
    numbers = sa.select(table.c.number).where(*(table.c[name] == sa.bindparam(f"b_{name}") for name in keys))
    return numbers.order_by(table.c.number.desc()).limit(1)


_NUMBERS = (_number_in(report_changes), _number_in(report_snapshots))


@cache
def _put_snapshots(insert: Insert) -> Any:
    return insert(report_snapshots).on_conflict_do_nothing(index_elements=["set_uid", "ordinal", "number"])


def encoded(body: Mapping[str, object]) -> str:
    """A report's body as it is kept. Raises StoreError for what is no JSON."""
    try:
        return _ENCODE(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a report cannot be written: {error}; nothing was written") from error


@dataclass(slots=True)
class _Head:
    """How far an appliance was heard: the row of its agent, and what this call makes of it."""

    tenant: str
    incarnation: int
    instance: str
    revoked_at: dt.datetime | None
    boot: str
    seq: int
    hash: str
    received_at: dt.datetime | None
    taken: int
    boots: list[list[Any]]
    newest: Report | None = None
    """What this call took last."""

    def fits(self, report: Report) -> bool:
        """Whether ``report`` is news, of this agent, and stands on what was taken before it."""
        if self.revoked_at is not None or self.tenant != report.tenant:
            return False
        if (self.instance, self.incarnation) != (report.instance, report.incarnation):
            return False
        if self.received_at is None:
            return report.kind is ReportKind.FULL
        if report.seq <= (self.seq if report.boot == self.boot else dict(self.boots).get(report.boot, report.seq - 1)):
            return False
        return report.kind is ReportKind.FULL or report.base == self.hash

    def take(self, report: Report) -> None:
        """Go on to ``report``."""
        if self.received_at is not None and report.boot != self.boot:
            earlier = [[boot, seq] for boot, seq in self.boots if boot not in (self.boot, report.boot)]
            self.boots = [*earlier, [self.boot, self.seq]][-BOOTS_KEPT:]
        self.boot, self.seq, self.hash = report.boot, report.seq, report.hash
        self.received_at = report.received_at
        self.taken += 1
        self.newest = report


def take(
    writing: Writing,
    reports: Sequence[tuple[Report, str]],
    snapshots: Sequence[tuple[GuestState, str]],
    now: dt.datetime,
) -> tuple[list[bool], list[bool]]:
    """Write reports and snapshots, each with its body as :func:`encoded`; which of them were written."""
    connection = writing.connection
    heads = _heads(connection, {one.appliance for one, _ in reports} | {one.appliance for one, _ in snapshots})
    results, changes, wholes = [], [], []
    for report, body in reports:
        head = heads.get(report.appliance)
        fits = head is not None and head.fits(report)
        results.append(fits)
        if head is None or not fits:
            continue
        head.take(report)
        row = _row(report, head, head.taken, body)
        if report.kind is ReportKind.FULL:
            wholes.append(row)
        else:
            changes.append(row | {"why": report.why})
        _end_commands(writing, report, now)
    if changes:
        connection.execute(_CHANGES, changes)
    written = []
    for state, body in snapshots:
        head = heads.get(state.appliance)
        number = None if head is None else _number(connection, head, state)
        written.append(number is not None)
        if head is not None and number is not None:
            wholes.append(_row(state, head, number, body))
    if wholes:
        connection.execute(_put_snapshots(writing.insert), wholes)
    moved = [_advanced(*item) for item in heads.items() if item[1].newest is not None]
    if moved:
        connection.execute(_ADVANCE, moved)
    return results, written


def _heads(connection: Connection, about: Iterable[ApplianceId]) -> dict[ApplianceId, _Head]:
    heads = {}
    for set_uid, members in itertools.groupby(sorted(about), key=lambda one: one.set_uid):
        ordinals = [one.ordinal for one in members]
        for at in range(0, len(ordinals), _ORDINALS_AT_ONCE):
            some = {"b_set_uid": set_uid, "ordinals": ordinals[at : at + _ORDINALS_AT_ONCE]}
            for ordinal, *fields in connection.execute(_HEADS, some):
                heads[ApplianceId(set_uid, ordinal)] = _Head(*fields)
    return heads


def _row(about: Report | GuestState, head: _Head, number: int, body: str) -> dict[str, Any]:
    return {
        "set_uid": about.appliance.set_uid,
        "ordinal": about.appliance.ordinal,
        "number": number,
        "tenant": head.tenant,
        "incarnation": about.incarnation,
        "boot": about.boot,
        "seq": about.seq,
        "hash": about.hash,
        "reported_at": about.reported_at,
        "received_at": about.received_at,
        "body": body,
    }


def _advanced(appliance: ApplianceId, head: _Head) -> dict[str, Any]:
    newest = head.newest
    assert newest is not None  # noqa: S101  # those that moved
    return {
        "b_set_uid": appliance.set_uid,
        "b_ordinal": appliance.ordinal,
        "boot": head.boot,
        "seq": head.seq,
        "hash": head.hash,
        "taken": head.taken,
        "boots": head.boots,
        "version": newest.version,
        "received_at": newest.received_at,
        "offset_s": newest.offset_s,
    }


def _number(connection: Connection, head: _Head, state: GuestState) -> int | None:
    """Which report of its appliance a state is after; None when there was none such."""
    if (head.boot, head.seq, head.hash, head.incarnation) == (state.boot, state.seq, state.hash, state.incarnation):
        return head.taken
    about = {f"b_{name}": getattr(state, name) for name in ("incarnation", "boot", "seq", "hash")}
    about |= {"b_set_uid": state.appliance.set_uid, "b_ordinal": state.appliance.ordinal}
    found = (connection.execute(numbers, about).scalar_one_or_none() for numbers in _NUMBERS)
    return next((int(number) for number in found if number is not None), None)


def _end_commands(writing: Writing, report: Report, now: dt.datetime) -> None:
    uid, ordinal = report.appliance
    for result in report.results:
        state = IntentState.DONE if result.ok else IntentState.FAILED
        told = {"exit": result.exit, "output": result.output, "error": result.error, "ended_at": result.ended_at}
        of = {"b_id": result.intent_id, "b_set_uid": uid, "b_ordinal": ordinal, "b_tenant": report.tenant}
        values = of | {"state": state, "ended_at": report.received_at, "error": result.error}
        values["result"] = {name: value for name, value in told.items() if value is not None}
        verb = writing.connection.execute(_END_COMMAND, values).scalar_one_or_none()
        if verb is not None:
            body = {"verb": verb, "appliance": f"{uid}/{ordinal}", "exit": result.exit, "error": result.error}
            writing.log(report.tenant, LogEntry(uid, now, f"intent.{state}", result.intent_id, body))
