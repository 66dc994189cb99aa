"""The life of a set: warnings, grace, and an end that is never taken back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pictures import NOW, ago, ahead, aset

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.sets import Lease
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
