"""A change of the store as a value: a conditional update plus everything that is appended with it.

One :class:`Change` is written whole or not at all. The pure rooms make them, the store writes them, nobody else
composes SQL.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudmon.model.actions import ActionClass, Intent, IntentState, LogEntry
from cloudmon.model.appliances import ApplianceState, HistoryEntry, Incarnation
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import RuleState
from cloudmon.model.usage import UsageEvent


class TimerKind(enum.StrEnum):
    """What is being waited for."""

    ABSENT = "absent"
    """Its node is missing from healthy listings since then."""
    FAULT = "fault"
    """Its node is there and not well since then."""
    STEADY = "steady"
    """It runs well since then, after a rung of the ladder."""
    SEARCHED = "searched"
    """What was found bad in it until then was looked for in the other members of its set."""
    REPLACED = "replaced"
    """A roll-out replaced it then, and watches whether it becomes well."""
    VANISHED = "vanished"
    """A large part of a cloud's nodes is missing since then; ordinal 0, set uid is the cloud's name."""


@dataclass(frozen=True, slots=True)
class Timer:
    """An instant remembered for an appliance (or, with ordinal 0, for a cloud by its name as the set uid)."""

    set_uid: str
    ordinal: int
    kind: TimerKind
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class TimerClear:
    """Forget a timer."""

    set_uid: str
    ordinal: int
    kind: TimerKind


@dataclass(frozen=True, slots=True)
class RuleClear:
    """Forget where a rule stands for an appliance: it does not hold."""

    appliance: ApplianceId
    rule: str
    """As :attr:`cloudmon.model.policies.RuleState.rule`."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What the member's row must still say for the change to be made."""

    state: ApplianceState
    incarnation: int


@dataclass(frozen=True, slots=True)
class IncarnationUpdate:
    """New column values of one incarnation's row (``state``, ``node_id``, ``since``, ``until``, addresses …)."""

    number: int
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class IntentUpdate:
    """Where an intent stands now; written only while the row is in one of ``expected``."""

    id: str
    expected: frozenset[IntentState]
    state: IntentState
    values: Mapping[str, object] = field(default_factory=dict)
    """Other columns: ``attempts``, ``retry_at``, ``error``, ``node_id``, ``ended_at``, ``result``."""


@dataclass(frozen=True, slots=True)
class FindingEnd:
    """Close the open finding of this kind and subject, if there is one."""

    kind: FindingKind
    subject: str


@dataclass(frozen=True, slots=True)
class Telling:
    """Tell somebody of the open finding of this kind and subject, because the ladder of its rule says so."""

    kind: FindingKind
    subject: str
    to: str
    """Name of a notifier; ``*`` for all."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is written together for one appliance (or, with ``appliance`` None, for what belongs to none)."""

    tenant: str
    appliance: ApplianceId | None = None
    expect: Expect | None = None
    """Condition on the member's row; when it does not hold nothing of this change is written."""
    member: Mapping[str, object] = field(default_factory=dict)
    """New column values of the member's row, named as :class:`~cloudmon.model.appliances.Member` names them."""
    history: HistoryEntry | None = None
    opens_incarnation: Incarnation | None = None
    incarnations: tuple[IncarnationUpdate, ...] = ()
    opens_intent: Intent | None = None
    intents: tuple[IntentUpdate, ...] = ()
    usage: tuple[UsageEvent, ...] = ()
    timers: tuple[Timer | TimerClear, ...] = ()
    findings: tuple[Finding | FindingEnd, ...] = ()
    log: tuple[LogEntry, ...] = ()
    rules: tuple[RuleState | RuleClear, ...] = ()
    tells: tuple[Telling, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``limit`` actions of a class within ``window_s`` seconds, over one scope.

    ``tenant``, ``set_uid``, ``cloud``: None counts over all of them.
    """

    name: str
    """``destructive per cloud east``: shown when it holds something back."""
    action_class: ActionClass
    limit: int
    window_s: int
    tenant: str | None = None
    set_uid: str | None = None
    cloud: str | None = None

    def covers(self, action_class: ActionClass, tenant: str, set_uid: str, cloud: str) -> bool:
        return (
            self.action_class is action_class
            and self.tenant in (None, tenant)
            and self.set_uid in (None, set_uid)
            and self.cloud in (None, cloud)
        )
