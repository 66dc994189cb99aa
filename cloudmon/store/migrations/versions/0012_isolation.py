"""Appliances can be isolated, and released."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

VERBS = (
    "launch start stop suspend resume reboot terminate adopt snapshot isolate release "
    "report_now app_install app_remove app_restart app_stop app_suspend app_resume app_update "
    "job_run process_end scan quarantine account_grant account_revoke agent_upgrade"
)
REQUESTS = (
    "start stop suspend resume reboot replace snapshot isolate rejoin retire extend pause protect maintain release "
    "adopt end-orphan apply confirm command enrol revoke grant withdraw notify"
)
STATES = "requested launching running stopped suspended isolated faulted retiring retired"
POWERS = "running stopped suspended isolated"
CHECKS = (
    ("intents", {"verb": VERBS}),
    ("requests", {"verb": REQUESTS}),
    ("appliances", {"state": STATES, "wanted": POWERS}),
    ("appliance_history", {"previous": STATES, "state": STATES}),
)


def known(column: str, words: str) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words.split())})"


def upgrade() -> None:
    # SQLite cannot change a CHECK in place: there the table is made anew.
    for name, columns in CHECKS:
        kept = {"sqlite_with_rowid": False} if name == "appliances" else {}
        with op.batch_alter_table(name, table_kwargs=kept) as table:
            for column, words in columns.items():
                table.drop_constraint(f"ck_{name}_{column}_known", type_="check")
                table.create_check_constraint(f"ck_{name}_{column}_known", known(column, words))
