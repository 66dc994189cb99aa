"""Messages about findings that change, their deliveries, and whom a rule had told; a test message can be asked for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.Text()
INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
NUMBERED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

KINDS = "fault orphan duplicate wild unreachable suspicious incident lease held detected"
EVENTS = "opened worse ended called"
STATES = "pending sent dead"
REQUESTS = (
    "start stop suspend resume reboot replace retire extend pause protect maintain release adopt end-orphan apply "
    "confirm command enrol revoke notify"
)


def columns(kind: Any, *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, autoincrement=False, nullable=null) for name in names]


def known(column: str, words: str) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words.split())})"


def check(table: str, column: str, words: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(known(column, words), name=f"ck_{table}_{column}_known")


def upgrade() -> None:
    op.add_column("findings", sa.Column("told", JSON, nullable=False, server_default="[]"))
    with op.batch_alter_table("findings") as table:
        table.alter_column("told", server_default=None)
    # SQLite cannot change a CHECK in place: there the table is made anew.
    with op.batch_alter_table("requests") as table:
        table.drop_constraint("ck_requests_verb_known", type_="check")
        table.create_check_constraint("ck_requests_verb_known", known("verb", REQUESTS))
    op.create_table(
        "messages",
        sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
        *columns(TEXT, "tenant"),
        *columns(INSTANT, "at"),
        *columns(TEXT, "event", "kind", "subject", "severity", "message"),
        *columns(JSON, "evidence"),
        *columns(INSTANT, "opened_at"),
        *columns(JSON, "told"),
        check("messages", "event", EVENTS),
        check("messages", "kind", KINDS),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", NUMBERED, autoincrement=True, nullable=False),
        *columns(TEXT, "id", "notifier", "tenant", "subject", "event", "severity", "title"),
        *columns(JSON, "body"),
        *columns(INSTANT, "created_at", "due_at"),
        *columns(TEXT, "state"),
        *columns(sa.BigInteger(), "attempts"),
        *columns(INSTANT, "ended_at", null=True),
        *columns(TEXT, "error"),
        check("deliveries", "event", f"{EVENTS} digest test"),
        check("deliveries", "state", STATES),
        sa.PrimaryKeyConstraint("seq", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_id", "deliveries", ["id"], unique=True)
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_deliveries_pending", "deliveries", ["notifier", "seq"], sqlite_where=pending, postgresql_where=pending
    )
    op.create_index("ix_deliveries_created", "deliveries", ["created_at"])
    op.create_index("ix_deliveries_ended", "deliveries", ["ended_at"])
