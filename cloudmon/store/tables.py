"""The store's tables: plain names, typed columns, a tenant on every row where there is one.

They are SQLModel classes so that they can be read as nouns; every verb runs on their Core tables. A change here needs
a revision in :mod:`cloudmon.store.migrations`: a test compares what the two come to.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from cloudmon.model.actions import ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Power
from cloudmon.model.changes import TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.requests import RequestState, RequestVerb
from cloudmon.model.sets import ControlKind
from cloudmon.model.usage import Dimension, Mark
from cloudmon.store.columns import amount, flag, instant, numbered, structure, text, whole, word
from cloudmon.store.guest_tables import agents, enrolments, grants, report_changes, report_snapshots, rule_states
from cloudmon.store.message_tables import deliveries, messages, notifiers
from cloudmon.store.rows import Row, index, table


class Estate(Row, table=True):
    """One row: whose store this is, and which epoch owns it."""

    __tablename__ = "estates"
    id: str = text(key=True)
    created_at: dt.datetime = instant()
    epoch: int = whole()
    key_check: str = text()


class Monitor(Row, table=True):
    """Every monitor that ever owned the estate."""

    __tablename__ = "monitors"
    __table_args__ = (sa.UniqueConstraint("epoch"),)
    id: str = text(key=True)
    epoch: int = whole()
    host: str = text()
    pid: int = whole()
    started_at: dt.datetime = instant()
    lease_until: dt.datetime | None = instant(null=True)
    ended_at: dt.datetime | None = instant(null=True)


class Set(Row, table=True):
    """An appliance set, what it is now."""

    __tablename__ = "sets"
    __table_args__ = (index("ix_sets_active_name", "tenant", "name", where="retired_at IS NULL", unique=True),)
    uid: str = text(key=True)
    name: str = text()
    tenant: str = text()
    generation: int = whole()
    author: str = text()
    created_at: dt.datetime = instant()
    lease_end: dt.datetime | None = instant(null=True)
    retiring_since: dt.datetime | None = instant(null=True)
    retired_reason: str = text()
    retired_at: dt.datetime | None = instant(null=True)
    warned_s: list[int] = structure()


class SetGeneration(Row, table=True):
    """Wanted state as one author wrote it, whole in itself; never changed."""

    __tablename__ = "set_generations"
    set_uid: str = text(key=True, foreign="sets.uid")
    generation: int = whole(key=True)
    tenant: str = text()
    author: str = text()
    created_at: dt.datetime = instant()
    reason: str = text()
    spec: dict[str, Any] = structure()


class Appliance(Row, table=True):
    """The appliance state table."""

    __tablename__ = "appliances"
    __table_args__ = ({"sqlite_with_rowid": False},)
    set_uid: str = text(key=True, foreign="sets.uid")
    ordinal: int = whole(key=True)
    tenant: str = text()
    state: ApplianceState = word("state", ApplianceState)
    since: dt.datetime = instant()
    wanted: Power = word("wanted", Power)
    incarnation: int = whole()
    token: str = text()
    cloud: str = text()
    location: str = text()
    node_id: str = text()
    rung: int = whole()
    attempts: int = whole()
    retry_at: dt.datetime | None = instant(null=True)


class IncarnationRow(Row, table=True):
    """The resource aggregation table."""

    __tablename__ = "incarnations"
    __table_args__ = (
        index("ix_incarnations_open", "state", where="state IN ('opening', 'ending')"),
        index("ix_incarnations_token", "token"),
    )
    set_uid: str = text(key=True, foreign="sets.uid")
    ordinal: int = whole(key=True)
    number: int = whole(key=True)
    tenant: str = text()
    state: IncarnationState = word("state", IncarnationState)
    token: str = text()
    cloud: str = text()
    location: str = text()
    size: str = text()
    image: str = text()
    node_id: str = text()
    public_addresses: list[str] = structure()
    private_addresses: list[str] = structure()
    offer: str | None = text(null=True)
    price_per_hour: Decimal | None = amount(null=True)
    currency: str | None = text(null=True)
    price_source: str | None = text(null=True)
    price_dated: str | None = text(null=True)
    spot: str | None = text(null=True)
    offer_more: dict[str, str] = structure()
    opened_at: dt.datetime = instant()
    since: dt.datetime | None = instant(null=True)
    until: dt.datetime | None = instant(null=True)
    last_call_at: dt.datetime | None = instant(null=True)
    cause: Cause | None = word("cause", Cause, null=True)
    user_data: str | None = text(null=True)


class ApplianceHistory(Row, table=True):
    """Every change of an appliance's state, with its cause; append-only."""

    __tablename__ = "appliance_history"
    __table_args__ = (index("ix_appliance_history_member", "set_uid", "ordinal", "at", "id"),)
    id: int = numbered()
    set_uid: str = text()
    ordinal: int = whole()
    tenant: str = text()
    at: dt.datetime = instant()
    previous: ApplianceState | None = word("previous", ApplianceState, null=True)
    state: ApplianceState = word("state", ApplianceState)
    cause: Cause = word("cause", Cause)
    reason: str = text()
    evidence: dict[str, Any] = structure()


