"""The plan as a value."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cloudmon.model.actions import Intent
from cloudmon.model.changes import Change
from cloudmon.model.offers import Choice, Offer
from cloudmon.model.sets import NextGeneration


@dataclass(frozen=True, slots=True)
class Step:
    """One action: the change that records its intent, and what the call needs."""

    intent: Intent
    change: Change
    """Opens the intent, or, ``again``, counts one more try of it."""
    offer: Offer | None = None
    again: bool = False
    """True when the intent was recorded by an earlier tick and is tried once more with the same token."""
    otherwise: Step | None = None
    """What is done in its place while a breaker holds it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A step that a breaker or a control holds back."""

    step: Step
    breaker: str
    until: dt.datetime | None = None
    """When it lets this step pass, where that is known."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An appliance for which something will be due, and why not now."""

    subject: str
    reason: str
    until: dt.datetime | None
    replaced: str = ""
    """Why it is to be replaced, where that is what waits: people are shown it among what would be done."""
    rule: str = ""
    """Key of the rule whose action waits; empty when it is none's."""
    lasts: bool = False
    """Whether it goes on for as long as nobody acts, or until an instant that somebody set: no patience helps."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a set becomes because of what was found, and what is written with it."""

    fresh: NextGeneration
    change: Change


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """New column values of a set's row, with the log entry's kind."""

    uid: str
    kind: str
    values: dict[str, object]
    message: str


@dataclass(slots=True)
class Plan:
    """What one tick found and wants. Filled while deciding, a value afterwards."""

    changes: list[Change] = field(default_factory=list)
    """Facts to write down; no cloud is called for them."""
    set_updates: list[SetUpdate] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    rankings: dict[str, tuple[Choice, ...]] = field(default_factory=dict)
    """By set uid: the ranking behind this tick's launches."""
    notes: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        return not (self.changes or self.set_updates or self.generations or self.steps or self.held)
