"""What user data a node was asked for with, and that a roll-out replaced one and watches it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

TIMERS = "absent fault steady searched replaced vanished"
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("incarnations", sa.Column("user_data", TEXT, nullable=True))
    # SQLite cannot change a CHECK in place: there the table is made anew.
    known = f"kind IN ({', '.join(repr(word) for word in TIMERS.split())})"
    with op.batch_alter_table("timers") as table:
        table.drop_constraint("ck_timers_kind_known", type_="check")
        table.create_check_constraint("ck_timers_kind_known", known)
