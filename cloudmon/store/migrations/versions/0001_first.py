"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.Text()
INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
WHOLE = sa.BigInteger()
NUMBERED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean()

APPLIANCE_STATES = "requested launching running stopped suspended faulted retiring retired"
CAUSES = "commanded fault cloud-outage maintenance unknown"
FINDING_KINDS = "fault orphan duplicate wild unreachable suspicious incident lease"
VERBS = "launch start stop suspend resume reboot terminate adopt"
ACTION_CLASSS = "safe disruptive destructive retirement"
ORIGINS = "wanted observation request"
INTENT_STATES = "recorded performed done failed incident"
REQUEST_VERBS = (
    "start stop suspend resume reboot replace retire extend "
    "pause protect maintain release adopt end-orphan apply confirm"
)
REQUEST_STATES = "pending accepted done refused failed"
TIMER_KINDS = "absent fault steady vanished"
DIMENSIONS = "node.running node.stopped monitor.running monitor.cpu monitor.memory monitor.io monitor.calls"
MARKS = "began ended quantity void"
POWERS = "running stopped suspended"
CONTROL_KINDS = "pause protect maintenance"
INCARNATION_STATES = "opening live ending ended failed"


def columns(kind: Any, *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, autoincrement=False, nullable=null) for name in names]


def word(table: str, name: str, words: str, *, null: bool = False) -> sa.Column[Any]:
    known = ", ".join(f"'{one}'" for one in words.split())
    check = sa.CheckConstraint(f"{name} IN ({known})", name=f"ck_{table}_{name}_known")
    return sa.Column(name, TEXT, check, nullable=null)


def of_set(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["set_uid"], ["sets.uid"], name=f"fk_{table}_set_uid")


def index(name: str, table: str, *names: str, where: str = "", unique: bool = False) -> None:
    only: dict[str, Any] = {} if not where else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
    op.create_index(name, table, list(names), unique=unique, **only)


