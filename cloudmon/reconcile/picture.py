"""What a decision is made from: the estate as the store knows it, and the clouds as they were seen."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from cloudmon.model.actions import GUEST_VERBS, Intent
from cloudmon.model.appliances import ApplianceState, Incarnation, Member
from cloudmon.model.changes import Timer
from cloudmon.model.findings import Finding
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node, NodeState, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.model.policies import RuleState, Symptom
from cloudmon.model.requests import Request
from cloudmon.model.sets import ApplianceSet, Template
from cloudmon.model.updates import Made, Upkeep
from cloudmon.reconcile.limits import Confirmations, Limits


class Condition(enum.Enum):
    """What the view of a cloud says of one node, as far as it can be believed."""

    RUNS = "runs"
    CHANGES = "changes"
    """Pending, rebooting or stopping: on its way somewhere."""
    OFF = "off"
    FROZEN = "frozen"
    ISOLATED = "isolated"
    """Runs, and nothing comes in or goes out."""
    BAD = "bad"
    LEAVING = "leaving"
    GONE = "gone"
    """Terminated, or absent from a healthy listing and denied by the cloud when asked for by id."""
    UNSEEN = "unseen"
    """Not in a healthy listing, and not denied either: lag, or a part of the truth."""
    UNKNOWN = "unknown"
    """No view that can be believed, or a word nobody knows."""


CONDITION_OF: Mapping[NodeState, Condition] = {
    NodeState.PENDING: Condition.CHANGES,
    NodeState.RUNNING: Condition.RUNS,
    NodeState.REBOOTING: Condition.CHANGES,
    NodeState.STOPPING: Condition.CHANGES,
    NodeState.STOPPED: Condition.OFF,
    NodeState.SUSPENDED: Condition.FROZEN,
    NodeState.TERMINATING: Condition.LEAVING,
    NodeState.TERMINATED: Condition.GONE,
    NodeState.ERROR: Condition.BAD,
    NodeState.UNKNOWN: Condition.UNKNOWN,
}


def condition_of(node: Node, member: Member) -> Condition:
    """What a node that was seen says of its appliance. That a cloud does not say whether it is isolated changes
    nothing."""
    isolated = member.state is ApplianceState.ISOLATED if node.isolated is None else node.isolated
    return Condition.ISOLATED if isolated and node.state is NodeState.RUNNING else CONDITION_OF[node.state]


@dataclass(frozen=True, slots=True)
class CloudView:
    """One cloud as it was seen last."""

    cloud: str
    healthy: bool
    """True when this tick's listing was whole; nothing destructive is decided from any other."""
    observed_at: dt.datetime
    """When the listing began, or, unhealthy, when it was tried."""
    nodes: Mapping[str, Node]
    """By node id: the listing and what was found by asking one by one. Unhealthy: empty."""
    denied: frozenset[str] = frozenset()
    """Ids missing from the listing that the cloud denied when asked for them one by one."""
    lacked: frozenset[str] = frozenset()
    """Ids that the listing lacked although the cloud showed them when asked one by one."""
    reason: str = ""
    """Why it is not healthy."""
    suspicious: str = ""
    """Why absences are not believed although the listing came whole."""
    lag_s: float = 30.0
    """Seconds by which listings may lag behind creations and destructions."""
    call_timeout_s: float = 30.0
    """Seconds that a call to this cloud may be in flight."""
    verbs: frozenset[str] = frozenset()
    """What the provider can do beside the core."""
    groups: Sequence[PeerGroup] | None = None
    """Its groups of peers; None where nobody asked, or it gave no answer."""
    after_gap: bool = False
    """True when this listing ends a time in which the cloud was not seen."""
    watched_since: dt.datetime | None = None
    """Since when it was seen in every look; None where that is not known."""

    def condition(self, node_id: str) -> Condition:
        """What this view says of a node whose id is known."""
        if not self.healthy:
            return Condition.UNKNOWN
        node = self.nodes.get(node_id)
        if node is not None:
            return CONDITION_OF[node.state]
        if node_id in self.denied and not self.suspicious:
            return Condition.GONE
        return Condition.UNSEEN

    def proves_absence(self, last_call_at: dt.datetime | None) -> bool:
        """Whether a node that is not in this view, and whose id nobody knows, can be taken not to exist: the listing
        is whole and began after any call that could have made it, plus the time in flight, plus the lag."""
        if not self.healthy or self.suspicious:
            return False
        if last_call_at is None:
            return True
        return self.observed_at >= last_call_at + dt.timedelta(seconds=self.call_timeout_s + self.lag_s)


