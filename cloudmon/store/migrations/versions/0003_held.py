"""A kind of finding for what breakers hold back."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

NAME = "ck_findings_kind_known"
KINDS = "kind IN ('fault', 'orphan', 'duplicate', 'wild', 'unreachable', 'suspicious', 'incident', 'lease', 'held')"


def upgrade() -> None:
    # SQLite cannot change a CHECK in place: there the table is made anew.
    with op.batch_alter_table("findings") as table:
        table.drop_constraint(NAME, type_="check")
        table.create_check_constraint(NAME, KINDS)
