"""Reads detected conditions; they open and end with the changes that the ledger writes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cloudmon.model.findings import Finding
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import findings

_ROW = sa.select(*(findings.c[name] for name in Finding.__dataclass_fields__)).order_by(
    findings.c.opened_at, findings.c.id
)
_OPEN = sa.text("findings.ended_at IS NULL")
_ALL_OPEN = _ROW.where(_OPEN)


class Findings:
    """What was detected and stays open until it ends."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, scope: Scope) -> list[Finding]:
        """Those that have not ended, oldest first."""
        return self._read(standing(_ALL_OPEN, scope, findings.c.tenant))

    def of(self, scope: Scope, subject: str) -> list[Finding]:
        """Every finding of a subject, ended ones included, oldest first."""
        return self._where(scope, findings.c.subject == subject)

    def of_appliance(self, scope: Scope, uid: str, ordinal: int) -> list[Finding]:
        """Those that have not ended and are about one appliance, or about something in it, oldest first."""
        row, subject = findings.c, f"{uid}/{ordinal}"
        # What is in it is told after a colon; a semicolon is the next character.
        inside = sa.and_(row.subject > f"{subject}:", row.subject < f"{subject};")
        return self._where(scope, _OPEN, sa.or_(row.subject == subject, inside))

    def _where(self, scope: Scope, *conditions: Any) -> list[Finding]:
        return self._read(_ROW.where(*conditions, *covered(scope, findings.c.tenant)))

    def _read(self, statement: sa.Select[Any]) -> list[Finding]:
        return self._database.read(lambda connection: [Finding(*row) for row in connection.execute(statement)])
