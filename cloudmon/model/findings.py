"""Detected conditions that stay open until they end: orphans, wild nodes, faults, held plans, incidents."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass


class FindingKind(enum.StrEnum):
    """What was detected."""

    FAULT = "fault"
    ORPHAN = "orphan"
    """A node of our estate that no row explains."""
    DUPLICATE = "duplicate"
    """A second node of one incarnation."""
    WILD = "wild"
    """A node of no estate, or of another one. Counted per cloud, never touched."""
    UNREACHABLE = "unreachable"
    """A cloud that does not answer."""
    SUSPICIOUS = "suspicious"
    """A listing or a file that suddenly shows much less, or a store that is older than it was."""
    INCIDENT = "incident"
    """An intent that could not be brought to its end."""
    LEASE = "lease"
    """A lease that ends soon."""
    HELD = "held"
    """A control action that a breaker holds back."""
    DETECTED = "detected"
    """What a rule found in an appliance."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One open or ended finding; at most one is open per ``(kind, subject)``."""

    kind: FindingKind
    subject: str
    """``<set_uid>/<ordinal>``, of a lease ``<set_uid>``, ``cloud:<name>``, ``node:<cloud>:<id>``, ``intent:<id>``,
    ``file:<author>``, ``store``; of what a rule found, ``<set_uid>/<ordinal>:<policy>/<rule>``, and ``/<item>`` where
    the rule has items."""
    tenant: str
    severity: str
    """``info``, ``warning`` or ``critical``."""
    message: str
    evidence: Mapping[str, object]
    opened_at: dt.datetime
    ended_at: dt.datetime | None = None
