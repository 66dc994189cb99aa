"""One author's view of wanted sets against what is there."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from pictures import NOW, ago, ahead, aset, finding, member

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Expect
from cloudmon.model.findings import FindingKind
from cloudmon.model.sets import ApplianceSet, Lease, SetSpec, Template
from cloudmon.reconcile import wanted
from cloudmon.reconcile.limits import Limits
from cloudmon.reconcile.wanted import Wanted

AUTHOR = "file:shop"


def spec(name: str = "storefront", count: int = 3, **other: Any) -> SetSpec:
    return SetSpec(name, count, **{"template": Template("web", {"*": "image-1"}), **other})


def held_set(of: SetSpec, **other: Any) -> ApplianceSet:
    found: ApplianceSet = replace(aset(of.count, uid=f"{of.name:a<12}"[:12], name=of.name, tenant=of.tenant), spec=of)
    return replace(found, **other)


def merge(specs: list[SetSpec], active: list[ApplianceSet], **other: Any) -> Wanted:
    """What the author of all active sets but foreign ones now says."""
    last = {(one.tenant, one.name): one.spec for one in active if one.author == AUTHOR}
    values: dict[str, Any] = {"last": last, "ended": {}, "limits": Limits(), "suspicion": None, "confirmed": False}
    return wanted.merge(specs, active, author=AUTHOR, now=NOW, **{**values, **other})


def test_a_view_that_says_the_same_changes_nothing() -> None:
    assert merge([spec()], [held_set(spec())]) == Wanted((), ())


def test_a_set_that_is_new_is_made_and_one_that_changed_is_changed() -> None:
    found = merge([spec(count=5), spec("ledger")], [held_set(spec())])
    assert [(put.uid, put.spec.count, put.previous) for put in found.puts] == [
        ("storefrontaa", 5, spec()),
        (None, 3, None),
    ]


def test_a_view_that_says_the_same_does_not_undo_what_somebody_else_changed() -> None:
    changed = held_set(spec(count=9))
    assert merge([spec()], [changed], last={("default", "storefront"): spec()}).puts == ()


@pytest.mark.parametrize("specs", [[spec(count=1)], []], ids=["made much smaller", "not named any more"])
def test_a_view_that_suddenly_asks_for_much_less_is_held(specs: list[SetSpec]) -> None:
    found = merge(specs, [held_set(spec())])
    assert (found.puts, found.retire) == ((), ())
    assert f"{3 - sum(one.count for one in specs)} appliances fewer of 3" in found.held


def test_what_grows_is_done_though_what_shrinks_is_held() -> None:
    found = merge([spec(count=9), spec("new")], [held_set(spec()), held_set(spec("ledger", 20))])
    assert found.held
    assert [put.spec.name for put in found.puts] == ["storefront", "new"]
    assert found.retire == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [((3, 3), (3, 2)), ((1, 9), (0, 9)), ((10, 10), (10, 1))],
    ids=["one appliance", "one of many", "a smaller part than half"],
)
def test_a_little_less_is_not_suspicious(before: tuple[int, int], after: tuple[int, int]) -> None:
    names = ("storefront", "ledger")
    active = [held_set(spec(name, count)) for name, count in zip(names, before, strict=True)]
    found = merge([spec(name, count) for name, count in zip(names, after, strict=True)], active)
    assert not found.held
    assert len(found.puts) == 1


@pytest.mark.parametrize(
    ("other", "passes"),
    [
        ({"confirmed": True}, True),
        ({"suspicion": replace(finding(FindingKind.SUSPICIOUS, "file:shop"), opened_at=ago(3_600))}, True),
        ({"suspicion": replace(finding(FindingKind.SUSPICIOUS, "file:shop"), opened_at=ago(3_599))}, False),
    ],
    ids=["a person confirmed it", "it has been held for its grace", "its grace is not over"],
)
def test_what_is_held_passes_once_it_is_meant_or_old(other: dict[str, Any], passes: bool) -> None:
    found = merge([], [held_set(spec())], **other)
    assert bool(found.retire) is passes
    assert bool(found.held) is not passes


def test_another_authors_set_is_left_as_it_is() -> None:
    found = merge([spec(count=1)], [held_set(spec(), author="cli:ann")])
    assert (found.puts, found.retire) == ((), ())
    assert found.foreign == ("set storefront belongs to cli:ann and is left as it is",)


def test_another_authors_set_is_not_retired_for_not_being_named() -> None:
    assert merge([], [held_set(spec(), author="cli:ann")], confirmed=True).retire == ()


def test_a_namesake_of_another_tenant_is_somebody_elses_set() -> None:
    """Not retired because this author's set of that name belongs to this author, nor changed for it."""
    mine, theirs = held_set(spec()), held_set(spec(tenant="books"), author="cli:ann", uid="theirsaaaaaa")
    assert merge([spec()], [mine, theirs], confirmed=True) == Wanted((), ())
    found = merge([spec(), spec(tenant="books", count=9)], [mine, theirs])
    assert found.puts == ()
    assert "belongs to cli:ann" in found.foreign[0]


