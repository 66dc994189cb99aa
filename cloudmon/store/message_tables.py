"""The tables of what somebody is to be told: the outbox of messages, and their deliveries."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cloudmon.model.findings import FindingKind
from cloudmon.model.messages import DeliveryEvent, DeliveryState, MessageEvent
from cloudmon.store.columns import instant, numbered, structure, text, whole, word
from cloudmon.store.rows import Row, index, table


class MessageRow(Row, table=True):
    """Changes of findings that nobody was told of yet, in the order in which they happened."""

    __tablename__ = "messages"
    id: int = numbered()
    tenant: str = text()
    at: dt.datetime = instant()
    event: MessageEvent = word("event", MessageEvent)
    kind: FindingKind = word("kind", FindingKind)
    subject: str = text()
    severity: str = text()
    message: str = text()
    evidence: dict[str, Any] = structure()
    opened_at: dt.datetime = instant()
    told: list[str] = structure()


class DeliveryRow(Row, table=True):
    """The delivery log: what each notifier was given, or is to be given, and what came of it."""

    __tablename__ = "deliveries"
    __table_args__ = (
        index("ix_deliveries_id", "id", unique=True),
        index("ix_deliveries_pending", "notifier", "seq", where="state = 'pending'"),
        index("ix_deliveries_created", "created_at"),
        index("ix_deliveries_ended", "ended_at"),
    )
    seq: int = numbered()
    id: str = text()
    notifier: str = text()
    tenant: str = text()
    subject: str = text()
    event: DeliveryEvent = word("event", DeliveryEvent)
    severity: str = text()
    title: str = text()
    body: dict[str, Any] = structure()
    created_at: dt.datetime = instant()
    due_at: dt.datetime = instant()
    state: DeliveryState = word("state", DeliveryState)
    attempts: int = whole()
    ended_at: dt.datetime | None = instant(null=True)
    error: str = text()


class NotifierRow(Row, table=True):
    """Those who are told, from when on: they know of what was open then, and are told of each change since."""

    __tablename__ = "notifiers"
    name: str = text(key=True)
    since: dt.datetime = instant()


messages = table(MessageRow)
notifiers = table(NotifierRow)
deliveries = table(DeliveryRow)
