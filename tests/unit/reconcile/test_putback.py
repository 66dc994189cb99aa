"""A store that is older than it was: what waits, what is held, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pictures import NOW, ago, ahead, aset, estate, finding, incarnation, member, moment, node, offer, plan, token, view

from cloudmon.model.actions import Origin
from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import FindingEnd
from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import Node
from cloudmon.reconcile import putback
from cloudmon.reconcile.limits import Confirmations
from cloudmon.reconcile.plan import Plan

REQUESTED = ApplianceState.REQUESTED
NOTICE = replace(finding(FindingKind.SUSPICIOUS, putback.STORE), message="put back")


TWIN = node("n-7", of=token())
SECOND = finding(FindingKind.DUPLICATE, "node:east:n-7", token=token())
KNOWN = {token(): incarnation(state=IncarnationState.LIVE)}


def _launches(*nodes: Node) -> Plan:
    return plan(estate([member(REQUESTED)]), view(*nodes), offers=[offer()])


@pytest.mark.parametrize(
    ("carried", "launched"),
    [(token(1, 2), False), (token(1, 1), True), (token(2, 2), True), (token(1, 2, estate="elsewhereaaa"), True)],
    ids=["a later one of its own", "one that it had", "another one's", "of another estate"],
)
def test_nothing_is_launched_for_an_appliance_whose_later_node_is_there(carried: str, launched: bool) -> None:
    found = _launches(node("n-7", of=carried))
    assert bool(found.steps) is launched
    assert launched or ["has node n-7 on east" in one.reason for one in found.waiting] == [True]


def test_what_says_that_it_was_launched_elsewhere_is_an_orphan_and_no_duplicate() -> None:
    """A launch is asked of one cloud: no lost answer explains it, so it is not ended for one too many."""
    known = {token(): incarnation(state=IncarnationState.LIVE, cloud="west")}
    stray = node("n-7", of=token())
    found = plan(estate([member(cloud="west")], known=known), view(stray), view(node(), cloud="west"))
    (change,) = [change for change in found.changes if change.usage]
    assert [one.kind for one in change.findings if not isinstance(one, FindingEnd)] == [FindingKind.ORPHAN]


def _expired() -> Any:
    return aset(1, lease_end=ago(60))


def test_no_end_is_decided_and_none_is_begun_while_nobody_has_looked() -> None:
    of = estate([member()], sets=[_expired()], findings=[NOTICE, SECOND], known=KNOWN)
    found = plan(of, view(node(), TWIN))
    assert found.set_updates == []
    assert found.steps == []
    assert ["was put back from an older copy" in one.breaker for one in found.held] == [True]
    assert found.notes == ["put back"]


def test_what_people_and_files_ask_for_is_not_held() -> None:
    of = estate([member(), member(ordinal=2)], sets=[aset(1)], findings=[NOTICE])
    assert [step.intent.node_id for step in plan(of, view(node(), node("n-2"))).steps] == ["n-2"]
    (step,) = plan(estate([member()], findings=[SECOND], known=KNOWN), view(node(), TWIN)).steps
    assert putback.holds(step.intent, NOTICE) != ""
    assert putback.holds(replace(step.intent, origin=Origin.REQUEST), NOTICE) == ""
    assert putback.holds(step.intent, None) == ""


def test_once_it_is_confirmed_it_ends_and_holds_nothing() -> None:
    of = estate([member()], sets=[_expired()], findings=[NOTICE, SECOND], known=KNOWN)
    at = moment(confirmations=Confirmations({putback.STORE: ahead(60)}))
    found = plan(of, view(node(), TWIN), at=at)
    assert [update.kind for update in found.set_updates] == ["set.retiring"]
    assert [step.intent.node_id for step in found.steps] == ["n-7"]
    ends = [one for change in found.changes for one in change.findings if isinstance(one, FindingEnd)]
    assert FindingEnd(FindingKind.SUSPICIOUS, putback.STORE) in ends


def test_it_says_how_much_is_missing() -> None:
    (found,) = putback.noticed(37, 4, NOW).findings
    assert "37 entries of the action log, in 4 chains, are missing" in getattr(found, "message", "")
