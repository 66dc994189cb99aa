"""What a plan or a tick tells the person who asked for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudmon.model.offers import Price


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One thing that would be done, or is held back."""

    subject: str
    """``storefront/3``, a set's name, or ``east:node-id``."""
    action: str
    """A verb of control (``launch`` …), or what becomes of a set: ``create``, ``change``, ``retire``."""
    action_class: str
    reason: str
    held: str = ""
    """Why it is held back; empty when it would be done."""
    cloud: str = ""
    offer: str = ""
    """Of a launch; of what is to be replaced, the best one that its next node could have now."""
    price: Price | None = None
    """Of that offer; None where nobody knows it."""
    rule: str = ""
    """Key of the rule that wants it; empty when none does."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What that rule looked at, by path."""
    until: dt.datetime | None = None
    """When it is held back no longer, where that is known."""
    lasts: bool = False
    """Whether it is held back for as long as nobody acts, or until an instant that somebody set."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is due, and why not now."""

    subject: str
    reason: str
    until: dt.datetime | None
    """None where nobody can say."""
    rule: str = ""
    """Key of the rule whose action waits; empty when it is none's."""
    lasts: bool = False
    """Whether it goes on for as long as nobody acts, or until an instant that somebody set."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What one tick would do now."""

    rows: tuple[PlanRow, ...]
    notes: tuple[str, ...]
    """What was seen that explains the plan: clouds that do not answer, suspicious listings, wild nodes."""
    waits: tuple[Wait, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether anything would be done, or would be but for a breaker."""
        return bool(self.rows)


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did."""

    at: dt.datetime
    steady: bool
    """True when nothing is due, nothing is open and nothing was done; what is waited for is among ``waits``."""
    performed: int = 0
    failed: int = 0
    changes: int = 0
    again: bool = False
    """Whether another tick is worth while at once: it would see what this one changed or did."""
    rows: tuple[PlanRow, ...] = ()
    notes: tuple[str, ...] = ()
    waits: tuple[Wait, ...] = ()
    next_at: dt.datetime | None = None
    """When the next thing that is waited for falls due; None when nothing is."""
    store_away: str = ""
    """Why nothing could be recorded and so nothing was done; empty when the store was there."""