@dataclass(frozen=True, slots=True)
class Inside:
    """What was found inside appliances: nothing, unless somebody looked."""

    symptoms: Mapping[ApplianceId, Sequence[Symptom]] = field(default_factory=dict)
    """The rules that fire now, by appliance."""
    heard: Container[ApplianceId] = frozenset()
    """Appliances of which an agent of the present incarnation takes commands."""
    abilities: Callable[[ApplianceId], Container[str] | None] = lambda _: None
    """Verbs that an appliance's agent performs; None: all."""

    upkeep: Mapping[ApplianceId, Upkeep] = field(default_factory=dict)
    """What they told last that updates and restarts are decided from, of sets that have either."""
    remote: Mapping[ApplianceId, Container[str]] = field(default_factory=dict)
    """Verbs that a cloud performs in appliances of which no agent is heard."""

    def kept(self, member: Member) -> Upkeep | None:
        """Of one appliance whose agent is heard, and speaks for its present node; None of any other."""
        found = self.upkeep.get(member.id)
        if found is None or found.incarnation != member.incarnation or member.id not in self.heard:
            return None
        return found

    def takes(self, appliance: ApplianceId) -> Container[str]:
        """Verbs of commands that can be performed in the appliance now: by its agent, else by its cloud."""
        if appliance not in self.heard:
            return self.remote.get(appliance, ())
        able = self.abilities(appliance)
        return GUEST_VERBS if able is None else able


@dataclass(frozen=True, slots=True)
class Making:
    """What the members of one set are made of, and were."""

    members: Mapping[int, Made]
    """By ordinal: what the nodes were asked for with that they have, or wait for."""
    earlier: Sequence[Template]
    """Those of earlier generations, newest first."""


@dataclass(frozen=True, slots=True)
class Estate:
    """Everything the store knows that a decision needs."""

    estate: str
    sets: Mapping[str, ApplianceSet]
    """By uid; those that are not wholly retired."""
    members: Sequence[Member]
    incarnations: Sequence[Incarnation]
    """Those that are opening or ending."""
    intents: Sequence[Intent]
    """Open ones, on nodes."""
    recent: Sequence[Intent]
    """Those that can hurt, and launches that failed, within the longest window that anything looks back."""
    timers: Sequence[Timer]
    findings: Sequence[Finding]
    """Open ones."""
    requests: Sequence[Request]
    """Accepted ones that are not done."""
    offers: Sequence[Offer] = ()
    known: Mapping[str, Incarnation] = field(default_factory=dict)
    """By token: incarnations of nodes that neither members nor open incarnations explain."""
    commands: Sequence[Intent] = ()
    """Open ones, inside appliances."""
    rules: Sequence[RuleState] = ()
    inside: Inside = field(default_factory=Inside)
    outlived: Sequence[Intent] = ()
    """Intents that took snapshots which were kept long enough, and of whose end none is written down."""
    made: Mapping[str, Making] = field(default_factory=dict)
    """By set uid: what is known of sets in whose roll-out of an image something may be due."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is the same for every decision of one tick."""

    now: dt.datetime
    epoch: int
    limits: Limits
    confirmations: Confirmations
    first_tick: bool
    new_id: Callable[[], str]
    intent_deadline_s: float
    """Seconds after which an intent that was not begun is not performed any more."""
    in_flight: frozenset[str] = frozenset()
    """Ids of intents whose call this very process has begun and not come back from."""


def by_appliance(intents: Sequence[Intent]) -> dict[tuple[ApplianceId, int], Intent]:
    """Open intents by appliance and incarnation; the older one where there are two."""
    found: dict[tuple[ApplianceId, int], Intent] = {}
    for intent in intents:
        found.setdefault((intent.appliance, intent.incarnation), intent)
    return found
