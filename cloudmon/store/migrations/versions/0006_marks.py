"""Usage events are corrected by better ones, and none is taken back: the mark for that was never written."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # SQLite cannot change a CHECK in place: there the table is made anew.
    with op.batch_alter_table("usage_events") as table:
        table.drop_constraint("ck_usage_events_mark_known", type_="check")
        table.create_check_constraint("ck_usage_events_mark_known", "mark IN ('began', 'ended', 'quantity')")
