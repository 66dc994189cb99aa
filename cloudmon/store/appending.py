"""What changes only add: collected, then inserted in batches in one order, at the end of the transaction."""

from __future__ import annotations

import datetime as dt
import itertools
from functools import cache
from typing import Any

import sqlalchemy as sa

from cloudmon.model.appliances import HistoryEntry
from cloudmon.model.changes import Change, FindingEnd, RuleClear, Telling, Timer, TimerClear
from cloudmon.model.findings import Finding
from cloudmon.model.policies import RuleState
from cloudmon.model.usage import UsageEvent
from cloudmon.store import incarnations as incarnation_rows
from cloudmon.store import intents as intent_rows
from cloudmon.store import rules as rule_rows
from cloudmon.store.columns import Instant
from cloudmon.store.outbox import Outbox
from cloudmon.store.owned import Writing
from cloudmon.store.rows import Insert
from cloudmon.store.tables import findings, history, incarnations, intents, timers, usage_events

_TimerKey = tuple[str, int, str]


class Appending:
    """The additions of one transaction."""

    def __init__(self, writing: Writing, now: dt.datetime) -> None:
        self._writing = writing
        self._now = now
        self._incarnations: list[dict[str, Any]] = []
        self._intents: list[dict[str, Any]] = []
        self._keys: set[object] = set()
        self._history: list[dict[str, Any]] = []
        self._usage: list[UsageEvent] = []
        self._cleared: dict[_TimerKey, None] = {}
        self._timers: dict[_TimerKey, dict[str, Any]] = {}
        self._findings: list[tuple[str, Finding | FindingEnd | Telling]] = []
        self._rules: dict[tuple[str, str, int, str], RuleState | RuleClear] = {}

    def add(self, change: Change) -> None:
        """Take in what ``change`` adds."""
        if change.opens_incarnation is not None:
            row = change.opens_incarnation
            self._incarnations.append(incarnation_rows.to_row(row))
            self._keys.add((row.set_uid, row.ordinal, row.number))
        if change.opens_intent is not None:
            self._intents.append(intent_rows.to_row(change.opens_intent))
            self._keys.add(change.opens_intent.id)
        if change.history is not None:
            self._history.append(history_row(change.tenant, change.history))
        self._usage.extend(change.usage)
        for timer in change.timers:
            self._add_timer(change.tenant, timer)
        self._findings.extend((change.tenant, finding) for finding in (*change.findings, *change.tells))
        for rule in change.rules:
            self._rules[change.tenant, *rule.appliance, rule.rule] = rule  # the last word counts
        for entry in change.log:
            self._writing.log(change.tenant, entry)

    def touches(self, change: Change) -> bool:
        """Whether ``change`` updates a row that is still waiting to be inserted."""
        if not self._keys:
            return False
        if any(update.id in self._keys for update in change.intents):
            return True
        appliance = change.appliance
        return appliance is not None and any((*appliance, one.number) in self._keys for one in change.incarnations)

    def flush_rows(self) -> None:
        """Insert incarnations and intents now: something is about to update one of them."""
        connection = self._writing.connection
        if self._incarnations:
            connection.execute(_OPEN_INCARNATIONS, self._incarnations)
        if self._intents:
            connection.execute(_OPEN_INTENTS, self._intents)
        self._incarnations, self._intents, self._keys = [], [], set()

    def flush(self) -> None:
        """Insert everything."""
        self.flush_rows()
        if self._history:
            self._writing.connection.execute(_TELL, self._history)
        insert_usage(self._writing, self._usage)
        self._flush_timers()
        self._flush_findings()
        rule_rows.write(self._writing, self._rules)

    def _add_timer(self, tenant: str, timer: Timer | TimerClear) -> None:
        key = (timer.set_uid, timer.ordinal, timer.kind.value)
        if isinstance(timer, TimerClear):
            self._timers.pop(key, None)
            self._cleared[key] = None
            return
        earlier = self._timers.get(key)
        if earlier is None or timer.since < earlier["since"]:
            self._timers[key] = {
                "set_uid": timer.set_uid,
                "ordinal": timer.ordinal,
                "kind": timer.kind,
                "tenant": tenant,
                "since": timer.since,
            }

    def _flush_timers(self) -> None:
        execute = self._writing.connection.execute
        if self._cleared:
            execute(
                _CLEAR,
                [{"b_set_uid": uid, "b_ordinal": ordinal, "b_kind": kind} for uid, ordinal, kind in self._cleared],
            )
        if self._timers:
            execute(_set_timers(self._writing.insert), list(self._timers.values()))

    def _flush_findings(self) -> None:
        # An end and an opening of the same finding keep their order; runs of one kind go as one batch.
        outbox = Outbox(self._writing, self._now)
        for kind, found in itertools.groupby(self._findings, key=lambda item: type(item[1])):
            run = list(found)
            if kind is FindingEnd:
                ended = [(tenant, one) for tenant, one in run if isinstance(one, FindingEnd)]
                outbox.ending(ended)
                self._end_findings(ended)
            elif kind is Finding:
                opened = [one for _, one in run if isinstance(one, Finding)]
                outbox.opening(opened)
                self._open_findings(opened)
            else:
                outbox.calling([(tenant, one) for tenant, one in run if isinstance(one, Telling)])

    def _open_findings(self, opened: list[Finding]) -> None:
        added = {"b_changed_at": self._now, "told": []}
        rows = [{name: getattr(one, name) for name in _FINDING} | added for one in opened]
        self._writing.connection.execute(_open_findings(self._writing.insert), rows)

    def _end_findings(self, ended: list[tuple[str, FindingEnd]]) -> None:
        about = [
            {"b_kind": one.kind, "b_subject": one.subject, "b_tenant": tenant, "b_ended_at": self._now}
            for tenant, one in ended
        ]
        self._writing.connection.execute(_END_FINDING, about)


