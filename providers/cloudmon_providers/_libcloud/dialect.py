"""What one cloud calls things, as data: where its nodes carry our tags, its words for states, its error codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudmon import errors
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN
from cloudmon.model.nodes import NodeState

LIBCLOUD_WORDS: Mapping[str, NodeState] = {
    "running": NodeState.RUNNING,
    "starting": NodeState.PENDING,
    "pending": NodeState.PENDING,
    "rebooting": NodeState.REBOOTING,
    "terminated": NodeState.TERMINATED,
    "stopping": NodeState.STOPPING,
    "stopped": NodeState.STOPPED,
    "suspended": NodeState.SUSPENDED,
    "paused": NodeState.SUSPENDED,
    "error": NodeState.ERROR,
    # A node that is being changed in place runs or does not: its word does not say.
    "reconfiguring": NodeState.UNKNOWN,
    "migrating": NodeState.UNKNOWN,
    "updating": NodeState.UNKNOWN,
    "normal": NodeState.UNKNOWN,
    "unknown": NodeState.UNKNOWN,
}
"""libcloud's own vocabulary (``libcloud.compute.types.NodeState``), spoken where a driver has no better word."""

LIBCLOUD_VERBS: Mapping[str, str] = {
    "start_node": "start_node",
    "stop_node": "stop_node",
    "reboot_node": "reboot_node",
    "suspend_node": "ex_suspend_node",
    "resume_node": "ex_resume_node",
    "tag_node": "ex_tag_node",
    "get_node": "ex_get_node",
}
"""Our verb → the driver's method. A method that the driver does not have makes the verb unsupported."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One cloud's names for what every cloud has. ``*_field`` are keys of a node's ``extra``; empty: not there."""

    words: Mapping[str, NodeState] = field(default_factory=dict)
    """The cloud's words for states; they win over libcloud's. Anything else is ``UNKNOWN``."""
    word_field: str = ""
    """Where the cloud's own word stands; empty: libcloud's state is the word."""
    tags_field: str = "tags"
    """Where the tags stand, as a mapping."""
    token_tag: str = TAG_TOKEN
    estate_tag: str = TAG_ESTATE
    location_field: str = ""
    size_field: str = ""
    """Empty: the id of ``node.size``."""
    image_field: str = ""
    """Empty: the id of ``node.image``."""
    created_field: str = ""
    """An aware datetime or ISO 8601 text; empty: ``node.created_at``."""
    ended_field: str = ""
    """Likewise, when a terminated node ended; empty: the cloud does not say."""
    isolated_field: str = ""
    """Whether its firewall lets nothing in or out, as a boolean; empty: the cloud does not say."""
    peers_field: str = ""
    """Name of its group of peers, empty text for none; empty: the cloud does not say."""
    honours_tokens: bool = False
    """True when the same token in two create calls makes one node. Otherwise a create looks for the tag first."""
    verbs: Mapping[str, str] = field(default_factory=lambda: LIBCLOUD_VERBS)
    codes: Mapping[str, type[errors.CloudError]] = field(default_factory=dict)
    """The cloud's error codes (``InsufficientInstanceCapacity``), where they say more than the HTTP status."""
    empty_503_throttles: bool = False
    """True where a 503 without a word means "slow down" and nothing was done."""
