"""The tables of what goes on inside appliances: agents, their reports, and where rules stand."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cloudmon.store.columns import instant, numbered, real, structure, text, whole
from cloudmon.store.rows import Row, index, table


class EnrolmentRow(Row, table=True):
    """Ids of tokens that were handed out by hand, and of those of user data once they were used. Never a token."""

    __tablename__ = "enrolments"
    __table_args__ = (index("ix_enrolments_member", "set_uid", "ordinal"),)
    id: str = text(key=True)
    set_uid: str = text(foreign="sets.uid")
    ordinal: int = whole()
    tenant: str = text()
    incarnation: int = whole()
    author: str = text()
    created_at: dt.datetime = instant()
    expires_at: dt.datetime = instant()
    used_at: dt.datetime | None = instant(null=True)
    instance: str = text()


class AgentRow(Row, table=True):
    """The agent that speaks for each appliance now, and how far it was heard.

    ``taken`` counts the reports of the appliance, whichever agent sent them; ``boots`` has the latest boots before
    this one, newest last, each with the number of its last report.
    """

    __tablename__ = "agents"
    __table_args__ = ({"sqlite_with_rowid": False},)
    set_uid: str = text(key=True, foreign="sets.uid")
    ordinal: int = whole(key=True)
    tenant: str = text()
    incarnation: int = whole()
    instance: str = text()
    enrolment: str = text()
    version: str = text()
    enrolled_at: dt.datetime = instant()
    serial: int = whole()
    revoked_at: dt.datetime | None = instant(null=True)
    boot: str = text()
    seq: int = whole()
    hash: str = text()
    received_at: dt.datetime | None = instant(null=True)
    offset_s: float = real()
    taken: int = whole()
    boots: list[Any] = structure()
    abilities: list[str] | None = structure(null=True)


class ReportSnapshot(Row, table=True):
    """Whole states of appliances; ``number`` counts the reports taken of an appliance, and says which it is after."""

    __tablename__ = "report_snapshots"
    __table_args__ = (index("ix_report_snapshots_member", "set_uid", "ordinal", "number", unique=True),)
    id: int = numbered()
    set_uid: str = text()
    ordinal: int = whole()
    number: int = whole()
    tenant: str = text()
    incarnation: int = whole()
    boot: str = text()
    seq: int = whole()
    hash: str = text()
    reported_at: dt.datetime = instant()
    received_at: dt.datetime = instant()
    body: str = text()


class ReportChange(Row, table=True):
    """What changed in appliances, report by report; numbered as the snapshots are."""

    __tablename__ = "report_changes"
    __table_args__ = (index("ix_report_changes_member", "set_uid", "ordinal", "number", unique=True),)
    id: int = numbered()
    set_uid: str = text()
    ordinal: int = whole()
    number: int = whole()
    tenant: str = text()
    incarnation: int = whole()
    boot: str = text()
    seq: int = whole()
    hash: str = text()
    why: str = text()
    reported_at: dt.datetime = instant()
    received_at: dt.datetime = instant()
    body: str = text()


class RuleRow(Row, table=True):
    """Where a rule stands for an appliance; no row: it does not hold."""

    __tablename__ = "rule_states"
    __table_args__ = ({"sqlite_with_rowid": False},)
    set_uid: str = text(key=True)
    ordinal: int = whole(key=True)
    rule: str = text(key=True)
    tenant: str = text()
    since: dt.datetime = instant()
    hits: str = text()
    rung: int = whole()
    retry_at: dt.datetime | None = instant(null=True)
    intent_id: str = text()


class GrantRow(Row, table=True):
    """Accounts on the members of sets; at most one stands for each set and user."""

    __tablename__ = "grants"
    __table_args__ = (index("ix_grants_standing", "set_uid", "user", where="revoked_at IS NULL", unique=True),)
    id: str = text(key=True)
    tenant: str = text()
    set_uid: str = text(foreign="sets.uid")
    user: str = text()
    keys: list[str] = structure()
    rights: list[str] = structure()
    author: str = text()
    reason: str = text()
    since: dt.datetime = instant()
    until: dt.datetime | None = instant(null=True)
    revoked_at: dt.datetime | None = instant(null=True)


enrolments = table(EnrolmentRow)
agents = table(AgentRow)
report_snapshots = table(ReportSnapshot)
report_changes = table(ReportChange)
rule_states = table(RuleRow)
grants = table(GrantRow)
