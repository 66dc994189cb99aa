"""What is held back stays in sight: a finding for each appliance or stray, for as long as a breaker holds it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pictures import UID, finding, intent, moment

from cloudmon.model.actions import Origin, Verb
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.reconcile import breakers
from cloudmon.reconcile.plan import Held, Step

HOLD = finding(FindingKind.HELD, f"{UID}/1")
STRAY = finding(FindingKind.ORPHAN, "node:east:n-1")


def held(breaker: str = "budget used up") -> Held:
    of = intent(Verb.TERMINATE, origin=Origin.OBSERVATION, node_id="n-1")
    return Held(Step(of, Change(of.tenant, of.appliance, opens_intent=of)), breaker)


def written(steps: Sequence[Held], *opened: Finding) -> list[Finding | FindingEnd]:
    found = breakers.findings(steps, {(one.kind, one.subject): one for one in opened}, moment())
    return [one for change in found for one in change.findings]


@pytest.mark.parametrize(("opened", "subject"), [((), f"{UID}/1"), ((STRAY,), "node:east:n-1")])
def test_what_is_held_is_found_with_its_reason(opened: tuple[Finding, ...], subject: str) -> None:
    (found,) = written([held(), held("another")], *opened)
    assert isinstance(found, Finding)
    assert (found.kind, found.subject, found.message) == (
        FindingKind.HELD, subject, "terminate is held back: budget used up",
    )  # fmt: skip


def test_what_goes_on_being_held_writes_nothing() -> None:
    (found,) = written([held()])
    assert isinstance(found, Finding)
    assert written([held()], found) == []
    (other,) = written([held("the view of its cloud is doubted")], found)
    assert isinstance(other, Finding)
    assert other.message.endswith("is doubted")


def test_what_is_held_no_more_ends() -> None:
    assert written([], HOLD, STRAY) == [FindingEnd(FindingKind.HELD, HOLD.subject)]
