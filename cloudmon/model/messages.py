"""What somebody is to be told: messages about findings that changed, and their deliveries to notifiers."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from cloudmon.model.findings import Finding, FindingKind

SEVERITIES = ("info", "warning", "critical")
"""Mildest first."""

DIGEST = "*"
"""Subject of a delivery that is about many findings."""


class MessageEvent(enum.StrEnum):
    """What became of a finding."""

    OPENED = "opened"
    WORSE = "worse"
    """It is more severe than it was; a lease has come nearer to its end."""
    ENDED = "ended"
    CALLED = "called"
    """It is still open, and the ladder of its rule has come to the rung that tells somebody."""


class DeliveryEvent(enum.StrEnum):
    """What a delivery is about: one message's event, or one of its own."""

    OPENED = "opened"
    WORSE = "worse"
    ENDED = "ended"
    CALLED = "called"
    DIGEST = "digest"
    """Many messages in one, because there were too many to send apart."""
    TEST = "test"
    """Nothing happened; somebody wants to see whether it arrives."""


class DeliveryState(enum.StrEnum):
    """Where a delivery stands. Sent and dead are ends."""

    PENDING = "pending"
    SENT = "sent"
    """The other side took it."""
    DEAD = "dead"
    """It was given up; its error says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One change of one finding, written in the transaction that changes it, until it is routed."""

    id: int
    """Counted by the store: the order in which things happened."""
    tenant: str
    at: dt.datetime
    event: MessageEvent
    kind: FindingKind
    subject: str
    """As :attr:`cloudmon.model.findings.Finding.subject`."""
    severity: str
    message: str
    evidence: Mapping[str, object]
    opened_at: dt.datetime
    told: tuple[str, ...]
    """The notifiers that a rule names: of ``called`` those to be told now, of ``ended`` those that were told before.
    ``*`` is all."""
    set_name: str = ""
    """Name of the set that it is about; empty when it is about none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, or one digest of many, to one notifier."""

    id: str
    """A uid that stays the same however often it is tried: receivers tell repetitions by it."""
    notifier: str
    tenant: str
    subject: str
    """The finding's; ``*`` of a digest. Those of one subject arrive in order."""
    event: DeliveryEvent
    severity: str
    title: str
    body: Mapping[str, object]
    created_at: dt.datetime
    due_at: dt.datetime
    """Not tried before this instant."""
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    ended_at: dt.datetime | None = None
    error: str = ""
    """Of the last try; empty when it went well."""
    seq: int = 0
    """Counted by the store: the order in which they were made."""


def worse(severity: str, than: str) -> bool:
    """Whether one severity is worse than another; words that are none are the mildest."""
    return _rank(severity) > _rank(than)


def at_least(severity: str, least: str) -> bool:
    """Whether a severity is the least one or worse."""
    return _rank(severity) >= _rank(least)


def event_of(before: Finding | None, finding: Finding) -> MessageEvent | None:
    """What has become of a finding that is written: None when nothing that anybody is told of.

    Arguments:
        before: the open finding of the same kind and subject; None when there is none.
    """
    if before is None:
        return MessageEvent.OPENED
    if worse(finding.severity, before.severity):
        return MessageEvent.WORSE
    # Each warning of a lease is nearer to its end than the one before.
    if finding.kind is FindingKind.LEASE and finding.message != before.message:
        return MessageEvent.WORSE
    return None


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0
