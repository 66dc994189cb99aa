"""One look at an appliance's row and its node, settled."""

from __future__ import annotations

from typing import Any

from pictures import case, member, node

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change
from cloudmon.model.nodes import NodeState
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.settle import settle

REQUESTED, LAUNCHING, RUNNING = ApplianceState.REQUESTED, ApplianceState.LAUNCHING, ApplianceState.RUNNING
STOPPED, SUSPENDED, FAULTED = ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.FAULTED

NODE_OF = {
    Condition.RUNS: NodeState.RUNNING,
    Condition.CHANGES: NodeState.STOPPING,
    Condition.OFF: NodeState.STOPPED,
    Condition.FROZEN: NodeState.SUSPENDED,
    Condition.BAD: NodeState.ERROR,
    Condition.LEAVING: NodeState.TERMINATING,
    Condition.UNKNOWN: NodeState.UNKNOWN,
}


def look(state: ApplianceState, condition: Condition, **other: Any) -> Change | None:
    """Settle a member in ``state`` whose node is in ``condition``."""
    found = node(state=NODE_OF[condition]) if condition in NODE_OF else condition
    columns = {name: other.pop(name) for name in ("rung", "wanted", "attempts", "retry_at", "since") if name in other}
    return settle(case(member(state, **columns), found, **other))
