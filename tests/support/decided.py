"""What is decided about one appliance, told as what it must be."""

from __future__ import annotations

from typing import Any

from pictures import (
    ESTATE,
    UID,
    ago,
    aset,
    case,
    choices,
    control,
    node,
    offer,
)

from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change
from cloudmon.model.nodes import NodeState
from cloudmon.model.requests import Request
from cloudmon.model.sets import ControlKind
from cloudmon.reconcile.decide import Decision, decide
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.plan import Step, Waiting

REQUESTED, LAUNCHING, RUNNING = ApplianceState.REQUESTED, ApplianceState.LAUNCHING, ApplianceState.RUNNING
STOPPED, SUSPENDED, FAULTED = ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.FAULTED
RETIRING, RETIRED = ApplianceState.RETIRING, ApplianceState.RETIRED

RETIRING_SET = aset(retiring_since=ago(60), retired_reason="its lease ended")
PAUSED = aset(controls=(control(ControlKind.PAUSE),))
PROTECTED = aset(controls=(control(ControlKind.PROTECT),))
MAINTAINED = aset(controls=(control(ControlKind.MAINTENANCE),))
ILL = node(state=NodeState.ERROR)
OFF = node(state=NodeState.STOPPED)
LEAST = frozenset({"start_node", "stop_node", "reboot_node"})


def market() -> Market:
    return Market(ESTATE, {UID: choices()}, {offer().key: offer()})


def decided(
    of: Member, seen: Any = None, *, asked: Request | None = None, open_incarnations: bool = False, **other: Any
) -> Decision:
    return decide(case(of, seen, **other), market(), asked, open_incarnations=open_incarnations)


def step(decision: Decision) -> Step:
    assert isinstance(decision, Step), decision
    return decision


def waits(decision: Decision) -> Waiting:
    assert isinstance(decision, Waiting), decision
    return decision


def change(decision: Decision) -> Change:
    assert isinstance(decision, Change), decision
    return decision
