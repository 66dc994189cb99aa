"""What hosts send adds up: whatever comes twice, in another order, of another configuration, or broken."""

from __future__ import annotations

import json
import sqlite3
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osqueryd import COLUMNS

from cloudmon.channel import keys
from cloudmon.channel.bodies import Malformed
from cloudmon.channel.osquery import bodies, folding, nodekeys, queries
from cloudmon.channel.osquery.bodies import Line, TooLarge
from cloudmon.channel.osquery.folding import Base, Memory
from cloudmon.model import states
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import Application, Template

ASKED = queries.schedule({"applications": {}, "files": []}, 30)
(PACKAGES,) = (name for name in ASKED.queries if "packages" in name)
(LOAD,) = (name for name in ASKED.queries if "load" in name)
HOST = ApplianceId("abcdefghijkl", 3)


def package(name: str, version: str = "1") -> dict[str, str]:
    return {"name": name, "version": version, "arch": "all", "manager": "dpkg"}


def folded(*lines: Line, sections: Any = None, memory: Memory | None = None, now: float = 1_000.0) -> folding.Folded:
    return folding.lines(Base(ASKED, sections or {}, memory or Memory(), now, "5"), lines)


def versions(found: folding.Folded) -> dict[str, str]:
    return {name: one["version"] for name, one in found.sections.get("packages", {}).items()}


# --- differences ----------------------------------------------------------------------------------------------------

TABLES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), min_size=1)


@settings(max_examples=120, deadline=None)
@given(st.lists(TABLES, min_size=1, max_size=6), st.integers(0, 2**32), st.booleans())
def test_any_runs_add_up_to_the_last_one(tables: list[dict[str, str]], seed: int, parts: bool) -> None:
    """In whole lines or a line a row, those of one run in any order, any bite of them sent again."""
    random = Random(seed)
    lines: list[list[Line]] = []
    before: dict[str, str] = {}
    for counter, table in enumerate(tables):
        added = [package(*one) for one in table.items() if one not in before.items() or counter == 0]
        removed = [package(*one) for one in before.items() if one not in table.items()] if counter else []
        at, before = 900.0 + counter, table
        if parts:
            run = [Line(PACKAGES, at, 5, counter, added=(row,), is_part=True) for row in added]
            run += [Line(PACKAGES, at, 5, counter, removed=(row,), is_part=True) for row in removed]
            random.shuffle(run)
        else:
            run = [Line(PACKAGES, at, 5, counter, added=added, removed=removed)]
        lines.append(run if added or removed else [])
    sections: Any = {}
    memory = Memory()
    waiting = [line for run in lines for line in run]
    while waiting:
        bite, lost = waiting[: random.randint(1, 4)], random.random() < 0.3
        found = folded(*bite, sections=sections, memory=memory)
        sections, memory = found.sections, found.memory
        if not lost:
            waiting = waiting[len(bite) :]
    assert {name: one["version"] for name, one in sections["packages"].items()} == tables[-1]


def test_a_difference_of_what_is_not_known_is_a_reason_to_ask() -> None:
    found = folded(Line(PACKAGES, 900.0, 1, 4, added=[package("a")]))
    assert "packages" not in found.sections
    assert found.want_whole


def test_an_older_run_that_comes_again_changes_nothing() -> None:
    first = Line(PACKAGES, 900.0, 1, 0, added=[package("a"), package("b")])
    second = Line(PACKAGES, 960.0, 1, 1, removed=[package("a")])
    found = folded(first, second, first)
    assert versions(found) == {"b": "1"}


def test_an_older_run_that_comes_late_is_a_reason_to_ask() -> None:
    """A clock that was set back has the host send what it saw before after what it saw since."""
    newer = Line(PACKAGES, 500.0, 1, 7, added=[package("a", "2")])
    older = Line(PACKAGES, 900.0, 1, 6, added=[package("a", "1")])
    first = Line(PACKAGES, 400.0, 1, 0, added=[package("b")])
    found = folded(newer, older, sections={"packages": {}})
    assert (versions(found), found.want_whole) == ({"a": "2"}, True)
    found = folded(newer, first, sections={"packages": {}})
    assert (versions(found), found.want_whole) == ({"b": "1"}, True)


def test_the_first_of_several_lines_may_have_come_to_somebody_who_has_forgotten() -> None:
    """A monitor that began in the middle asks for all."""
    assert folded(Line(PACKAGES, 900.0, 1, 0, added=[package("b")], is_part=True)).want_whole
    assert not folded(Line(PACKAGES, 900.0, 1, 0, added=[package("b")])).want_whole


def test_lines_of_another_configuration_and_of_others_are_left_alone() -> None:
    found = folded(Line("cloudmon_packages_00000000", 900.0, added=[package("a")]), Line("mine", 900.0, snapshot=[{}]))
    assert found.sections == {}
    assert not found.want_whole


def test_a_host_that_tells_of_no_packages_has_not_told() -> None:
    found = folded(Line(PACKAGES, 900.0, 1, 0, added=[]), Line(LOAD, 900.0, snapshot=[]))
    assert found.sections == {}


@pytest.mark.parametrize(
    ("told", "offset_s"),
    [
        ([], 0.0), ([0.0], 0.0), ([990.0], 0.0), ([1_004.0], 0.0), ([500.0, 995.0], 0.0), ([1_064.0], 60.0),
        ([500.0], -500.0),
    ],
)  # fmt: skip
def test_how_far_a_clock_is_off_follows_from_the_newest_line(told: list[float], offset_s: float) -> None:
    assert folding.off_by(told, 1_000.0) == offset_s


