"""How an appliance comes to be in the state of power that it is wanted in: which order, and what is taken in its place
where its cloud knows no such order."""

from __future__ import annotations

from typing import NamedTuple

from cloudmon.model.actions import Verb
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.changes import Change
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.case import STOPPED_STATES, Case


class Order(NamedTuple):
    """What its cloud is to be told."""

    verb: Verb
    remark: str = ""
    """What its reason says besides."""
    fallback: str = ""
    """What was asked for, where this is done in its place: it is part of the record."""


def down(case: Case) -> Order | None:
    """The order for one that is not wanted running; None when it is as it is wanted, or as good as that."""
    member = case.member
    isolated = member.state is ApplianceState.ISOLATED or (case.node is not None and case.node.isolated is True)
    # What is stopped is isolated as well: it may be started by somebody else.
    if member.wanted is Power.ISOLATED:
        return None if isolated else Order(Verb.ISOLATE)
    # Off is off: a machine that is stopped needs no freezing, a frozen one no stopping.
    if member.state in STOPPED_STATES:
        return None
    if member.wanted is Power.STOPPED:
        return Order(Verb.STOP)
    verbs = able(case)
    if "suspend_node" in verbs:
        return Order(Verb.SUSPEND)
    # Stopped instead; also where nothing at all can be done, so that the cloud's refusal says so.
    if "stop_node" in verbs or "isolate_node" not in verbs:
        return Order(Verb.STOP, "; this cloud cannot suspend, so it is stopped", "suspend")
    if isolated:
        return None
    return Order(Verb.ISOLATE, "; this cloud can neither suspend nor stop, so it is isolated", "suspend")


def up(state: ApplianceState) -> Verb:
    """What has one in this state run, and talk."""
    return {ApplianceState.SUSPENDED: Verb.RESUME, ApplianceState.ISOLATED: Verb.RELEASE}.get(state, Verb.START)


def afresh(case: Case) -> Change:
    """It was its node that was to be isolated, and there is none any more: what comes next is wanted running."""
    member, reason = case.member, "its node, which was to be isolated, is no more"
    log = cases.log(case, "appliance.wanted", f"{member.ordinal}", wanted=Power.RUNNING.value, reason=reason)
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member=cases.afresh(member),
        log=(log,),
    )


def able(case: Case) -> frozenset[str]:
    """What its cloud can do beside the core; nothing where it is not seen."""
    return case.view.verbs if case.view is not None else frozenset()
