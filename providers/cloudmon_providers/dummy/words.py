"""The dummy cloud's own words for what a machine does, and which of them are paid as running."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmon.model.nodes import NodeState

PENDING = "pending"
RUNNING = "running"
REBOOTING = "rebooting"
STOPPING = "stopping"
STOPPED = "stopped"
SUSPENDING = "suspending"
SUSPENDED = "suspended"
RESUMING = "resuming"
FAILED = "failed"
TERMINATING = "terminating"
TERMINATED = "terminated"

STATES: Mapping[str, NodeState] = {
    PENDING: NodeState.PENDING,
    RUNNING: NodeState.RUNNING,
    REBOOTING: NodeState.REBOOTING,
    STOPPING: NodeState.STOPPING,
    STOPPED: NodeState.STOPPED,
    SUSPENDING: NodeState.STOPPING,
    SUSPENDED: NodeState.SUSPENDED,
    RESUMING: NodeState.PENDING,
    FAILED: NodeState.ERROR,
    TERMINATING: NodeState.TERMINATING,
    TERMINATED: NodeState.TERMINATED,
}
"""The dummy's word → cloudmon's state."""

RAN = frozenset({PENDING, RUNNING, REBOOTING, STOPPING, SUSPENDING, RESUMING, FAILED, TERMINATING})
"""Words in which a machine holds processors and memory, and is paid as running."""

STOOD = frozenset({STOPPED, SUSPENDED})
"""Words in which it exists without running."""
