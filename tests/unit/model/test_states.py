"""States add up: a difference leads from one to the other, and only equal states have one hash."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.model import states
from cloudmon.model.guests import Sections

names = st.text(st.characters(), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)
sections = st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=4)


@st.composite
def two_states(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A state, and one that has much of it still."""
    before = draw(sections)
    after = copy.deepcopy({name: section for name, section in before.items() if draw(st.integers(0, 3))})
    for section in after.values():
        for item in list(section):
            if not draw(st.integers(0, 3)):
                del section[item]
        section.update(draw(st.dictionaries(names, values, max_size=2)))
    return before, after | draw(st.dictionaries(names, st.dictionaries(names, values, max_size=2), max_size=2))


@given(two_states())
def test_a_difference_leads_from_one_state_to_the_other(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = both
    kept = copy.deepcopy(both)
    body = states.difference(before, after)
    found = states.apply(before, body)
    assert found == after
    assert states.state_hash(found) == states.state_hash(after)
    assert both == kept


@given(two_states())
def test_a_difference_is_empty_only_between_states_of_one_hash(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = both
    assert (not states.difference(before, after)) == (states.state_hash(before) == states.state_hash(after))
    assert states.difference(before, before) == {}


@given(two_states())
def test_a_difference_names_only_what_changed(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = both
    for name, told in states.difference(before, after).items():
        if told.get("gone"):
            assert told == {"gone": True}
            assert name not in after
            continue
        old = before.get(name, {})
        for item, value in told.get("set", {}).items():
            assert item not in old or states.canonical(old[item]) != states.canonical(value)
        assert set(told.get("del", ())) == old.keys() - after[name].keys()


@given(sections)
def test_a_state_is_the_difference_from_nothing(state: dict[str, Any]) -> None:
    assert states.apply({}, states.difference({}, state)) == state == states.whole(state)


def test_hashes_are_those_of_the_protocol() -> None:
    state: Sections = {"packages": {"nginx": {"version": "1.24", "arch": "ä"}}, "load": {"now": {"one": 0.5}}}
    packages = hashlib.sha256('{"nginx":{"arch":"ä","version":"1.24"}}'.encode()).hexdigest()
    load = hashlib.sha256(b'{"now":{"one":0.5}}').hexdigest()
    assert states.section_hash(state["packages"]) == packages
    assert states.state_hash(state) == hashlib.sha256(f"load:{load}\npackages:{packages}".encode()).hexdigest()
    assert states.state_hash({}) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (0, False), (0.0, -0.0)], ids=str)
def test_values_that_python_takes_for_the_same_are_told_apart(pair: tuple[object, object]) -> None:
    before, after = ({"load": {"now": {"one": value}}} for value in pair)
    assert states.difference(before, after) == {"load": {"set": after["load"]}}
    assert states.state_hash(before) != states.state_hash(after)


def test_sections_without_items_come_and_go() -> None:
    assert states.difference({}, {"services": {}}) == {"services": {"set": {}}}
    assert states.apply({}, {"services": {"set": {}}}) == {"services": {}}
    assert states.difference({"services": {}}, {}) == {"services": {"gone": True}}
    assert states.apply({"services": {}}, {"services": {"gone": True}, "files": {"gone": True}}) == {}


def test_what_is_deleted_and_set_in_one_is_set() -> None:
    body = {"files": {"set": {"a": 2}, "del": ["a", "unknown"]}}
    assert states.apply({"files": {"a": 1, "b": 1}}, body) == {"files": {"a": 2, "b": 1}}


@pytest.mark.parametrize(
    "body",
    [{"files": 1}, {"files": []}, {"files": {"set": [1]}}, {"files": {"del": "ab"}}, {"files": {"del": [["a"]]}}],
    ids=str,
)
def test_what_is_no_difference_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="section 'files'"):
        states.apply({"files": {"a": 1}}, body)


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="section 'load'"):
        states.whole({"load": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        states.state_hash({"load": {"now": float("nan")}})
