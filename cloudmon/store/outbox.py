"""Messages about findings, written in the transaction that changes the findings: a crash can only fall before both or
after both, so no change goes untold and none is told of that never was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from cloudmon.model import messages as telling
from cloudmon.model.changes import FindingEnd, Telling
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.messages import MessageEvent
from cloudmon.store.message_tables import messages
from cloudmon.store.owned import Writing
from cloudmon.store.tables import findings

_Key = tuple[FindingKind, str]

AT_ONCE = 500
"""Findings that are looked up in one statement: no database takes any number of values."""

_COLUMNS = ("tenant", "kind", "subject", "severity", "message", "evidence", "opened_at")
_ROW = sa.select(findings.c.id, findings.c.told, *(findings.c[name] for name in Finding.__dataclass_fields__)).where(
    sa.text("findings.ended_at IS NULL"),
    findings.c.kind.in_(sa.bindparam("kinds", expanding=True)),
    findings.c.subject.in_(sa.bindparam("subjects", expanding=True)),
)
_ADD = sa.insert(messages)
_REMEMBER = sa.update(findings).where(findings.c.id == sa.bindparam("b_id")).values(told=sa.bindparam("told"))


class Outbox:
    """The messages of one transaction. Each of its verbs comes before the findings themselves are written."""

    def __init__(self, writing: Writing, now: dt.datetime) -> None:
        self._writing = writing
        self._now = now
        self._wanted = writing.telling

    def opening(self, opened: Sequence[Finding]) -> None:
        """These are about to be opened, or said anew."""
        if not self._wanted:
            return
        before = {key: finding for key, (_, _, finding) in self._open((one.kind, one.subject) for one in opened)}
        rows = []
        for finding in opened:
            key = (finding.kind, finding.subject)
            known = before.get(key)
            if known is not None and known.tenant != finding.tenant:
                continue  # it is not written either
            event = telling.event_of(known, finding)
            if event is not None:
                since = finding.opened_at if known is None else known.opened_at
                rows.append(self._row(finding, event) | {"opened_at": since})
            before[key] = finding
        self._add(rows)

    def ending(self, ended: Sequence[tuple[str, FindingEnd]]) -> None:
        """The open ones of these kinds and subjects are about to end."""
        if not self._wanted:
            return
        open_now = dict(self._open((one.kind, one.subject) for _, one in ended))
        rows = []
        for tenant, one in ended:
            _, told, finding = open_now.get((one.kind, one.subject), (0, [], None))
            if finding is not None and finding.tenant == tenant:
                rows.append(self._row(finding, MessageEvent.ENDED, told))
                del open_now[one.kind, one.subject]
        self._add(rows)

    def calling(self, called: Sequence[tuple[str, Telling]]) -> None:
        """A rule's ladder has come to telling somebody of these."""
        if not self._wanted:
            return
        open_now = dict(self._open((one.kind, one.subject) for _, one in called))
        rows = []
        for tenant, one in called:
            number, told, finding = open_now.get((one.kind, one.subject), (0, [], None))
            if finding is not None and finding.tenant == tenant:
                rows.append(self._row(finding, MessageEvent.CALLED, [one.to]))
                # Whoever was told of it is told of its end.
                known = sorted({*told, one.to})
                self._writing.connection.execute(_REMEMBER, {"b_id": number, "told": known})
                open_now[one.kind, one.subject] = (number, known, finding)
        self._add(rows)

    def _open(self, keys: Iterable[_Key]) -> Iterator[tuple[_Key, tuple[int, list[str], Finding]]]:
        left = iter(sorted(set(keys)))
        while some := list(islice(left, AT_ONCE)):
            values = {"kinds": sorted({kind for kind, _ in some}), "subjects": [subject for _, subject in some]}
            for number, told, *fields in self._writing.connection.execute(_ROW, values):
                finding = Finding(*fields)
                yield (finding.kind, finding.subject), (number, told, finding)

    def _row(self, finding: Finding, event: MessageEvent, told: Sequence[str] = ()) -> dict[str, Any]:
        return {name: getattr(finding, name) for name in _COLUMNS} | {
            "at": self._now, "event": event, "told": list(told),
        }  # fmt: skip

    def _add(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._writing.connection.execute(_ADD, rows)
            self._writing.told += len(rows)
