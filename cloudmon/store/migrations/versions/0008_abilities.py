"""Which verbs an agent performs, where it does not perform them all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("agents", sa.Column("abilities", sa.Text(), nullable=True))
