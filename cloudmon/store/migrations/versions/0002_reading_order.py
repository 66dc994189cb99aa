"""Usage in the order that folding reads it and intents of a request, by an index each; when a finding last changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
ORDER = ["set_uid", "ordinal", "incarnation", "cloud", "node_id", "dimension", "at", "mark", "key"]


def upgrade() -> None:
    op.create_index("ix_usage_events_order", "usage_events", ORDER)
    asked = sa.text("request_id <> ''")
    op.create_index("ix_intents_request", "intents", ["request_id"], sqlite_where=asked, postgresql_where=asked)
    # Null for findings that never changed: nobody knows it of those that stand there now.
    op.add_column("findings", sa.Column("changed_at", INSTANT, nullable=True))