# Statements are made once: making one costs more than running it.

_OPEN_INCARNATIONS = sa.insert(incarnations)
_OPEN_INTENTS = sa.insert(intents)
_TELL = sa.insert(history)
_FINDING = tuple(Finding.__dataclass_fields__)

_CLEAR = sa.delete(timers).where(
    timers.c.set_uid == sa.bindparam("b_set_uid"),
    timers.c.ordinal == sa.bindparam("b_ordinal"),
    timers.c.kind == sa.bindparam("b_kind"),
)

_END_FINDING = (
    sa.update(findings)
    .where(
        findings.c.kind == sa.bindparam("b_kind"),
        findings.c.subject == sa.bindparam("b_subject"),
        findings.c.tenant == sa.bindparam("b_tenant"),
        findings.c.ended_at.is_(None),
    )
    .values(ended_at=sa.bindparam("b_ended_at"))
)


@cache
def _set_timers(insert: Insert) -> Any:
    upsert = insert(timers)
    return upsert.on_conflict_do_update(
        index_elements=["set_uid", "ordinal", "kind"],
        set_={"since": upsert.excluded.since},
        where=upsert.excluded.since < timers.c.since,
    )


@cache
def _open_findings(insert: Insert) -> Any:
    row = findings.c
    upsert = insert(findings)
    fresh = upsert.excluded
    changed = (row.message != fresh.message, row.evidence != fresh.evidence, row.severity != fresh.severity)
    return upsert.on_conflict_do_update(
        index_elements=["kind", "subject"],
        index_where=sa.text("ended_at IS NULL"),
        set_={
            "message": fresh.message,
            "evidence": fresh.evidence,
            "severity": fresh.severity,
            "changed_at": sa.bindparam("b_changed_at", type_=Instant()),
        },
        where=sa.and_(row.tenant == fresh.tenant, sa.or_(*changed)),
    )


@cache
def _append_usage(insert: Insert) -> Any:
    return insert(usage_events).on_conflict_do_nothing(index_elements=["key"])


def history_row(tenant: str, entry: HistoryEntry) -> dict[str, Any]:
    """The row of one change of state."""
    return {
        "set_uid": entry.set_uid,
        "ordinal": entry.ordinal,
        "tenant": tenant,
        "at": entry.at,
        "previous": entry.previous,
        "state": entry.state,
        "cause": entry.cause,
        "reason": entry.reason,
        "evidence": entry.evidence,
    }


def insert_usage(writing: Writing, events: list[UsageEvent]) -> None:
    """Append usage; an event whose key is there already says nothing new."""
    if events:
        writing.connection.execute(_append_usage(writing.insert), [event._asdict() for event in events])
