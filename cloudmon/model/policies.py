"""Rules and policies: what is detected in an appliance, and what is then done, as values."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudmon.model.identity import ApplianceId
from cloudmon.model.updates import Upkeep


class OnUnknown(enum.StrEnum):
    """What a rule makes of facts that are not known."""

    IGNORE = "ignore"
    """The rule stands where it stood: nothing begins, nothing ends."""
    CLEAR = "clear"
    """As if the condition did not hold."""
    FIRE = "fire"
    """As if it held."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One rung of a rule's ladder: a control action with its arguments."""

    verb: str
    """A :class:`~cloudmon.model.actions.Verb`'s text, or ``replace`` or ``notify``."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Values may name what the rule found: ``{application}``, see :attr:`Rule.each`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``when … then``."""

    name: str
    when: str
    """CEL over the model of an appliance; true means that the condition holds."""
    each: str = ""
    """CEL that gives a list of names; the rule then stands for each of them apart, as ``item`` in ``when`` and as
    ``{item}`` in arguments and message. Empty: once for the appliance."""
    for_s: int = 0
    """Seconds that the condition must hold without a break before the finding opens."""
    n: int = 1
    """Of the last ``m`` evaluations so many must hold."""
    m: int = 1
    on_unknown: OnUnknown = OnUnknown.IGNORE
    severity: str = "warning"
    message: str = ""
    """For people; ``{item}`` is replaced. Empty: the rule's name."""
    then: tuple[Remedy, ...] = ()
    """The ladder: one rung a try, verified and backed off. Empty: the finding is only shown."""
    backoff_s: int = 60
    """Seconds after a rung before the next one, doubled with each, while the finding stays open."""
    detect: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
    """A :class:`cloudmon.detector.Detector` in the place of ``when`` and ``each``: it gives the names that the rule
    stands for and that it holds for. None: ``when`` says."""
    max_attempts: int = 5
    """Rungs tried for one finding before an incident says that nothing helps."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """A rule does not count for some appliances, until an instant, because somebody says so."""

    rule: str
    """Name of a rule, ``*`` for all."""
    target: str
    """``storefront/3``, ``storefront/*`` or ``*``."""
    owner: str
    reason: str
    until: dt.datetime | None
    """None: without end."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A named list of rules that sets are given."""

    name: str
    rules: tuple[Rule, ...]
    sets: tuple[str, ...] = ("*",)
    """Names of sets, ``*`` and ``?`` as in file names."""
    exemptions: tuple[Exemption, ...] = ()
    enabled: bool = True
    source: str = ""
    """Where it was read: a file, or ``built in``."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """Where one rule stands for one appliance (and item): what must outlive a restart. No row: it does not hold, and
    nothing was tried lately."""

    appliance: ApplianceId
    tenant: str
    rule: str
    """``<policy>/<rule>``, and ``/<item>`` where the rule has items."""
    since: dt.datetime
    """Since when the condition holds without a break."""
    hits: str = ""
    """The last evaluations, newest last: ``1`` where it held, ``0`` where not, at most ``m`` of them; and ``?`` behind
    them while it is not known whether it still holds; alone, when that was another node."""
    rung: int = 0
    """Rungs of its ladder taken."""
    retry_at: dt.datetime | None = None
    """No further rung before this instant."""
    intent_id: str = ""
    """The action taken last."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """A rule whose condition holds for an appliance now, long enough and on facts that are known."""

    key: str
    """``<policy>/<rule>``, and ``/<item>`` where the rule has items."""
    rule: Rule
    item: str
    """What the rule stands for, where it has items: an application, a mount point …"""
    message: str
    state: RuleState
    facts: Mapping[str, object] = field(default_factory=dict)
    """What it was found by, by path: evidence for what is done about it."""
    upkeep: Upkeep | None = None
    """How its applications stood, where the rule's ladder installs or updates one; None where nobody knows."""
