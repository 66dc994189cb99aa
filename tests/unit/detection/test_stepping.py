"""A finding opens when its condition held for long enough on known facts, and ends when it is known not to hold."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import NamedTuple

import pytest
from examined import NOW, later
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.detection import stepping
from cloudmon.detection.judge import Verdict
from cloudmon.detection.stepping import STEADY_S, Event, Stepped
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Exemption, OnUnknown, Rule, RuleState

APPLIANCE = ApplianceId("set000000000", 3)
PLAIN = Rule("r", "true")
SLOW = Rule("r", "true", for_s=60)
OFTEN = Rule("r", "true", n=3, m=5)
WORDS = {"1": Verdict.HOLDS, "0": Verdict.CLEAR, "?": Verdict.UNKNOWN}


class Told(NamedTuple):
    at: float
    event: Event
    fires: bool
    hits: str | None


def tell(rule: Rule, story: list[tuple[float, str]], *, fresh: bool = True) -> list[Told]:
    """What becomes of each verdict at its second."""
    state: RuleState | None = None
    is_open = False
    told = []
    for at, word in story:
        now = later(at)
        before = state or stepping.blank(APPLIANCE, "default", "p/r", now)
        found = stepping.step(rule, before, WORDS[word], now, is_open=is_open, fresh=fresh)
        state = found.state
        is_open = found.event in (Event.OPENS, Event.STAYS)
        told.append(Told(at, found.event, found.fires, state.hits if state is not None else None))
    return told


def events(rule: Rule, story: str, step_s: float = 10, *, fresh: bool = True) -> str:
    """``.`` none, ``o`` opens, ``s`` stays, ``e`` ends; one verdict a letter."""
    letters = {Event.NONE: ".", Event.OPENS: "o", Event.STAYS: "s", Event.ENDS: "e"}
    told = tell(rule, [(number * step_s, word) for number, word in enumerate(story)], fresh=fresh)
    return "".join(letters[one.event] for one in told)


@pytest.mark.parametrize(
    ("rule", "story", "expected"),
    [
        pytest.param(PLAIN, "0110", ".ose", id="at once"),
        pytest.param(PLAIN, "1??1", "osss", id="an open one stays while nobody knows"),
        pytest.param(PLAIN, "?1?0", ".ose", id="known again"),
        pytest.param(SLOW, "1111111", "......o", id="after its time"),
        pytest.param(SLOW, "111111011", ".........", id="a break begins anew"),
        pytest.param(SLOW, "11111?11111111", "............os", id="what nobody knew does not count"),
        pytest.param(SLOW, "11111????????1", "..............", id="however long"),
        pytest.param(SLOW, "11111110", "......oe", id="and ends at once"),
        pytest.param(OFTEN, "11100", "..oss", id="three of five"),
        pytest.param(OFTEN, "111000", "..osse", id="until fewer are left"),
        pytest.param(OFTEN, "1001001", ".......", id="too seldom"),
        pytest.param(OFTEN, "10101", "....o", id="now and then"),
        pytest.param(OFTEN, "1?1?1", "....o", id="of those that are known"),
        pytest.param(replace(OFTEN, for_s=20), "1111111", "....oss", id="so many for so long"),
        pytest.param(replace(PLAIN, on_unknown=OnUnknown.FIRE), "0??0", ".ose", id="unknown fires"),
        pytest.param(replace(SLOW, on_unknown=OnUnknown.FIRE), "???????", "......o", id="unknown fires after its time"),
        pytest.param(replace(OFTEN, on_unknown=OnUnknown.FIRE), "0?", ".o", id="unknown stands for all"),
        pytest.param(replace(PLAIN, on_unknown=OnUnknown.CLEAR), "1?1", "oeo", id="unknown ends"),
        pytest.param(replace(OFTEN, on_unknown=OnUnknown.CLEAR), "111?1", "..oe.", id="unknown ends what was often"),
    ],
)
def test_a_story_of_verdicts_becomes(rule: Rule, story: str, expected: str) -> None:
    assert events(rule, story) == expected


def test_a_look_without_new_facts_does_not_count_among_the_last_ones() -> None:
    assert events(OFTEN, "11111", fresh=False) == "....."


def test_a_rule_that_waits_says_until_when() -> None:
    found = stepping.step(
        SLOW, stepping.blank(APPLIANCE, "t", "p/r", NOW), Verdict.HOLDS, NOW, is_open=False, fresh=True
    )
    assert (found.event, found.due, found.fires) == (Event.NONE, later(60), False)
    assert found.state is not None
    held = stepping.step(SLOW, found.state, Verdict.HOLDS, later(60), is_open=False, fresh=False)
    assert (held.event, held.fires, held.state) == (Event.OPENS, True, found.state)


def test_a_finding_that_stays_because_nobody_knows_does_not_fire() -> None:
    assert [one.fires for one in tell(PLAIN, [(0, "1"), (1, "?"), (2, "1")])] == [True, False, True]


def test_a_finding_of_the_last_ones_does_not_fire_while_the_newest_does_not_hold() -> None:
    """It stays open, since enough of the last ones held; but what its rule wants done would come too late."""
    assert [one.fires for one in tell(OFTEN, [(at, word) for at, word in enumerate("1110010")])] == [
        False, False, True, False, False, True, False,
    ]  # fmt: skip


def test_what_is_remembered_does_not_change_while_nothing_changes() -> None:
    """Or every look would write a row."""
    assert [one.hits for one in tell(SLOW, [(0, "1"), (9, "1"), (20, "?"), (30, "?")])] == ["1", "1", "1?", "1?"]
    assert [one.hits for one in tell(OFTEN, [(0, "0"), (1, "0"), (2, "?")])] == [None, None, None]


def climbed(hits: str, since_s: float, rung: int = 2) -> RuleState:
    return RuleState(APPLIANCE, "t", "p/r", later(since_s), hits, rung, later(since_s + 60), "i1")


def test_the_rungs_taken_are_remembered_over_a_moments_relief() -> None:
    ended = stepping.step(PLAIN, climbed("1", -100), Verdict.CLEAR, NOW, is_open=True, fresh=True)
    assert (ended.event, ended.due) == (Event.ENDS, later(STEADY_S))
    assert ended.state is not None
    assert (ended.state.rung, ended.state.since, ended.state.hits) == (2, NOW, "0")
    again = stepping.step(PLAIN, ended.state, Verdict.HOLDS, later(30), is_open=False, fresh=True)
    assert again.event is Event.OPENS
    assert again.state is not None
    assert (again.state.rung, again.state.since) == (2, later(30))


def test_the_rungs_are_forgotten_after_a_steady_time() -> None:
    state = climbed("0", 0)
    kept = stepping.step(PLAIN, state, Verdict.CLEAR, later(STEADY_S - 1), is_open=False, fresh=True)
    assert (kept.state, kept.due) == (state, later(STEADY_S))
    gone = stepping.step(PLAIN, state, Verdict.CLEAR, later(STEADY_S), is_open=False, fresh=True)
    assert (gone.state, gone.event) == (None, Event.NONE)


@pytest.mark.parametrize("is_open", [True, False])
def test_an_exemption_ends_the_finding_with_its_reason(is_open: bool) -> None:
    exemption = Exemption("r", "storefront/3", "ada", "known, replaced on Monday", later(3_600))
    found = stepping.exempt(exemption, is_open=is_open)
    reason = "exempted by ada until 2026-11-22 13:00:00Z: known, replaced on Monday"
    assert found == Stepped(None, Event.ENDS if is_open else Event.NONE, due=later(3_600), reason=reason)


# --- properties -------------------------------------------------------------------------------------------------------

rules = st.builds(
    lambda for_s, window, on_unknown: Rule("r", "true", for_s=for_s, n=window[0], m=window[1], on_unknown=on_unknown),
    st.sampled_from([0, 10, 25, 60]),
    st.sampled_from([(1, 1), (1, 3), (2, 3), (3, 3)]),
    st.sampled_from(OnUnknown),
)
stories = st.lists(st.tuples(st.integers(1, 40), st.sampled_from("01?")), max_size=25).map(
    lambda steps: [
        (float(sum(length for length, _ in steps[: number + 1])), word) for number, (_, word) in enumerate(steps)
    ]
)


@given(rules, stories, st.booleans())
def test_unknown_opens_nothing_and_ends_nothing(rule: Rule, story: list[tuple[float, str]], fresh: bool) -> None:
    rule = replace(rule, on_unknown=OnUnknown.IGNORE)
    for (_, word), told in zip(story, tell(rule, story, fresh=fresh), strict=True):
        if word == "?":
            assert told.event in (Event.NONE, Event.STAYS)
            assert not told.fires


@given(rules, stories)
def test_a_finding_opens_only_when_the_condition_held_all_the_while_on_known_facts(
    rule: Rule, story: list[tuple[float, str]]
) -> None:
    rule = replace(rule, n=1, m=1, on_unknown=OnUnknown.IGNORE)
    for told in tell(rule, story):
        if told.event is Event.OPENS:
            over = [(at, word) for at, word in story if told.at - rule.for_s <= at <= told.at]
            assert {word for _, word in over} == {"1"}
            began = [at for at, word in story if at <= told.at and word != "1"]
            first = min(at for at, _ in story if at > max(began, default=-1))
            assert told.at - first >= rule.for_s


@given(rules, stories)
def test_events_come_in_their_order(rule: Rule, story: list[tuple[float, str]]) -> None:
    is_open = False
    for told in tell(rule, story):
        assert told.event in ((Event.STAYS, Event.ENDS) if is_open else (Event.NONE, Event.OPENS))
        is_open = told.event in (Event.OPENS, Event.STAYS)
        assert not told.fires or is_open


@given(rules, stories, st.integers(0, 100), st.integers(0, 100))
def test_waiting_longer_never_keeps_a_finding_from_opening(
    rule: Rule, story: list[tuple[float, str]], wait_s: int, longer_s: int
) -> None:
    state = stepping.blank(APPLIANCE, "t", "p/r", NOW)
    for at, word in story:
        found = stepping.step(rule, state, WORDS[word], later(at), is_open=False, fresh=True)
        state = found.state or stepping.blank(APPLIANCE, "t", "p/r", later(at))
    last = later(max((at for at, _ in story), default=0))

    def opens(after_s: float) -> bool:
        now = last + dt.timedelta(seconds=after_s)
        here = replace(state, since=now) if not state.hits else state
        return stepping.step(rule, here, Verdict.HOLDS, now, is_open=False, fresh=True).event is Event.OPENS

    assert opens(wait_s + longer_s) or not opens(wait_s)


@given(rules, stories)
def test_at_the_instant_that_it_says_it_opens_if_the_condition_still_holds(
    rule: Rule, story: list[tuple[float, str]]
) -> None:
    state = stepping.blank(APPLIANCE, "t", "p/r", NOW)
    for at, word in story:
        found = stepping.step(rule, state, WORDS[word], later(at), is_open=False, fresh=True)
        if word == "1" and found.event is Event.NONE and found.due is not None:
            assert found.state is not None
            at_due = stepping.step(rule, found.state, Verdict.HOLDS, found.due, is_open=False, fresh=False)
            before = found.due - dt.timedelta(seconds=1)
            just_before = stepping.step(rule, found.state, Verdict.HOLDS, before, is_open=False, fresh=False)
            assert (at_due.event, just_before.event) == (Event.OPENS, Event.NONE)
        state = found.state or stepping.blank(APPLIANCE, "t", "p/r", later(at))