def test_two_tenants_namesakes_of_one_author_are_two_sets() -> None:
    ours, books = spec(), spec(tenant="books", count=1)
    active = [held_set(ours), held_set(books, uid="booksaaaaaaa")]
    assert merge([ours, books], active) == Wanted((), ())


def test_a_set_that_is_being_retired_is_neither_changed_nor_made_again_yet() -> None:
    going = held_set(spec(), retiring_since=ago(5), retired_reason="its lease ended")
    found = merge([spec(count=9)], [going])
    assert found.puts == ()
    assert "is being retired (its lease ended)" in found.foreign[0]


@pytest.mark.parametrize(
    ("ended", "again"),
    [
        ((spec(), "its lease ended"), False),
        ((spec(), "asked by ann: enough"), False),
        ((spec(), wanted.withdrawn(AUTHOR)), True),
        ((spec(count=4), "its lease ended"), True),
    ],
    ids=["its lease ended", "it was retired by hand", "it was withdrawn and is named again", "it is asked anew"],
)
def test_what_has_ended_stays_ended_unless_it_is_asked_for_anew(ended: tuple[SetSpec, str], again: bool) -> None:
    found = merge([spec()], [], ended={("default", "storefront"): ended})
    assert bool(found.puts) is again
    assert bool(found.foreign) is not again


@pytest.mark.parametrize(
    ("end", "made"), [(NOW, False), (ahead(1), True)], ids=["it has expired", "it ends a second later"]
)
def test_a_set_whose_lease_is_over_is_not_made(end: dt.datetime, made: bool) -> None:
    assert bool(merge([spec(lease=Lease(end=end))], []).puts) is made


# --- what failed, and is asked for anew -------------------------------------------------------------------------------

FAILED = member(ApplianceState.REQUESTED, rung=7)


@pytest.mark.parametrize(
    ("after", "anew"),
    [
        (spec(template=Template("web", {"*": "image-2"})), True),
        (spec(clouds=("west",)), True),
        (spec(count=9), False),
        (spec(lease=Lease(end=ahead(60))), False),
    ],
    ids=["another template", "other clouds", "more of the same", "for another time"],
)
def test_what_failed_is_tried_anew_when_something_else_is_asked_for(after: SetSpec, anew: bool) -> None:
    assert wanted.tried_anew(spec(), after, [FAILED]) == ([FAILED] if anew else [])


def test_only_what_failed_and_is_not_well_is_tried_anew() -> None:
    members = [
        member(rung=2), member(ApplianceState.FAULTED, 2, rung=6), member(ApplianceState.REQUESTED, 3),
        member(ApplianceState.LAUNCHING, 4, attempts=1), member(ApplianceState.RETIRING, 5, rung=2),
        member(ApplianceState.STOPPED, 6, retry_at=ahead(60)), member(ApplianceState.RETIRED, 7, attempts=3),
    ]  # fmt: skip
    found = wanted.tried_anew(spec(), spec(template=Template("web", {"*": "image-2"})), members)
    assert [one.ordinal for one in found] == [2, 4, 6]


def test_what_is_tried_anew_forgets_what_failed_and_says_so() -> None:
    change = wanted.forgotten(FAILED, AUTHOR, NOW)
    assert change.member == {"rung": 0, "attempts": 0, "retry_at": None}
    assert change.expect == Expect(ApplianceState.REQUESTED, 1)
    assert [entry.body["reason"] for entry in change.log] == ["file:shop asks for something else than what failed"]
