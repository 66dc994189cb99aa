"""Snapshots can be taken and asked for; what was found bad in one member is looked for in the others."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

VERBS = (
    "launch start stop suspend resume reboot terminate adopt snapshot "
    "report_now app_install app_remove app_restart app_stop app_suspend app_resume app_update "
    "job_run process_end scan quarantine account_grant account_revoke agent_upgrade"
)
REQUESTS = (
    "start stop suspend resume reboot replace snapshot retire extend pause protect maintain release adopt "
    "end-orphan apply confirm command enrol revoke grant withdraw notify"
)
TIMERS = "absent fault steady searched vanished"
CHECKS = (("intents", "verb", VERBS), ("requests", "verb", REQUESTS), ("timers", "kind", TIMERS))


def known(column: str, words: str) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words.split())})"


def upgrade() -> None:
    # SQLite cannot change a CHECK in place: there the table is made anew.
    for name, column, words in CHECKS:
        with op.batch_alter_table(name) as table:
            table.drop_constraint(f"ck_{name}_{column}_known", type_="check")
            table.create_check_constraint(f"ck_{name}_{column}_known", known(column, words))
