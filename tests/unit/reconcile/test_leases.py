"""The life of a set: warnings, grace, and an end that is never taken back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pictures import NOW, ago, ahead, aset

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.sets import ApplianceSet, Lease
from cloudmon.reconcile import leases
from cloudmon.reconcile.plan import SetUpdate

RUNNING, RETIRED = ApplianceState.RUNNING, ApplianceState.RETIRED


def review(*, states: Any = (RUNNING,), open_incarnations: bool = False, **of: Any) -> SetUpdate | None:
    grace_s = of.pop("grace_s", 0)
    found = aset(lease=Lease(grace_s=grace_s, warn_s=(86_400, 3_600)), **of)
    return leases.review(found, states, open_incarnations=open_incarnations, now=NOW)


@pytest.mark.parametrize(
    ("of", "kind"),
    [
        ({"lease_end": None}, None),
        ({"lease_end": ahead(90_000)}, None),
        ({"lease_end": ahead(86_400)}, "lease.warning"),
        ({"lease_end": ahead(86_400), "warned_s": (86_400,)}, None),
        ({"lease_end": ahead(3_600), "warned_s": (86_400,)}, "lease.warning"),
        ({"lease_end": ahead(1), "warned_s": (86_400, 3_600)}, None),
        ({"lease_end": NOW, "warned_s": (86_400, 3_600)}, "set.retiring"),
        ({"lease_end": ago(59), "grace_s": 60, "warned_s": (86_400, 3_600)}, None),
        ({"lease_end": ago(60), "grace_s": 60, "warned_s": (86_400, 3_600)}, "set.retiring"),
        ({"lease_end": ahead(3_600), "retiring_since": ago(5)}, None),
        ({"lease_end": ago(60), "retiring_since": ago(5), "states": (RETIRED, RUNNING)}, None),
        ({"retiring_since": ago(5), "states": (RETIRED,), "open_incarnations": True}, None),
        ({"retiring_since": ago(5), "states": (RETIRED, RETIRED)}, "set.retired"),
        ({"retiring_since": ago(5), "states": ()}, "set.retired"),
    ],
    ids=[
        "without end", "far from its end", "a first warning", "which is given once", "a second one", "given once too",
        "it has ended", "not within its grace", "at the end of its grace", "an extension takes nothing back",
        "its end goes on", "a node may still be there", "all have ended", "it had no members",
    ],
)  # fmt: skip
def test_what_is_due_for_a_set(of: dict[str, Any], kind: str | None) -> None:
    found = review(**of)
    assert (found.kind if found is not None else None) == kind


def test_marks_that_were_passed_together_are_one_warning() -> None:
    found = review(lease_end=ahead(60))
    assert found is not None
    assert found.values == {"warned_s": (86_400, 3_600)}


def test_a_lease_extended_in_its_grace_does_not_end() -> None:
    assert review(lease_end=ahead(90_000), grace_s=60, warned_s=()) is None


@pytest.mark.parametrize(
    ("end", "due"),
    [
        (None, None),
        (ahead(90_000), ahead(3_600)),
        (ahead(3_600), ahead(3_660)),
        (ago(30), ahead(30)),
        (ago(61), None),
    ],
    ids=["never", "its first warning", "its end after the warnings", "the end of its grace", "all is past"],
)
def test_when_something_falls_due_next(end: dt.datetime | None, due: dt.datetime | None) -> None:
    found = aset(lease=Lease(grace_s=60, warn_s=(86_400, 3_600)), lease_end=end)
    assert leases.due_at(found, NOW) == due


# --- findings ---------------------------------------------------------------------------------------------------------


def said(found: ApplianceSet, before: Finding | None = None, *updates: SetUpdate) -> list[Finding | FindingEnd]:
    opened = {(FindingKind.LEASE, before.subject): before} if before is not None else {}
    changes = leases.findings({found.uid: found}, updates, opened, NOW)
    return [one for change in changes for one in change.findings]


def warned(*marks: int, **of: Any) -> ApplianceSet:
    return aset(lease=Lease(warn_s=(86_400, 3_600)), **{"lease_end": ahead(86_000), "warned_s": marks, **of})


def finding(of: ApplianceSet) -> Finding:
    (found,) = said(of)
    assert isinstance(found, Finding)
    return found


def test_a_warning_is_a_finding_and_the_next_one_says_it_anew() -> None:
    """Once each: a quiet tick writes nothing."""
    first = finding(warned(86_400))
    assert (first.kind, first.subject, first.severity) == (FindingKind.LEASE, warned().uid, "warning")
    assert first.message == "storefront: 1d or less is left of its lease, which ends at 2026-03-02 11:53:20Z"
    assert said(warned(86_400), first) == []
    (second,) = said(warned(86_400, 3_600), first)
    assert "1h or less" in second.message  # type: ignore[union-attr]
    assert said(warned()) == []


def test_the_warning_of_this_very_tick_counts() -> None:
    """It is written after the finding."""
    update = SetUpdate(warned().uid, "lease.warning", {"warned_s": (86_400,)}, "")
    assert len(said(warned(), None, update)) == 1


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(warned(), id="extended"),
        pytest.param(warned(86_400, lease_end=None), id="without end"),
        pytest.param(warned(86_400, retiring_since=ago(1)), id="retiring"),
    ],
)
def test_it_ends_with_what_it_warned_of(now: ApplianceSet) -> None:
    """Nothing is left of it."""
    before = finding(warned(86_400))
    assert said(now, before) == [FindingEnd(FindingKind.LEASE, before.subject)]


def test_it_ends_with_the_set() -> None:
    """Though nobody knows the set any more."""
    before = finding(warned(86_400))
    (change,) = leases.findings({}, (), {(before.kind, before.subject): before}, NOW)
    assert change.findings == (FindingEnd(FindingKind.LEASE, before.subject),)
