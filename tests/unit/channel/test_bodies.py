"""Bodies: strict JSON, known shapes, bounded everything; nothing upsets the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.channel import bodies
from cloudmon.channel.bodies import Malformed
from cloudmon.model.guests import ReportKind

HASH = "a" * 64
FULL: dict[str, Any] = {
    "v": 1,
    "instance": "0" * 32,
    "boot": "b-1",
    "seq": 1,
    "at": 1_772_366_400.25,
    "offset_s": -0.5,
    "version": "0.1.0",
    "why": "start",
    "kind": "full",
    "base": "",
    "hash": HASH,
    "config": "",
    "sections": {"packages": {"nginx": {"version": "1.2"}}},
    "results": [{"id": "i-1", "ok": True, "exit": 0, "output": "done", "error": "", "ended_at": 1.5}],
}
DIFF: dict[str, Any] = {
    **FULL,
    "kind": "diff",
    "base": HASH,
    "sections": {"packages": {"set": {"nginx": {"version": "1.3"}}, "del": ["curl"]}, "files": {"gone": True}},
}
POLL: dict[str, Any] = {"v": 1, "wait_s": 25, "config": "", "have": ["i-1"]}
ENROL: dict[str, Any] = {"v": 1, "instance": "0" * 32, "version": "0.1.0", "boot": "b-1"}


def sent(content: Any) -> bytes:
    return json.dumps(content).encode()


def test_a_full_report_is_read() -> None:
    found = bodies.report(sent(FULL))
    assert (found.kind, found.seq, found.base, found.at) == (ReportKind.FULL, 1, "", 1_772_366_400.25)
    assert found.sections == FULL["sections"]
    assert found.results == (bodies.ResultBody("i-1", True, 0, "done", "", 1.5),)


def test_a_difference_is_read() -> None:
    found = bodies.report(sent(DIFF))
    assert (found.kind, found.base, found.sections) == (ReportKind.DIFF, HASH, DIFF["sections"])


def test_what_is_not_known_yet_may_be_said_by_later_agents() -> None:
    assert bodies.report(sent({**FULL, "mood": "fine"})).seq == 1
    assert bodies.report(sent({**FULL, "sections": {"bluetooth": {"a": {"b": 1}}}})).seq == 1


def test_a_poll_and_an_enrolment_are_read_and_a_poll_waits_no_longer_than_it_may() -> None:
    assert bodies.poll(sent(POLL)) == bodies.PollBody(25, "", frozenset(("i-1",)))
    assert bodies.poll(sent({**POLL, "wait_s": 600})).wait_s == bodies.LONGEST_WAIT_S
    assert bodies.enrol(sent(ENROL)).instance == "0" * 32


def test_odd_text_silences_no_machine() -> None:
    """Names of files and processes are anything; whoever may make one must not stop a report with it."""
    odd = {"a\\u0000b": "x", "\\ud800": "y"}
    text = sent(FULL).decode().replace('"packages": {', '"packages": {"' + '": {}, "'.join(odd) + '": {}, ')
    assert len(bodies.report(text.encode()).sections["packages"]) == 3


def test_output_is_cut_to_its_last_part() -> None:
    result = {**FULL["results"][0], "output": "x" * 20_000 + "end", "error": "e" * 5_000}
    (found,) = bodies.report(sent({**FULL, "results": [result]})).results
    assert (len(found.output), found.output[-3:], len(found.error)) == (bodies.MOST_OUTPUT, "end", bodies.MOST_ERROR)


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = {"x": found}
    return found


def within(value: Any) -> dict[str, Any]:
    return {**FULL, "sections": {"packages": {"nginx": value}}}


RAW = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="cut off"),
    pytest.param(b"\xff\xfe{}", id="no UTF-8"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b"1", id="a number"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[" * 100_000, id="deep lists"),
    pytest.param(b'{"a":' * 100_000, id="deep objects"),
    pytest.param(b'{"v":1,"v":1}', id="a name twice"),
    pytest.param(sent(FULL)[:-1] + b',"seq":2}', id="a field twice"),
    pytest.param(sent(FULL).replace(b'"version": "1.2"', b'"version": 1, "version": 2'), id="a name twice deep inside"),
    pytest.param(sent(FULL).replace(b"-0.5", b"NaN"), id="NaN"),
    pytest.param(sent(FULL).replace(b"-0.5", b"Infinity"), id="Infinity"),
    pytest.param(sent(FULL).replace(b"-0.5", b"1e999"), id="a number without end"),
    pytest.param(sent(FULL).replace(b'"1.2"', b"NaN"), id="NaN deep inside"),
    pytest.param(sent(FULL).replace(b'"1.2"', b"-1e999"), id="a number without end deep inside"),
    pytest.param(sent(FULL).replace(b'"1.2"', b"9" * 5_000), id="a number of 5000 digits"),
    pytest.param(sent(FULL) + b"{}", id="more after it"),
]


@pytest.mark.parametrize("body", RAW)
def test_what_is_no_strict_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        bodies.report(body)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({**FULL, "v": 2}, id="another version"),
        pytest.param({**FULL, "v": True}, id="true for 1"),
        pytest.param({**FULL, "v": "1"}, id="text for 1"),
        pytest.param({**FULL, "seq": 0}, id="a number below 1"),
        pytest.param({**FULL, "seq": True}, id="true for a number"),
        pytest.param({**FULL, "seq": 1.0}, id="a float for a whole number"),
        pytest.param({**FULL, "seq": 2**60}, id="a number too large"),
        pytest.param({**FULL, "at": "now"}, id="text for an instant"),
        pytest.param({**FULL, "at": 1e300}, id="an instant after all years"),
        pytest.param({**FULL, "instance": "Z" * 32}, id="an instance of other letters"),
        pytest.param({**FULL, "boot": "a b"}, id="a blank in the boot"),
        pytest.param({**FULL, "boot": ""}, id="no boot"),
        pytest.param({**FULL, "hash": ""}, id="no hash"),
        pytest.param({**FULL, "kind": "part"}, id="an unknown kind"),
        pytest.param({**FULL, "why": "mood"}, id="an unknown reason"),
        pytest.param({**FULL, "sections": []}, id="sections as a list"),
        pytest.param({**FULL, "sections": {"packages": []}}, id="a section as a list"),
        pytest.param({**FULL, "sections": {"packages": {"nginx": "1.2"}}}, id="an item as text"),
        pytest.param({**FULL, "sections": {"Pack ages": {}}}, id="an odd section"),
        pytest.param({**FULL, "sections": {f"s{at}": {} for at in range(65)}}, id="too many sections"),
        pytest.param({**FULL, "sections": {"packages": {"n" * 5_000: {}}}}, id="a name too long"),
        pytest.param(within({"version": None}), id="null for a fact"),
        pytest.param(within({"x": [1, None]}), id="null in a list"),
        pytest.param(within({"x": 2**63}), id="a number no database has"),
        pytest.param(within(nested(bodies.DEEPEST)), id="too deep"),
        pytest.param({**DIFF, "base": ""}, id="a difference from nothing"),
        pytest.param({**DIFF, "sections": {"packages": {}}}, id="a difference that says nothing"),
        pytest.param({**DIFF, "sections": {"packages": {"gone": False}}}, id="gone and not"),
        pytest.param({**DIFF, "sections": {"packages": {"gone": True, "set": {}}}}, id="gone and set"),
        pytest.param({**DIFF, "sections": {"packages": {"put": {}}}}, id="another word than set"),
        pytest.param({**DIFF, "sections": {"packages": {"del": [1]}}}, id="a deleted number"),
        pytest.param({**DIFF, "sections": {"packages": {"del": {}}}}, id="deleted as an object"),
        pytest.param({**DIFF, "sections": {"packages": {"set": {"nginx": 1}}}}, id="an item set to a number"),
        pytest.param({**FULL, "results": {}}, id="results as an object"),
        pytest.param({**FULL, "results": [{}]}, id="an empty result"),
        pytest.param({**FULL, "results": [{"id": "x", "ok": 1}]}, id="ok as a number"),
        pytest.param({**FULL, "results": FULL["results"] * 257}, id="too many results"),
    ],
)
def test_a_report_of_another_shape_is_malformed(content: Any) -> None:
    with pytest.raises(Malformed):
        bodies.report(sent(content))


@pytest.mark.parametrize("name", sorted(set(FULL) - {"results"}))
def test_no_field_of_a_report_may_be_missing(name: str) -> None:
    with pytest.raises(Malformed):
        bodies.report(sent({key: value for key, value in FULL.items() if key != name}))


@pytest.mark.parametrize(
    "content",
    [
        {**POLL, "have": "i-1"}, {**POLL, "have": [1]}, {**POLL, "have": ["a b"]}, {**POLL, "wait_s": -1},
        {**POLL, "wait_s": None}, {**POLL, "config": "abc"}, {**POLL, "have": ["x"] * 2_000},
    ],
    ids=["text", "numbers", "blanks", "negative", "null", "no hash", "too many"],
)  # fmt: skip
def test_a_poll_of_another_shape_is_malformed(content: Any) -> None:
    with pytest.raises(Malformed):
        bodies.poll(sent(content))


def test_depth_within_bounds_is_read() -> None:
    assert bodies.report(sent(within(nested(bodies.DEEPEST - 2))))


def test_what_is_malformed_is_never_quoted() -> None:
    for body in (b'{"v":1,"hunter2', b'{"v":1,"v":"hunter2","v":1}', sent({**FULL, "boot": "hunter2 "})):
        with pytest.raises(Malformed) as caught:
            bodies.report(body)
        assert "hunter2" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=300))
def test_no_bytes_upset_the_reader(body: bytes) -> None:
    for read in (bodies.report, bodies.poll, bodies.enrol):
        with pytest.raises(Malformed):
            read(body)


@given(st.sampled_from([FULL, DIFF]), st.sampled_from(sorted(FULL)), JSON)
def test_no_value_in_any_place_upsets_the_reader(content: dict[str, Any], name: str, value: Any) -> None:
    try:
        found = bodies.report(sent({**content, name: value}))
    except Malformed:
        return
    json.dumps(found.sections, allow_nan=False)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_gets_in_can_be_written_and_has_no_nulls(item: dict[str, Any]) -> None:
    try:
        found = bodies.report(sent(within(item)))
    except Malformed:
        return
    text = json.dumps(found.sections, allow_nan=False)
    assert "null" not in json.dumps(json.loads(text, parse_constant=lambda _: "constant")).replace('"null"', "")


@pytest.mark.parametrize(
    ("told", "can"),
    [({}, None), ({"can": None}, None), ({"can": []}, ()), ({"can": ["scan", "job_run", "scan"]}, ("job_run", "scan"))],
    ids=["nothing said", "null", "none", "two"],
)
def test_an_agent_may_say_what_it_can_do(told: dict[str, Any], can: tuple[str, ...] | None) -> None:
    assert bodies.enrol(sent({**ENROL, **told})).can == can


@pytest.mark.parametrize("can", ["job_run", [1], [None], [""], ["a b"], ["x"] * 129], ids=str)
def test_what_an_agent_can_do_is_a_list_of_words(can: Any) -> None:
    with pytest.raises(Malformed, match="can is no list"):
        bodies.enrol(sent({**ENROL, "can": can}))
