"""What a plan may do: budgets, the first tick, doubted views; and what passes all the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import OTHER_UID, UID, ago, ahead, intent, moment

from cloudmon.model.actions import ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.changes import Change
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile import breakers
from cloudmon.reconcile.limits import ClassLimits, Confirmations, Limits
from cloudmon.reconcile.picture import Moment
from cloudmon.reconcile.plan import Step

OPEN = ClassLimits(None, None, None, 3_600)
numbers = itertools.count(1)


def terminate(ordinal: int = 1, *, uid: str = UID, **other: Any) -> Intent:
    values: dict[str, Any] = {"id": f"intent-{next(numbers)}", "origin": Origin.OBSERVATION, "created_at": ago(10)}
    return intent(Verb.TERMINATE, appliance=ApplianceId(uid, ordinal), **{**values, **other})


def step(of: Intent, *, again: bool = False) -> Step:
    return Step(of, Change(of.tenant, of.appliance, opens_intent=None if again else of), again=again)


def limited(**destructive: Any) -> Limits:
    values: dict[str, Any] = {"per_set": None, "per_tenant": None, "per_cloud": None, "window_s": 3_600}
    return Limits(destructive=ClassLimits(**{**values, **destructive}), disruptive=OPEN, retirement=OPEN)


def judge(
    steps: list[Intent], recent: list[Intent] | None = None, *, at: Moment | None = None, **limits: Any
) -> tuple[int, list[str]]:
    """How many pass, and what holds the rest."""
    passed, held = breakers.judge(
        [step(one) for one in steps], recent or [], at or moment(limits=limited(**limits)), {}
    )
    return len(passed), [one.breaker for one in held]


@pytest.mark.parametrize(
    ("limits", "steps", "passed"),
    [
        ({"per_set": 2}, [terminate(n) for n in (1, 2, 3)], 2),
        ({"per_set": 2}, [terminate(n, uid=uid) for n in (1, 2) for uid in (UID, OTHER_UID)], 4),
        ({"per_tenant": 2}, [terminate(n, uid=uid) for n in (1, 2) for uid in (UID, OTHER_UID)], 2),
        ({"per_tenant": 1}, [terminate(1), terminate(2, tenant="books")], 2),
        ({"per_cloud": 1}, [terminate(1), terminate(2, cloud="west"), terminate(3)], 2),
        ({"per_set": 0}, [terminate(1)], 0),
        ({}, [terminate(n) for n in range(1, 50)], 49),
        ({"per_set": 0}, [terminate(1, action_class=ActionClass.DISRUPTIVE)], 1),
    ],
    ids=[
        "so many of a set", "of each set", "so many of a tenant", "of each tenant", "so many on a cloud",
        "none at all", "no limit", "each class has its own budget",
    ],
)  # fmt: skip
def test_a_budget_lets_pass_what_it_says(limits: dict[str, Any], steps: list[Intent], passed: int) -> None:
    found, held = judge(steps, **limits)
    assert found == passed
    assert all("budget used up" in why for why in held)


def test_what_is_to_be_done_otherwise_passes_in_the_place_of_what_is_held() -> None:
    """And both are told: what waits, and what is begun."""
    mild = step(intent(Verb.JOB_RUN, id="mild", action_class=ActionClass.SAFE, created_at=ago(10)))
    hard = replace(step(terminate()), otherwise=mild)
    for per_set, begun, waits in ((1, [hard], []), (0, [mild], [hard])):
        passed, held = breakers.judge([hard], [], moment(limits=limited(per_set=per_set)), {})
        assert passed == begun
        assert [one.step for one in held] == waits


@pytest.mark.parametrize(
    ("limit", "recent", "free"),
    [
        (1, [terminate(9, created_at=ago(600))], ahead(3_000)),
        (1, [terminate(8, created_at=ago(60)), terminate(9, created_at=ago(600))], ahead(3_540)),
        (2, [terminate(9, created_at=ago(600))], ahead(3_000)),
        (1, [], ahead(3_600)),
        (0, [], None),
    ],
    ids=["one of before", "more than it lets pass", "one of before and one of now", "one of now", "none ever passes"],
)
def test_a_used_up_budget_says_when_it_has_room_again(limit: int, recent: list[Intent], free: Any) -> None:
    steps = [step(terminate(ordinal)) for ordinal in (1, 2)]
    _, held = breakers.judge(steps, recent, moment(limits=limited(per_set=limit)), {})
    assert [one.until for one in held][-1:] == [free]


@pytest.mark.parametrize(
    ("recent", "passed"),
    [
        (terminate(created_at=ago(3_599)), 0),
        (terminate(created_at=ago(3_600)), 1),
        (terminate(state=IntentState.FAILED), 0),
        (terminate(origin=Origin.REQUEST), 0),
        (terminate(uid=OTHER_UID), 1),
        (terminate(action_class=ActionClass.RETIREMENT), 1),
        (intent(Verb.LAUNCH), 1),
    ],
    ids=[
        "one within the window", "one before it", "one that failed", "one that was asked for", "another set's",
        "a retirement", "a launch",
    ],
)  # fmt: skip
def test_what_was_begun_lately_counts(recent: Intent, passed: int) -> None:
    assert judge([terminate(2)], [recent], per_set=1)[0] == passed


def test_a_persons_request_is_not_held_but_counts() -> None:
    asked, ours = terminate(1, origin=Origin.REQUEST), terminate(2)
    assert judge([asked, ours], [terminate(3)], per_set=1)[0] == 1
    assert judge([asked, ours], per_set=1) == (1, ["budget used up: 1 destructive per set in 3600 s"])


def test_one_more_try_of_a_recorded_intent_is_neither_held_nor_counted() -> None:
    at = moment(limits=limited(per_set=1), first_tick=True)
    passed, held = breakers.judge([step(terminate(), again=True), step(terminate())], [], replace(at), {"east": "x"})
    assert [one.again for one in passed] == [True]
    assert len(held) == 1


@pytest.mark.parametrize(
    ("of", "passes"),
    [
        (terminate(), False),
        (terminate(origin=Origin.REQUEST), True),
        (terminate(origin=Origin.WANTED, action_class=ActionClass.RETIREMENT), True),
        (intent(Verb.REBOOT, origin=Origin.OBSERVATION), True),
        (intent(Verb.LAUNCH), True),
    ],
    ids=["destruction born of observation", "a person's request", "retirement", "a reboot", "a launch"],
)
@pytest.mark.parametrize("why", ["the first tick", "a doubted view"])
def test_eyes_that_may_be_wrong_destroy_nothing(of: Intent, passes: bool, why: str) -> None:
    at = moment(first_tick=why == "the first tick")
    doubted = {"east": "half of it is missing"} if why == "a doubted view" else {}
    passed, held = breakers.judge([step(of)], [], at, doubted)
    assert bool(passed) is passes
    assert all(("first tick" if at.first_tick else "half of it is missing") in one.breaker for one in held)


def test_a_doubted_view_holds_nothing_on_other_clouds() -> None:
    assert breakers.judge([step(terminate(cloud="west"))], [], moment(), {"east": "x"})[1] == []


def test_the_first_ticks_hold_can_be_turned_off() -> None:
    at = moment(first_tick=True, limits=Limits(first_tick_hold=False))
    assert judge([terminate()], at=at) == (1, [])


@pytest.mark.parametrize(
    ("subject", "until", "passed"),
    [
        (UID, ahead(1), 2),
        (UID, moment().now, 1),
        (OTHER_UID, ahead(1), 1),
        ("destructive per cloud east", ahead(1), 1),
    ],
    ids=["for this set", "that is over", "for another set", "for another budget"],
)
def test_a_confirmation_lets_pass_what_it_names(subject: str, until: Any, passed: int) -> None:
    at = moment(limits=limited(per_set=1), confirmations=Confirmations({subject: until}))
    assert judge([terminate(1), terminate(2)], at=at)[0] == passed


def test_the_store_is_given_the_same_budgets_but_those_that_were_confirmed() -> None:
    at = moment(limits=limited(per_set=1, per_cloud=2), confirmations=Confirmations({UID: ahead(1)}))
    found = breakers.all_budgets([step(terminate()), step(terminate(uid=OTHER_UID)), step(intent(Verb.LAUNCH))], at)
    assert sorted((budget.name, budget.set_uid, budget.cloud, budget.limit) for budget in found) == [
        ("destructive per cloud east", None, "east", 2),
        ("destructive per set", OTHER_UID, None, 1),
    ]


@given(
    limits=st.fixed_dictionaries(
        {name: st.none() | st.integers(0, 4) for name in ("per_set", "per_tenant", "per_cloud")}
    ),
    steps=st.lists(
        st.tuples(st.sampled_from([UID, OTHER_UID]), st.sampled_from(["a", "b"]), st.sampled_from(["east", "west"])),
        max_size=20,
    ),
    recent=st.lists(st.tuples(st.sampled_from([UID, OTHER_UID]), st.integers(0, 7_200)), max_size=6),
)
def test_no_budget_is_ever_exceeded(limits: Any, steps: Any, recent: Any) -> None:
    """Whatever is decided and whatever was done: counted anew from what passed, by each scope."""
    earlier = [terminate(uid=uid, created_at=ago(age), tenant="a") for uid, age in recent]
    at = moment(limits=limited(**limits))
    passed, _ = breakers.judge(
        [step(terminate(uid=uid, tenant=tenant, cloud=cloud)) for uid, tenant, cloud in steps], earlier, at, {}
    )
    counted = [one for one in earlier if one.created_at > ago(3_600)]
    scopes: dict[str, Callable[[Intent], str]] = {
        "per_set": lambda one: one.appliance.set_uid,
        "per_tenant": lambda one: one.tenant,
        "per_cloud": lambda one: one.cloud,
    }
    for scope, of in scopes.items():
        for value in {of(one.intent) for one in passed}:
            new = sum(1 for one in passed if of(one.intent) == value)
            old = sum(1 for one in counted if of(one) == value)
            assert limits[scope] is None or old + new <= limits[scope]
