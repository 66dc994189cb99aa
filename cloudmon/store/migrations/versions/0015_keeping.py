"""Snapshots that were kept long enough are ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

VERBS = (
    "launch start stop suspend resume reboot terminate adopt snapshot snapshot_end isolate release "
    "peers_open peers_close "
    "report_now app_install app_remove app_restart app_stop app_suspend app_resume app_update "
    "job_run process_end scan quarantine account_grant account_revoke agent_upgrade"
)


def upgrade() -> None:
    # SQLite cannot change a CHECK in place: there the table is made anew.
    with op.batch_alter_table("intents") as table:
        table.drop_constraint("ck_intents_verb_known", type_="check")
        known = f"verb IN ({', '.join(repr(word) for word in VERBS.split())})"
        table.create_check_constraint("ck_intents_verb_known", known)
    where = sa.text("verb IN ('snapshot', 'snapshot_end')")
    op.create_index("ix_intents_snapshots", "intents", ["created_at"], sqlite_where=where, postgresql_where=where)
