"""What appliances say of themselves, the agents that say it, and where rules stand; commands inside appliances."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.Text()
INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
WHOLE = sa.BigInteger()
NUMBERED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.Double[float] = sa.Double()

FINDING_KINDS = "fault orphan duplicate wild unreachable suspicious incident lease held detected"
VERBS = (
    "launch start stop suspend resume reboot terminate adopt "
    "report_now app_install app_remove app_restart app_stop app_suspend app_resume app_update "
    "job_run process_end scan quarantine account_grant account_revoke agent_upgrade"
)
REQUESTS = (
    "start stop suspend resume reboot replace retire extend pause protect maintain release adopt end-orphan apply "
    "confirm command enrol revoke"
)
MEMBER = ["set_uid", "ordinal"]
NUMBER = [*MEMBER, "number"]


def columns(kind: Any, *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, autoincrement=False, nullable=null) for name in names]


def known(column: str, words: str) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words.split())})"


def of_set(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["set_uid"], ["sets.uid"], name=f"fk_{table}_set_uid")


def upgrade() -> None:
    _change_intents()
    # SQLite cannot change a CHECK in place: there the table is made anew.
    for name, column, words in (("findings", "kind", FINDING_KINDS), ("requests", "verb", REQUESTS)):
        with op.batch_alter_table(name) as table:
            table.drop_constraint(f"ck_{name}_{column}_known", type_="check")
            table.create_check_constraint(f"ck_{name}_{column}_known", known(column, words))
    _make_agents()
    for name, more in (("report_snapshots", []), ("report_changes", columns(TEXT, "why"))):
        op.create_table(
            name,
            sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
            *columns(TEXT, "set_uid"),
            *columns(WHOLE, "ordinal", "number"),
            *columns(TEXT, "tenant"),
            *columns(WHOLE, "incarnation"),
            *columns(TEXT, "boot"),
            *columns(WHOLE, "seq"),
            *columns(TEXT, "hash"),
            *more,
            *columns(INSTANT, "reported_at", "received_at"),
            *columns(TEXT, "body"),
            sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        )
        op.create_index(f"ix_{name}_member", name, NUMBER, unique=True)
    op.create_table(
        "rule_states",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "rule", "tenant"),
        *columns(INSTANT, "since"),
        *columns(TEXT, "hits"),
        *columns(WHOLE, "rung"),
        *columns(INSTANT, "retry_at", null=True),
        *columns(TEXT, "intent_id"),
        sa.PrimaryKeyConstraint("set_uid", "ordinal", "rule", name="pk_rule_states"),
        sqlite_with_rowid=False,
    )


def _change_intents() -> None:
    for name in ("arguments", "result"):
        op.add_column("intents", sa.Column(name, JSON, nullable=False, server_default="{}"))
    with op.batch_alter_table("intents") as table:
        for name in ("arguments", "result"):
            table.alter_column(name, server_default=None)
        table.drop_constraint("ck_intents_verb_known", type_="check")
        table.create_check_constraint("ck_intents_verb_known", known("verb", VERBS))
    pending = sa.text("state IN ('recorded', 'performed')")
    created = [*MEMBER, "created_at"]
    op.create_index("ix_intents_pending", "intents", created, sqlite_where=pending, postgresql_where=pending)


def _make_agents() -> None:
    op.create_table(
        "enrolments",
        *columns(TEXT, "id", "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "tenant"),
        *columns(WHOLE, "incarnation"),
        *columns(TEXT, "author"),
        *columns(INSTANT, "created_at", "expires_at"),
        *columns(INSTANT, "used_at", null=True),
        *columns(TEXT, "instance"),
        of_set("enrolments"),
        sa.PrimaryKeyConstraint("id", name="pk_enrolments"),
    )
    op.create_index("ix_enrolments_member", "enrolments", MEMBER)
    op.create_table(
        "agents",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "tenant"),
        *columns(WHOLE, "incarnation"),
        *columns(TEXT, "instance", "enrolment", "version"),
        *columns(INSTANT, "enrolled_at"),
        *columns(WHOLE, "serial"),
        *columns(INSTANT, "revoked_at", null=True),
        *columns(TEXT, "boot"),
        *columns(WHOLE, "seq"),
        *columns(TEXT, "hash"),
        *columns(INSTANT, "received_at", null=True),
        *columns(REAL, "offset_s"),
        *columns(WHOLE, "taken"),
        *columns(JSON, "boots"),
        of_set("agents"),
        sa.PrimaryKeyConstraint("set_uid", "ordinal", name="pk_agents"),
        sqlite_with_rowid=False,
    )
