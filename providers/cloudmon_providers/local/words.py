"""The local cloud's own words for what a machine does."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmon.model.nodes import NodeState

RUNNING = "running"
REBOOTING = "rebooting"
STOPPING = "stopping"
STOPPED = "stopped"
SUSPENDING = "suspending"
SUSPENDED = "suspended"
FAILED = "failed"
"""It stopped unexpectedly: nobody ordered the end of its processes."""
TERMINATING = "terminating"
TERMINATED = "terminated"
UNREADABLE = "unreadable"
"""Its record is damaged."""

STATES: Mapping[str, NodeState] = {
    RUNNING: NodeState.RUNNING,
    REBOOTING: NodeState.REBOOTING,
    STOPPING: NodeState.STOPPING,
    STOPPED: NodeState.STOPPED,
    SUSPENDING: NodeState.STOPPING,
    SUSPENDED: NodeState.SUSPENDED,
    FAILED: NodeState.ERROR,
    TERMINATING: NodeState.TERMINATING,
    TERMINATED: NodeState.TERMINATED,
    UNREADABLE: NodeState.UNKNOWN,
}
"""The local cloud's word → cloudmon's state."""
