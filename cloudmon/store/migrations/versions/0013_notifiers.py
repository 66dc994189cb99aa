"""Who is told, and from when on: a notifier that is new is told once of what is open already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "notifiers",
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("since", INSTANT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notifiers"),
    )
    # Whoever was told of something is not new.
    op.execute("INSERT INTO notifiers SELECT notifier, MIN(created_at) FROM deliveries GROUP BY notifier")