class IntentRow(Row, table=True):
    """Control actions, written down before they are performed."""

    __tablename__ = "intents"
    __table_args__ = (
        index("ix_intents_open", "state", where="state IN ('recorded', 'performed', 'incident')"),
        index("ix_intents_class", "action_class", "created_at"),
        index("ix_intents_created", "created_at"),
        index("ix_intents_request", "request_id", where="request_id <> ''"),
        index("ix_intents_member", "set_uid", "ordinal", "created_at"),
        index("ix_intents_pending", "set_uid", "ordinal", "created_at", where="state IN ('recorded', 'performed')"),
        index("ix_intents_snapshots", "created_at", where="verb IN ('snapshot', 'snapshot_end')"),
    )
    id: str = text(key=True)
    set_uid: str = text()
    ordinal: int = whole()
    tenant: str = text()
    verb: Verb = word("verb", Verb)
    action_class: ActionClass = word("action_class", ActionClass)
    origin: Origin = word("origin", Origin)
    incarnation: int = whole()
    token: str = text()
    cloud: str = text()
    node_id: str = text()
    reason: str = text()
    evidence: dict[str, Any] = structure()
    created_at: dt.datetime = instant()
    deadline: dt.datetime = instant()
    epoch: int = whole()
    state: IntentState = word("state", IntentState)
    offer: str = text()
    request_id: str = text()
    attempts: int = whole()
    retry_at: dt.datetime | None = instant(null=True)
    ended_at: dt.datetime | None = instant(null=True)
    error: str = text()
    arguments: dict[str, str] = structure()
    result: dict[str, Any] = structure()


class LogRow(Row, table=True):
    """The action log; append-only, one keyed chain a set."""

    __tablename__ = "action_log"
    __table_args__ = (index("ix_action_log_at", "at"), {"sqlite_with_rowid": False})
    chain: str = text(key=True)
    seq: int = whole(key=True)
    tenant: str = text()
    at: dt.datetime = instant()
    kind: str = text()
    subject: str = text()
    body: str = text()
    epoch: int = whole()
    previous: str = text()
    mac: str = text()


class LogHead(Row, table=True):
    """The newest entry of each chain."""

    __tablename__ = "log_heads"
    chain: str = text(key=True)
    seq: int = whole()
    mac: str = text()


USAGE_ORDER = ("set_uid", "ordinal", "incarnation", "cloud", "node_id", "dimension", "at", "mark", "key")


class UsageRow(Row, table=True):
    """Statements about usage; append-only, told apart by their key."""

    __tablename__ = "usage_events"
    __table_args__ = (index("ix_usage_events_order", *USAGE_ORDER),)
    key: str = text(key=True)
    tenant: str = text()
    set_uid: str = text()
    ordinal: int = whole()
    incarnation: int = whole()
    cloud: str = text()
    node_id: str = text()
    dimension: Dimension = word("dimension", Dimension)
    mark: Mark = word("mark", Mark)
    at: dt.datetime = instant()
    quantity: Decimal = amount()
    evidence: dict[str, Any] = structure()


class ObservationSpan(Row, table=True):
    """From when to when each cloud was seen whole, and by which epoch."""

    __tablename__ = "observation_spans"
    __table_args__ = (
        index("ix_observation_spans_open", "cloud", where="open", unique=True),
        index("ix_observation_spans_cloud", "cloud", "until"),
    )
    id: int = numbered()
    cloud: str = text()
    since: dt.datetime = instant()
    until: dt.datetime = instant()
    epoch: int = whole()
    open: bool = flag()
    reason: str = text()


class TimerRow(Row, table=True):
    """Since when something is being waited for."""

    __tablename__ = "timers"
    set_uid: str = text(key=True)
    ordinal: int = whole(key=True)
    kind: TimerKind = word("kind", TimerKind, key=True)
    tenant: str = text()
    since: dt.datetime = instant()


class RequestRow(Row, table=True):
    """What people and programs asked a running service for, and what came of it."""

    __tablename__ = "requests"
    __table_args__ = (
        index("ix_requests_open", "state", where="state IN ('pending', 'accepted')"),
        index("ix_requests_seq", "seq"),
    )
    id: str = text(key=True)
    verb: RequestVerb = word("verb", RequestVerb)
    tenant: str = text()
    target: str = text()
    arguments: dict[str, str] = structure()
    author: str = text()
    reason: str = text()
    created_at: dt.datetime = instant()
    state: RequestState = word("state", RequestState)
    outcome: str = text()
    ended_at: dt.datetime | None = instant(null=True)
    seq: int = whole()


