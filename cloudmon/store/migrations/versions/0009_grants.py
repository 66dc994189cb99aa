"""Accounts that are granted on the members of sets, and the requests for them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.Text()
INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
REQUESTS = (
    "start stop suspend resume reboot replace retire extend pause protect maintain release adopt end-orphan apply "
    "confirm command enrol revoke grant withdraw notify"
)


def columns(kind: Any, *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=null) for name in names]


def upgrade() -> None:
    known = ", ".join(repr(word) for word in REQUESTS.split())
    # SQLite cannot change a CHECK in place: there the table is made anew.
    with op.batch_alter_table("requests") as table:
        table.drop_constraint("ck_requests_verb_known", type_="check")
        table.create_check_constraint("ck_requests_verb_known", f"verb IN ({known})")
    op.create_table(
        "grants",
        *columns(TEXT, "id", "tenant", "set_uid", "user"),
        *columns(JSON, "keys", "rights"),
        *columns(TEXT, "author", "reason"),
        *columns(INSTANT, "since"),
        *columns(INSTANT, "until", "revoked_at", null=True),
        sa.ForeignKeyConstraint(["set_uid"], ["sets.uid"], name="fk_grants_set_uid"),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
    )
    stands = sa.text("revoked_at IS NULL")
    op.create_index(
        "ix_grants_standing", "grants", ["set_uid", "user"], unique=True, sqlite_where=stands, postgresql_where=stands
    )
