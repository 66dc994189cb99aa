"""Nodes as a cloud reports them, and whole listings of them."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cloudmon.model.offers import Offer


class NodeState(enum.StrEnum):
    """A cloud's words for a machine's state, mapped to one vocabulary."""

    PENDING = "pending"
    RUNNING = "running"
    REBOOTING = "rebooting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    ERROR = "error"
    UNKNOWN = "unknown"


ENDED = frozenset({NodeState.TERMINATED})
"""States from which a node never comes back; as good as absent."""

ENDING = frozenset({NodeState.TERMINATING, NodeState.TERMINATED})


class Node(NamedTuple):
    """A machine as one cloud reports it at one instant.

    A named tuple and not a dataclass because a hundred thousand of them are made in each tick.
    """

    id: str
    """The cloud's own id; means something only together with the cloud's name."""
    name: str
    state: NodeState
    word: str
    """The cloud's own word for the state, for people and evidence."""
    token: str | None
    """Text of our token as the ownership tags carry it; None on nodes that are not ours."""
    estate: str | None
    """Estate id of the ownership tags; None on nodes of no estate."""
    location: str
    size: str
    image: str
    public_addresses: Sequence[str]
    private_addresses: Sequence[str]
    created_at: dt.datetime | None
    """When the cloud says it was created or last launched, aware UTC; None when it does not say."""
    tags: Mapping[str, str]
    ended_at: dt.datetime | None = None
    """When the cloud says that it ended, and is not paid for from then on, aware UTC; None unless it is terminated, and
    where the cloud does not say."""
    isolated: bool | None = None
    """Whether the cloud's firewall lets nothing in or out of it; None where the cloud does not say."""
    peers: str | None = None
    """Name of the group of peers that it is in, empty where it is in none; None where the cloud does not say, as of a
    node that is isolated."""


PEERS_PREFIX = "cloudmon-peers-"
"""How the name of every group of peers begins; the uid of its set follows."""


@dataclass(frozen=True, slots=True)
class PeerGroup:
    """Nodes that a cloud's firewall lets talk to each other."""

    name: str
    """:data:`PEERS_PREFIX` and the uid of its set."""
    ports: tuple[int, ...]
    """TCP ports at which each reaches the others, in order."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Whose it is: estate, set and tenant."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The whole truth of one cloud between two instants: every page, or it would have been an error."""

    cloud: str
    nodes: Sequence[Node]
    started_at: dt.datetime
    finished_at: dt.datetime


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """What a cloud told of a node of its own accord: a hint that a look is worth while, and never a fact."""

    node_id: str
    """Empty where it was about no node: such an event is taken and nothing more."""
    word: str = ""
    """The cloud's own word for the state that it came into, for people."""
    receipt: str = ""
    """What the cloud wants to be given when the event was taken."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command that a cloud ran in a node came to."""

    exit: int | None
    """Exit code of the last program; None where none ended."""
    output: str = ""
    """Its last lines."""
    error: str = ""
    """One sentence where it did not come to an end by itself; empty otherwise."""


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """Everything that a create call is made of; a pure function of the incarnation, so the same token always comes
    with the same request."""

    token: str
    name: str
    offer: Offer
    image: str
    tags: Mapping[str, str]
    user_data: str = ""
    options: Mapping[str, object] | None = None
    """Arguments of this cloud's own create call (network, key pair …), from the template's ``options``."""
