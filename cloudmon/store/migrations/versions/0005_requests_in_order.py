"""Requests in the order in which they were added."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Those that are there already come first, in the order of their instants.
    op.add_column("requests", sa.Column("seq", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("requests") as table:
        table.alter_column("seq", server_default=None)
    op.create_index("ix_requests_seq", "requests", ["seq"])
