"""Whose turn it is in a roll-out: a table of members' phases, and what holds for every roll-out."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import NOW, UID, ago, ahead, intent, member

from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.identity import ApplianceId
from cloudmon.model.updates import Updates, Version
from cloudmon.reconcile import rollouts
from cloudmon.reconcile.rollouts import Decision, Phase, Seen, State

UPDATES = Updates(canary=1, batch=3, healthy_s=60, patience_s=300)
OLD = Version("shop", "newest", "1.0", "2.0", True, "up", ago(9_000))
NEW = Version("shop", "newest", "2.0", "2.0", False, "up", ago(100))


def update(state: IntentState = IntentState.DONE, ended_s: float = 100, **other: Any) -> Intent:
    """An update that ended so many seconds ago."""
    told = {
        "evidence": {"from": "1.0"},
        "created_at": ago(ended_s + 20),
        "ended_at": ago(ended_s),
        "attempts": 1,
        **other,
    }
    return intent(Verb.APP_UPDATE, state, **told)


def undo(state: IntentState = IntentState.DONE, ended_s: float = 10) -> Intent:
    return update(state, ended_s, evidence={"undo": True})


def put(state: IntentState = IntentState.DONE) -> Intent:
    """An installation where nothing was."""
    return replace(update(state, evidence={"from": ""}), verb=Verb.APP_INSTALL)


def seen(version: Version | None, *intents: Intent, **other: Any) -> Seen:
    return Seen(1, version, intents, **other)


DOWN = replace(NEW, state="down")
FELL, OFF = replace(DOWN, since=ago(5)), replace(NEW, state="stopped", since=ago(5))
NONE = replace(OLD, have="", state="down")
FAILED = IntentState.FAILED


def unfetched(*ended_s: float, **other: Any) -> list[Intent]:
    return [update(FAILED, one, attempts=0, id=f"intent-{at}", **other) for at, one in enumerate(ended_s)]


@pytest.mark.parametrize(
    ("intents", "until_s"),
    [
        ([], 0),
        (unfetched(100), 20),
        (unfetched(130), 0),
        (unfetched(700, 400, 100), 380),
        (unfetched(*[100] * 30), 120 * 256 - 100),
        (unfetched(100, incarnation=9), 0),
        (unfetched(100, appliance=ApplianceId(UID, 2)), 0),
        ([update(FAILED)], 0),
        (unfetched(100, result={"error": "it is down"}), 0),
    ],
    ids=["nothing was told", "just now", "a while ago", "again and again", "however often", "to its last node",
         "to another", "it was fetched, and failed", "its result came without a word before"],
)  # fmt: skip
def test_who_did_not_fetch_its_update_is_passed_over_for_a_while(intents: list[Intent], until_s: int) -> None:
    assert bool(rollouts.passed_over(member(), intents, NOW)) is bool(until_s)
    again = ahead(until_s)
    assert rollouts.passed_over(member(), intents, again) == ""
    if until_s:
        assert f"told again from {again:%H:%M:%S} UTC" in rollouts.passed_over(member(), intents, NOW)


def test_what_nobody_fetched_is_no_part_of_the_roll_out() -> None:
    assert rollouts.by_ordinal([update(), *unfetched(10)]) == {1: (update(),)}


@pytest.mark.parametrize(
    ("member", "phase"),
    [
        pytest.param(seen(OLD), Phase.BEHIND, id="outdated"),
        pytest.param(seen(OLD, held="is paused"), Phase.HELD, id="outdated-and-held"),
        pytest.param(seen(NEW), Phase.CURRENT, id="has-it-already"),
        pytest.param(seen(None), Phase.UNKNOWN, id="silent"),
        pytest.param(seen(replace(OLD, outdated=None)), Phase.UNKNOWN, id="cannot-be-put-in-order"),
        pytest.param(seen(OLD, update(IntentState.RECORDED)), Phase.OUT, id="not-fetched"),
        pytest.param(seen(OLD, update(IntentState.PERFORMED)), Phase.OUT, id="fetched"),
        pytest.param(seen(NEW, update()), Phase.DONE, id="well-for-long-enough"),
        pytest.param(seen(NEW, update(ended_s=59)), Phase.SETTLING, id="well-and-young"),
        pytest.param(seen(replace(NEW, since=ago(20)), update()), Phase.SETTLING, id="up-again-just-now"),
        pytest.param(seen(DOWN, update()), Phase.SETTLING, id="down-within-its-patience"),
        pytest.param(seen(replace(DOWN, since=ago(390)), update(ended_s=361)), Phase.BROKEN, id="down-beyond-it"),
        pytest.param(seen(replace(DOWN, since=ago(5)), update(ended_s=9_000)), Phase.DONE, id="fell-much-later"),
        pytest.param(seen(None, update(ended_s=361)), Phase.BROKEN, id="fell-silent"),
        pytest.param(seen(OLD, update(ended_s=361)), Phase.BROKEN, id="still-outdated"),
        pytest.param(seen(replace(NEW, state=""), update(ended_s=361)), Phase.BROKEN, id="nobody-can-say"),
        pytest.param(seen(NEW, update(), alarm=ago(110)), Phase.BROKEN, id="critical-finding-since"),
        pytest.param(seen(NEW, update(), alarm=ago(130)), Phase.DONE, id="critical-finding-before"),
        pytest.param(seen(NEW, update(ended_s=9_000), alarm=ago(10)), Phase.DONE, id="critical-finding-long-after"),
        pytest.param(seen(OLD, update(FAILED)), Phase.REFUSED, id="failed-and-changed-nothing"),
        pytest.param(seen(replace(DOWN), update(FAILED)), Phase.BROKEN, id="failed-and-changed-it"),
        pytest.param(seen(None, update(FAILED)), Phase.BROKEN, id="failed-and-silent"),
        pytest.param(seen(NEW, update(FAILED)), Phase.CURRENT, id="failed-and-came-up-after-all"),
        pytest.param(seen(FELL, update(FAILED, 9_000)), Phase.CURRENT, id="put-right-and-fell-much-later"),
        pytest.param(seen(OFF, update(FAILED, 9_000)), Phase.CURRENT, id="put-right-and-stopped-later"),
        pytest.param(seen(replace(FELL, have="3.0", outdated=True), update(FAILED, 9_000)), Phase.BROKEN,
                     id="not-at-its-version-and-fell"),
        pytest.param(seen(replace(FELL, since=ago(8_990)), update(FAILED, 9_000)), Phase.BROKEN, id="never-put-right"),
        pytest.param(seen(FELL, update(FAILED, 300)), Phase.BROKEN, id="failed-and-fell-while-it-was-watched"),
        pytest.param(seen(replace(NEW, since=ago(5)), update(FAILED, 9_000)), Phase.BROKEN, id="put-right-just-now"),
        pytest.param(seen(NONE), Phase.BEHIND, id="not-installed"),
        pytest.param(seen(NONE, put(FAILED)), Phase.REFUSED, id="could-not-be-installed"),
        pytest.param(seen(DOWN, put(FAILED)), Phase.BROKEN, id="installed-and-did-not-come-up"),
        pytest.param(seen(None, put(FAILED)), Phase.BROKEN, id="being-installed-and-silent"),
        pytest.param(seen(DOWN, update(), undo(IntentState.RECORDED)), Phase.OUT, id="being-taken-back"),
        pytest.param(seen(OLD, update(), undo()), Phase.UNDONE, id="taken-back"),
        pytest.param(seen(DOWN, update(), undo(FAILED)), Phase.UNDONE, id="could-not-be-taken-back"),
        pytest.param(seen(NEW, update(), undo()), Phase.CURRENT, id="put-right-by-hand"),
        pytest.param(seen(FELL, update(), undo(ended_s=9_000)), Phase.CURRENT, id="put-right-by-hand-and-fell-later"),
        pytest.param(seen(OLD, update(incarnation=9)), Phase.BEHIND, id="on-another-node-since"),
    ],
)  # fmt: skip
def test_where_a_member_stands(member: Seen, phase: Phase) -> None:
    assert rollouts.phase(member, UPDATES, NOW) is phase


B, H, A, S, D, C = Phase.BEHIND, Phase.HELD, Phase.OUT, Phase.SETTLING, Phase.DONE, Phase.CURRENT
X, R, U, Q = Phase.BROKEN, Phase.REFUSED, Phase.UNDONE, Phase.UNKNOWN
ROLLING, DONE, HELD, STOPPED = State.ROLLING, State.DONE, State.HELD, State.FAILED


@pytest.mark.parametrize(
    ("phases", "other", "decision"),
    [
        pytest.param([B, B, B, B], {}, Decision(ROLLING, (1,)), id="the-canary-goes-first"),
        pytest.param([A, B, B, B], {}, Decision(ROLLING), id="the-others-wait-for-it"),
        pytest.param([S, B, B, B], {}, Decision(ROLLING), id="until-it-is-well"),
        pytest.param([D, B, B, B, B], {}, Decision(ROLLING, (2, 3, 4)), id="then-a-batch"),
        pytest.param([D, A, S, B, B], {}, Decision(ROLLING, (4,)), id="a-batch-in-all"),
        pytest.param([D, B, B, B, B], {"out": 2}, Decision(ROLLING, (2,)), id="others-out-of-service-count"),
        pytest.param([D, B, B], {"held": {2}}, Decision(ROLLING, (3,)), id="who-has-something-else-to-do-is-passed"),
        pytest.param([H, B, B], {}, Decision(ROLLING, (2,)), id="the-next-is-the-canary-where-one-is-held"),
        pytest.param([D, H, D], {}, Decision(HELD), id="only-held-ones-are-left"),
        pytest.param([D, Q, C], {}, Decision(HELD), id="one-is-not-known"),
        pytest.param([D, C, D], {}, Decision(DONE), id="all-are-well"),
        pytest.param([X, B, B], {}, Decision(STOPPED, undo=(1,), broken=1), id="a-broken-canary-goes-back"),
        pytest.param([R, B, B], {}, Decision(STOPPED, broken=1), id="a-refused-one-has-nothing-to-take-back"),
        pytest.param([D, D, X, S, B], {}, Decision(STOPPED, undo=(3, 4, 1), broken=3), id="broken-ones-first"),
        pytest.param(
            [X, D, D, D],
            {"held": {1, 3}},
            Decision(STOPPED, undo=(2, 4), broken=1),
            id="who-has-nothing-to-go-back-to-keeps-nobody-else",
        ),
        pytest.param([D, U, A, D], {}, Decision(STOPPED, undo=(1, 4), broken=2), id="no-more-than-a-batch"),
        pytest.param([U, B, B], {"failed": True}, Decision(STOPPED, broken=1), id="taken-back-and-not-begun-again"),
        pytest.param([B, B, B], {"failed": True}, Decision(STOPPED), id="an-incident-is-open"),
    ],
)
def test_whose_turn_it_is(phases: list[Phase], other: dict[str, Any], decision: Decision) -> None:
    by_ordinal = dict(enumerate(phases, 1))
    assert rollouts.decide(UPDATES, by_ordinal, **{"failed": False, **other}) == decision


def test_a_member_goes_back_to_what_its_last_update_found_there() -> None:
    found = [rollouts.before(one) for one in ([], [put()], [put(), update()], [update(evidence={})])]
    assert found == ["", "", "1.0", ""]


def test_who_wants_it_left_takes_nothing_back() -> None:
    stopping = replace(UPDATES, on_failure="stop")
    assert rollouts.decide(stopping, {1: X, 2: B}, failed=False) == Decision(STOPPED, broken=1)


def test_another_generation_begins_anew() -> None:
    one = rollouts.key(UID, 1, "shop", "2.0")
    assert len({one, rollouts.key(UID, 2, "shop", "2.0"), rollouts.key(UID, 1, "shop", "2.1")}) == 3
    assert one == rollouts.key(UID, 1, "shop", "2.0")


@given(
    st.lists(st.sampled_from(list(Phase)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 3),
)
def test_never_more_than_a_batch_is_out_and_never_one_past_a_failure(
    phases: list[Phase], canary: int, batch: int, failed: bool, out: int
) -> None:
    updates = Updates(canary=canary, batch=batch)
    found = rollouts.decide(updates, dict(enumerate(phases, 1)), failed=failed, out=out)
    gone = out + sum(1 for one in phases if one is Phase.OUT)
    begun = len(found.update) + len(found.undo)
    if begun:
        assert gone + begun <= batch
    if found.update:
        assert not failed
        assert not {Phase.BROKEN, Phase.REFUSED, Phase.UNDONE} & set(phases)
        if phases.count(Phase.DONE) < canary:
            tried = phases.count(Phase.DONE) + phases.count(Phase.OUT) + phases.count(Phase.SETTLING)
            assert tried + begun <= canary


@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 8))
def test_every_roll_out_comes_to_its_end(data: st.DataObject, canary: int, batch: int, count: int) -> None:
    """Whatever each update comes to: done, or failed with all that was touched taken back."""
    updates = Updates(canary=canary, batch=batch)
    phases = dict.fromkeys(range(1, count + 1), Phase.BEHIND)
    failed = False
    for _ in range(6 * count + 6):
        found = rollouts.decide(updates, phases, failed=failed)
        failed = failed or found.state is State.FAILED
        for ordinal in found.update:
            phases[ordinal] = data.draw(st.sampled_from([Phase.DONE, Phase.DONE, Phase.BROKEN, Phase.REFUSED]))
        for ordinal in found.undo:
            phases[ordinal] = Phase.UNDONE
        if not (found.update or found.undo):
            break
    assert found.state in (State.DONE, State.FAILED)
    assert (found.update, found.undo) == ((), ())
    if found.state is State.FAILED:
        assert Phase.DONE not in phases.values()
        assert Phase.BROKEN not in phases.values()
    else:
        assert set(phases.values()) == {Phase.DONE}


def test_intents_are_put_in_their_order_by_member() -> None:
    late = update(id="b", created_at=ahead(1))
    early = update(id="a", created_at=NOW)
    other = update(id="c", appliance=ApplianceId(UID, 2))
    assert rollouts.by_ordinal([late, other, early]) == {1: (early, late), 2: (other,)}


def test_time_alone_ends_patience() -> None:
    waiting = seen(DOWN, update(ended_s=0))
    deadline = NOW + dt.timedelta(seconds=360)
    assert rollouts.phase(waiting, UPDATES, deadline - dt.timedelta(seconds=1)) is Phase.SETTLING
    assert rollouts.phase(waiting, UPDATES, deadline) is Phase.BROKEN