class ControlRow(Row, table=True):
    """Pauses, protections and maintenance windows."""

    __tablename__ = "controls"
    __table_args__ = (index("ix_controls_set", "set_uid", "ordinal", where="released_at IS NULL"),)
    id: int = numbered()
    kind: ControlKind = word("kind", ControlKind)
    set_uid: str = text(foreign="sets.uid")
    ordinal: int | None = whole(null=True)
    tenant: str = text()
    owner: str = text()
    reason: str = text()
    since: dt.datetime = instant()
    until: dt.datetime | None = instant(null=True)
    request_id: str = text()
    released_at: dt.datetime | None = instant(null=True)


class FindingRow(Row, table=True):
    """Detected conditions; at most one is open per kind and subject."""

    __tablename__ = "findings"
    __table_args__ = (
        index("ix_findings_open", "kind", "subject", where="ended_at IS NULL", unique=True),
        index("ix_findings_subject", "subject", "opened_at"),
    )
    id: int = numbered()
    kind: FindingKind = word("kind", FindingKind)
    subject: str = text()
    tenant: str = text()
    severity: str = text()
    message: str = text()
    evidence: dict[str, Any] = structure()
    opened_at: dt.datetime = instant()
    ended_at: dt.datetime | None = instant(null=True)
    changed_at: dt.datetime | None = instant(null=True)
    told: list[str] = structure()


class OfferRow(Row, table=True):
    """What each cloud sold when it was last asked."""

    __tablename__ = "offers"
    cloud: str = text(key=True)
    key: str = text(key=True)
    size: str = text()
    location: str = text()
    vcpus: int = whole()
    memory_mib: int = whole()
    disk_gib: int = whole()
    price_per_hour: Decimal | None = amount(null=True)
    currency: str | None = text(null=True)
    price_source: str | None = text(null=True)
    price_dated: str | None = text(null=True)
    capacity: int | None = whole(null=True)
    guaranteed_until: dt.datetime | None = instant(null=True)
    spot: bool = flag()
    architecture: str = text()


class OfferFetch(Row, table=True):
    """When each cloud was last asked for its offers; a cloud may sell none."""

    __tablename__ = "offer_fetches"
    cloud: str = text(key=True)
    fetched_at: dt.datetime = instant()


class PlacementRow(Row, table=True):
    """How placement ranked the offers for a generation of a set, and why the others lost."""

    __tablename__ = "placements"
    set_uid: str = text(key=True, foreign="sets.uid")
    generation: int = whole(key=True)
    position: int = whole(key=True)
    tenant: str = text()
    at: dt.datetime = instant()
    fits: bool = flag()
    reason: str = text()
    cloud: str = text()
    size: str = text()
    location: str = text()
    vcpus: int = whole()
    memory_mib: int = whole()
    disk_gib: int = whole()
    price_per_hour: Decimal | None = amount(null=True)
    currency: str | None = text(null=True)
    price_source: str | None = text(null=True)
    price_dated: str | None = text(null=True)
    capacity: int | None = whole(null=True)
    guaranteed_until: dt.datetime | None = instant(null=True)
    spot: bool = flag()
    architecture: str = text()


METADATA = Row.metadata
estates = table(Estate)
monitors = table(Monitor)
sets = table(Set)
set_generations = table(SetGeneration)
appliances = table(Appliance)
incarnations = table(IncarnationRow)
history = table(ApplianceHistory)
intents = table(IntentRow)
action_log = table(LogRow)
log_heads = table(LogHead)
usage_events = table(UsageRow)
observation_spans = table(ObservationSpan)
timers = table(TimerRow)
requests = table(RequestRow)
controls = table(ControlRow)
findings = table(FindingRow)
offers = table(OfferRow)
offer_fetches = table(OfferFetch)
placements = table(PlacementRow)

__all__ = [
    "METADATA",
    "USAGE_ORDER",
    "Row",
    "action_log",
    "agents",
    "appliances",
    "controls",
    "deliveries",
    "enrolments",
    "estates",
    "findings",
    "grants",
    "history",
    "incarnations",
    "intents",
    "log_heads",
    "messages",
    "monitors",
    "notifiers",
    "observation_spans",
    "offer_fetches",
    "offers",
    "placements",
    "report_changes",
    "report_snapshots",
    "requests",
    "rule_states",
    "set_generations",
    "sets",
    "timers",
    "usage_events",
]