def upgrade() -> None:
    op.create_table(
        "action_log",
        *columns(TEXT, "chain"),
        *columns(WHOLE, "seq"),
        *columns(TEXT, "tenant"),
        *columns(INSTANT, "at"),
        *columns(TEXT, "kind", "subject", "body"),
        *columns(WHOLE, "epoch"),
        *columns(TEXT, "previous", "mac"),
        sa.PrimaryKeyConstraint("chain", "seq", name="pk_action_log"),
        sqlite_with_rowid=False,
    )
    index("ix_action_log_at", "action_log", "at")
    op.create_table(
        "appliance_history",
        sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "tenant"),
        *columns(INSTANT, "at"),
        word("appliance_history", "previous", APPLIANCE_STATES, null=True),
        word("appliance_history", "state", APPLIANCE_STATES),
        word("appliance_history", "cause", CAUSES),
        *columns(TEXT, "reason"),
        *columns(JSON, "evidence"),
        sa.PrimaryKeyConstraint("id", name="pk_appliance_history"),
    )
    index("ix_appliance_history_member", "appliance_history", "set_uid", "ordinal", "at", "id")
    op.create_table(
        "estates",
        *columns(TEXT, "id"),
        *columns(INSTANT, "created_at"),
        *columns(WHOLE, "epoch"),
        *columns(TEXT, "key_check"),
        sa.PrimaryKeyConstraint("id", name="pk_estates"),
    )
    op.create_table(
        "findings",
        sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
        word("findings", "kind", FINDING_KINDS),
        *columns(TEXT, "subject", "tenant", "severity", "message"),
        *columns(JSON, "evidence"),
        *columns(INSTANT, "opened_at"),
        *columns(INSTANT, "ended_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_findings"),
    )
    index("ix_findings_open", "findings", "kind", "subject", where="ended_at IS NULL", unique=True)
    index("ix_findings_subject", "findings", "subject", "opened_at")
    op.create_table(
        "intents",
        *columns(TEXT, "id", "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "tenant"),
        word("intents", "verb", VERBS),
        word("intents", "action_class", ACTION_CLASSS),
        word("intents", "origin", ORIGINS),
        *columns(WHOLE, "incarnation"),
        *columns(TEXT, "token", "cloud", "node_id", "reason"),
        *columns(JSON, "evidence"),
        *columns(INSTANT, "created_at", "deadline"),
        *columns(WHOLE, "epoch"),
        word("intents", "state", INTENT_STATES),
        *columns(TEXT, "offer", "request_id"),
        *columns(WHOLE, "attempts"),
        *columns(INSTANT, "retry_at", "ended_at", null=True),
        *columns(TEXT, "error"),
        sa.PrimaryKeyConstraint("id", name="pk_intents"),
    )
    index("ix_intents_class", "intents", "action_class", "created_at")
    index("ix_intents_created", "intents", "created_at")
    index("ix_intents_member", "intents", "set_uid", "ordinal", "created_at")
    index("ix_intents_open", "intents", "state", where="state IN ('recorded', 'performed', 'incident')")
    op.create_table(
        "log_heads",
        *columns(TEXT, "chain"),
        *columns(WHOLE, "seq"),
        *columns(TEXT, "mac"),
        sa.PrimaryKeyConstraint("chain", name="pk_log_heads"),
    )
    op.create_table(
        "monitors",
        *columns(TEXT, "id"),
        *columns(WHOLE, "epoch"),
        *columns(TEXT, "host"),
        *columns(WHOLE, "pid"),
        *columns(INSTANT, "started_at"),
        *columns(INSTANT, "lease_until", "ended_at", null=True),
        sa.UniqueConstraint("epoch", name="uq_monitors_epoch"),
        sa.PrimaryKeyConstraint("id", name="pk_monitors"),
    )
    op.create_table(
        "observation_spans",
        sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
        *columns(TEXT, "cloud"),
        *columns(INSTANT, "since", "until"),
        *columns(WHOLE, "epoch"),
        *columns(FLAG, "open"),
        *columns(TEXT, "reason"),
        sa.PrimaryKeyConstraint("id", name="pk_observation_spans"),
    )
    index("ix_observation_spans_cloud", "observation_spans", "cloud", "until")
    index("ix_observation_spans_open", "observation_spans", "cloud", where="open", unique=True)
    op.create_table(
        "offer_fetches",
        *columns(TEXT, "cloud"),
        *columns(INSTANT, "fetched_at"),
        sa.PrimaryKeyConstraint("cloud", name="pk_offer_fetches"),
    )
    op.create_table(
        "offers",
        *columns(TEXT, "cloud", "key", "size", "location"),
        *columns(WHOLE, "vcpus", "memory_mib", "disk_gib"),
        *columns(AMOUNT, "price_per_hour", null=True),
        *columns(TEXT, "currency", "price_source", "price_dated", null=True),
        *columns(WHOLE, "capacity", null=True),
        *columns(INSTANT, "guaranteed_until", null=True),
        *columns(FLAG, "spot"),
        *columns(TEXT, "architecture"),
        sa.PrimaryKeyConstraint("cloud", "key", name="pk_offers"),
    )
    op.create_table(
        "requests",
        *columns(TEXT, "id"),
        word("requests", "verb", REQUEST_VERBS),
        *columns(TEXT, "tenant", "target"),
        *columns(JSON, "arguments"),
        *columns(TEXT, "author", "reason"),
        *columns(INSTANT, "created_at"),
        word("requests", "state", REQUEST_STATES),
        *columns(TEXT, "outcome"),
        *columns(INSTANT, "ended_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
    index("ix_requests_open", "requests", "state", where="state IN ('pending', 'accepted')")
    op.create_table(
        "sets",
        *columns(TEXT, "uid", "name", "tenant"),
        *columns(WHOLE, "generation"),
        *columns(TEXT, "author"),
        *columns(INSTANT, "created_at"),
        *columns(INSTANT, "lease_end", "retiring_since", null=True),
        *columns(TEXT, "retired_reason"),
        *columns(INSTANT, "retired_at", null=True),
        *columns(JSON, "warned_s"),
        sa.PrimaryKeyConstraint("uid", name="pk_sets"),
    )
    index("ix_sets_active_name", "sets", "tenant", "name", where="retired_at IS NULL", unique=True)
    op.create_table(
        "timers",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal"),
        word("timers", "kind", TIMER_KINDS),
        *columns(TEXT, "tenant"),
        *columns(INSTANT, "since"),
        sa.PrimaryKeyConstraint("set_uid", "ordinal", "kind", name="pk_timers"),
    )
    op.create_table(
        "usage_events",
        *columns(TEXT, "key", "tenant", "set_uid"),
        *columns(WHOLE, "ordinal", "incarnation"),
        *columns(TEXT, "cloud", "node_id"),
        word("usage_events", "dimension", DIMENSIONS),
        word("usage_events", "mark", MARKS),
        *columns(INSTANT, "at"),
        *columns(AMOUNT, "quantity"),
        *columns(JSON, "evidence"),
        sa.PrimaryKeyConstraint("key", name="pk_usage_events"),
    )
    op.create_table(
        "appliances",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal"),
        *columns(TEXT, "tenant"),
        word("appliances", "state", APPLIANCE_STATES),
        *columns(INSTANT, "since"),
        word("appliances", "wanted", POWERS),
        *columns(WHOLE, "incarnation"),
        *columns(TEXT, "token", "cloud", "location", "node_id"),
        *columns(WHOLE, "rung", "attempts"),
        *columns(INSTANT, "retry_at", null=True),
        of_set("appliances"),
        sa.PrimaryKeyConstraint("set_uid", "ordinal", name="pk_appliances"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "controls",
        sa.Column("id", NUMBERED, autoincrement=True, nullable=False),
        word("controls", "kind", CONTROL_KINDS),
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal", null=True),
        *columns(TEXT, "tenant", "owner", "reason"),
        *columns(INSTANT, "since"),
        *columns(INSTANT, "until", null=True),
        *columns(TEXT, "request_id"),
        *columns(INSTANT, "released_at", null=True),
        of_set("controls"),
        sa.PrimaryKeyConstraint("id", name="pk_controls"),
    )
    index("ix_controls_set", "controls", "set_uid", "ordinal", where="released_at IS NULL")
    op.create_table(
        "incarnations",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "ordinal", "number"),
        *columns(TEXT, "tenant"),
        word("incarnations", "state", INCARNATION_STATES),
        *columns(TEXT, "token", "cloud", "location", "size", "image", "node_id"),
        *columns(JSON, "public_addresses", "private_addresses"),
        *columns(TEXT, "offer", null=True),
        *columns(AMOUNT, "price_per_hour", null=True),
        *columns(TEXT, "currency", "price_source", "price_dated", "spot", null=True),
        *columns(JSON, "offer_more"),
        *columns(INSTANT, "opened_at"),
        *columns(INSTANT, "since", "until", "last_call_at", null=True),
        word("incarnations", "cause", CAUSES, null=True),
        of_set("incarnations"),
        sa.PrimaryKeyConstraint("set_uid", "ordinal", "number", name="pk_incarnations"),
    )
    index("ix_incarnations_open", "incarnations", "state", where="state IN ('opening', 'ending')")
    index("ix_incarnations_token", "incarnations", "token")
    op.create_table(
        "placements",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "generation", "position"),
        *columns(TEXT, "tenant"),
        *columns(INSTANT, "at"),
        *columns(FLAG, "fits"),
        *columns(TEXT, "reason", "cloud", "size", "location"),
        *columns(WHOLE, "vcpus", "memory_mib", "disk_gib"),
        *columns(AMOUNT, "price_per_hour", null=True),
        *columns(TEXT, "currency", "price_source", "price_dated", null=True),
        *columns(WHOLE, "capacity", null=True),
        *columns(INSTANT, "guaranteed_until", null=True),
        *columns(FLAG, "spot"),
        *columns(TEXT, "architecture"),
        of_set("placements"),
        sa.PrimaryKeyConstraint("set_uid", "generation", "position", name="pk_placements"),
    )
    op.create_table(
        "set_generations",
        *columns(TEXT, "set_uid"),
        *columns(WHOLE, "generation"),
        *columns(TEXT, "tenant", "author"),
        *columns(INSTANT, "created_at"),
        *columns(TEXT, "reason"),
        *columns(JSON, "spec"),
        of_set("set_generations"),
        sa.PrimaryKeyConstraint("set_uid", "generation", name="pk_set_generations"),
    )