# --- queries --------------------------------------------------------------------------------------------------------

HOSTILE = "it's; DROP TABLE processes -- \"%_\0\n\u2603"


def test_every_query_is_sql_over_osquerys_own_tables_whatever_names_are_in_it() -> None:
    template = Template(
        "web", {}, files=(HOSTILE, "/a"),
        applications={
            HOSTILE: Application(match=HOSTILE, probe={"http": HOSTILE, "status": 200}),
            "tcp": Application(match="x", probe={"tcp": 80}),
            "file": Application(probe={"file": HOSTILE, "max_age_s": 9}),
        },
    )  # fmt: skip
    told = {name: {"match": one.match, "probe": dict(one.probe)} for name, one in template.applications.items()}
    asked = queries.schedule({"applications": told, "files": list(template.files)}, 30)
    made = sqlite3.connect(":memory:")
    for name, columns in COLUMNS.items():
        made.execute(f'CREATE TABLE "{name}" ({", ".join(columns.split())})')
    for query in asked.queries.values():
        assert made.execute(query.sql).fetchall() is not None
    assert {query.section for query in asked.queries.values()} == {
        "system", "packages", "accounts", "services", "processes", "load", "memory", "disks", "network", "files",
        "matches", "probes",
    }  # fmt: skip
    made.close()


def test_another_text_is_another_name() -> None:
    """Else osquery would tell what changed between the answers to two questions."""
    one, other = (queries.Query("files", text).name for text in ("SELECT 1", "SELECT 2"))
    assert one != other
    assert one == queries.Query("files", "SELECT 1").name


def test_what_seldom_changes_is_told_whole_once_a_day_and_not_by_all_at_once() -> None:
    epochs = [queries.config(ASKED, HOST, 1_000_000.0 + n * 3_600)["options"]["schedule_epoch"] for n in range(25)]
    assert len(set(epochs)) == 2
    hosts = [queries.config(ASKED, ApplianceId("x", n), 1_000_000.0)["options"]["schedule_epoch"] for n in range(50)]
    assert len(set(hosts)) == 2


@pytest.mark.parametrize(
    ("interval_s", "fast", "slow", "period"), [(1, 1, 60, 1), (30, 30, 60, 10), (300, 300, 300, 10)]
)
def test_intervals_follow_the_template(interval_s: int, fast: int, slow: int, period: int) -> None:
    made = queries.config(queries.schedule({"applications": {}, "files": []}, interval_s), HOST, 0.0)
    found = {name.split("_")[1]: one for name, one in made["schedule"].items()}
    assert (found["load"]["interval"], found["load"]["snapshot"]) == (fast, True)
    assert (found["packages"]["interval"], "snapshot" in found["packages"]) == (slow, False)
    assert made["options"]["logger_tls_period"] == period


# --- keys and bodies ------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**12 - 1))
def test_a_node_key_is_its_holders(ordinal: int, expires_at: int) -> None:
    key = keys.Key(ApplianceId("a2b", ordinal), 1, 2, expires_at)
    text = nodekeys.text(b"channel", key)
    assert nodekeys.holder(b"channel", text) == key
    assert nodekeys.holder(b"another", text) is None
    assert len(text) <= nodekeys.LONGEST
    assert bodies.node_keys(json.dumps({"data": [], "node_key": text}).encode()) == [text]


def test_a_key_within_a_text_is_none_that_is_shown() -> None:
    """What stands in a row is not the host's own word."""
    inner = json.dumps({"node_key": "cmo1.k.a.1.1.1.1.x"})
    assert bodies.node_keys(json.dumps({"data": [inner]}).encode()) == []


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["node_key", "log_type", "data", "name", "snapshot", "columns", "action", "diffResults", "added", "removed",
         "queries", "statuses", "messages", "unixTime", "counter", "epoch", "enroll_secret", "host_details",
         "osquery_info", "instance_id", "version", "pid", "x", PACKAGES, LOAD, f"i/{LOAD}"]
    ), inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSONS)
def test_whatever_a_host_sends_is_read_or_malformed_and_can_be_kept(found: Any) -> None:
    lines = {"node_key": "k", "log_type": "result", "data": [found, {"name": PACKAGES, "snapshot": [found]},
                                                             {"name": LOAD, "diffResults": found}]}  # fmt: skip
    for content in (found, lines, {"node_key": "k", "queries": {f"i/{PACKAGES}": found, f"i/{LOAD}": [found]}}):
        body = json.dumps(content).encode()
        for read in (bodies.enrol, bodies.keyed):
            try:
                read(body)
            except Malformed:
                continue
        try:
            whole = folded(*bodies.log(body).lines)
            states.canonical(whole.sections)
        except Malformed:
            pass
        try:
            told = folding.answers(Base(ASKED, {}, Memory(), 1.0, "5"), bodies.written(body).answers)
            states.canonical(told.sections)
        except Malformed:
            pass


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "identity", "br", "x-gzip"]))
def test_any_bytes_are_read_or_malformed(body: bytes, encoding: str) -> None:
    try:
        found = bodies.unpacked(body, encoding, 1_000)
    except (Malformed, TooLarge):
        return
    for read in (bodies.enrol, bodies.keyed, bodies.log, bodies.written):
        try:
            read(found)
        except Malformed:
            continue
