"""Rows of osquery as items of the one model: table by table, and applications by what is seen of them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmon.channel.osquery import applications, mapping, values
from cloudmon.channel.osquery.applications import Seen
from cloudmon.channel.osquery.mapping import Spent

GIB = 1 << 30


@pytest.mark.parametrize(
    ("section", "row", "item"),
    [
        ("packages", {"name": "a", "version": "1:2-3", "arch": "amd64", "manager": "dpkg"},
         {"a": {"version": "1:2-3", "arch": "amd64", "manager": "dpkg"}}),
        ("packages", {"name": "a", "version": "", "manager": "dpkg"}, {}),
        ("packages", {"name": "", "version": "1", "manager": "dpkg"}, {}),
        ("packages", {"name": "a", "version": "1", "manager": "pip"}, {}),
        ("packages", {"name": "a", "version": 2, "manager": "rpm"},
         {"a": {"version": "2", "arch": "", "manager": "rpm"}}),
        ("packages", {"name": ["a"], "version": {}, "manager": "rpm"}, {}),
        ("accounts", {"username": "a", "uid": "1000", "gid": "-1", "directory": "", "shell": "/bin/sh",
                      "other_groups": "x,,b,x", "keys": "!! AAAA", "password_status": "empty"},
         {"a": {"uid": 1000, "locked": False, "shell": "/bin/sh", "groups": ["b", "x"],
                "keys": ["SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw"]}}),
        ("accounts", {"username": "a", "uid": 0, "other_groups": None, "keys": None, "password_status": ""},
         {"a": {"uid": 0, "shell": "", "groups": [], "keys": []}}),
        ("accounts", {"uid": "7"}, {}),
        ("services", {"id": "a.service", "active_state": "activating", "unit_file_state": "enabled-runtime"},
         {"a": {"state": "running", "enabled": True}}),
        ("services", {"id": "a.service", "active_state": "inactive", "unit_file_state": ""},
         {"a": {"state": "stopped"}}),
        ("services", {"id": "a.timer", "active_state": "active"}, {}),
        ("services", {"id": ".service", "active_state": "active"}, {}),
        ("files", {"path": "/a", "size": "12", "mode": "100644", "uid": "0", "sha256": "AB"},
         {"/a": {"size": 12, "mode": "0644", "owner": "0"}}),
        ("files", {"path": "/a", "size": "-1", "mode": "x", "sha256": "a" * 64}, {"/a": {"sha256": "a" * 64}}),
        ("load", {"one": "0.126", "five": "nan", "fifteen": "1e400", "cpus": "0"}, {"now": {"one": 0.13}}),
        ("load", {"one": "", "five": None}, {}),
        ("memory", {"memory_total": str(8 * GIB), "memory_available": str(3 * GIB), "swap_total": "0",
                    "swap_free": "0"},
         {"now": {"total_mib": 8192, "available_mib": 3040, "swap_total_mib": 0, "swap_used_mib": 0}}),
        ("memory", {"memory_total": "x"}, {}),
        ("network", {"interface": "e0", "ibytes": "1572864", "obytes": "-1", "addresses": "fe80::1%e0,10.0.0.1"},
         {"e0": {"received_mib": 1.5, "addresses": ["10.0.0.1", "fe80::1"]}}),
        ("network", {"ibytes": "1"}, {}),
    ],
)  # fmt: skip
def test_a_row_is_an_item(section: str, row: dict[str, Any], item: dict[str, Any]) -> None:
    assert mapping.items(section, [row]) == item


@pytest.mark.parametrize("value", [True, [], {}, None, "1" * 60, "inf", "nan", "\u0661x", 1e300, 2**60, "0x10", b"1"])
def test_what_is_no_number_is_not_known(value: Any) -> None:
    assert values.whole({"n": value}, "n") is None


def disk(path: str, **other: Any) -> dict[str, Any]:
    return {"device": "/dev/a", "path": path, "type": "ext4", "blocks_size": "1048576", "blocks": "100",
            "blocks_free": "40", "blocks_available": "20", **other}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([disk("/")], {"/": {"total_mib": 100, "used_mib": 60, "used_share": 0.75}}),
        ([disk("/srv/a"), disk("/srv")], {"/srv": {"total_mib": 100, "used_mib": 60, "used_share": 0.75}}),
        ([disk("/x", type="overlay", device="overlay")], {}),
        ([disk("/", type="overlay", device="overlay", blocks_available="")],
         {"/": {"total_mib": 100, "used_mib": 60, "used_share": 0.6}}),
        ([disk("/", blocks="0")], {}),
        ([disk("/", blocks_free=None)], {}),
        ([disk("", blocks="9")], {}),
        ([disk("/", blocks_free="900", blocks_available="0")],
         {"/": {"total_mib": 100, "used_mib": 0, "used_share": 0.0}}),
    ],
    ids=["one", "mounted twice", "an image's layers", "the root of a container", "no size", "not known", "no name",
         "more free than there is"],
)  # fmt: skip
def test_disks_are_told_once_each(rows: list[dict[str, Any]], found: dict[str, Any]) -> None:
    assert mapping.disks(rows) == found


def process(pid: Any = "7", **other: Any) -> dict[str, Any]:
    return {"pid": pid, "name": "w", "cmdline": "w -x", "state": "R", "uid": "1", "resident_size": "1048576",
            "user_time": "3000", "system_time": "1000", "start_time": "100", **other}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "before", "item"),
    [
        (process(), {}, {"cpu": 0.4, "since": 100, "user": "ann", "state": "running", "rss_mib": 1}),
        (process(), {"7": Spent(100, 3_900, 108.0)}, {"cpu": 0.05}),
        (process(), {"7": Spent(99, 3_900, 108.0)}, {"cpu": 0.4}),
        (process(), {"7": Spent(100, 9_000, 108.0)}, {"cpu": 0.0}),
        (process(start_time="-1"), {}, {"cpu": None, "since": None}),
        (process(user_time=""), {}, {"cpu": None, "since": 100}),
        (process(uid="9"), {}, {"user": "9"}),
        (process(uid=""), {}, {"user": None}),
        (process(state="W"), {}, {"state": "other"}),
        (process(cmdline="x cm1.-.m-abcdefghijkl.SECRETSECRET y"), {}, {"command": "x (hidden) y"}),
        (process(cmdline=""), {}, {"command": ""}),
    ],
    ids=["first seen", "seen before", "another one with its pid", "its time went back", "no start", "no time",
         "nobody's", "no user", "an odd state", "a token", "of the kernel"],
)  # fmt: skip
def test_a_process_is_an_item(row: dict[str, Any], before: dict[str, Spent], item: dict[str, Any]) -> None:
    found, spent = mapping.processes([row, process(None), process("x"), process("0")], {1: "ann"}, before, at=110.0,
                                     offset_s=0.0)  # fmt: skip
    assert set(found) == {"7"}
    assert {name: found["7"].get(name) for name in item} == item
    assert set(spent) == ({"7"} if found["7"].get("cpu") is not None else set())


def test_a_boot_is_one_however_its_instant_is_reckoned() -> None:
    first = mapping.system([{"uptime": "100"}], {}, at=1_000.0, interval_s=30, version="5")
    assert first["boot"] == {"id": "boot-900", "at": 900}
    again = mapping.system([{"uptime": "130"}], first, at=1_041.0, interval_s=30, version="5")
    assert again["boot"] == first["boot"]
    silent = mapping.system([{}], first, at=1_041.0, interval_s=30, version="5")
    assert silent["boot"] == first["boot"]
    later = mapping.system([{"uptime": "3"}], first, at=1_041.0, interval_s=30, version="5")
    assert later["boot"] == {"id": "boot-1038", "at": 1_038}
    assert "host" not in later


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"/a": {"size": 1, "owner": "1"}}, {"/a": {"size": 1, "owner": "ann"}, "/b": {"missing": True}}),
        ({"/a": {"owner": "ann"}, "/c": {"owner": "1"}}, {"/a": {"owner": "ann"}, "/b": {"missing": True}}),
        ({"/a": {"missing": True}, "/b": {"owner": "9"}}, {"/a": {"missing": True}, "/b": {"owner": "9"}}),
    ],
    ids=["by number", "named already, and one not declared", "back again"],
)
def test_declared_files_are_there_with_an_owner_or_missing(files: dict[str, Any], found: dict[str, Any]) -> None:
    assert mapping.owned(files, ["/a", "/b"], {1: "ann"}) == found


# --- applications ---------------------------------------------------------------------------------------------------

MATCH, SERVICE, ASKED = {"match": "shop"}, {"service": "shop.service"}, {"probe": {"tcp": 80}}
RUNS: list[dict[str, Any]] = [{"application": "shop", "pid": "9", "start_time": "50"},
                              {"application": "shop", "pid": "8", "start_time": "40"}]  # fmt: skip
UP, DOWN = {"services": {"shop": {"state": "running"}}}, {"services": {"shop": {"state": "failed"}}}
FILE = {"probe": {"file": "/f", "max_age_s": 9}}


def said(answer: Any) -> dict[str, Any]:
    return {"probes": [{"application": "shop", "answer": answer}]}


YES, NO = said("1"), said("0")


def application(declared: dict[str, Any], before: dict[str, Any] | None = None, **seen: Any) -> dict[str, Any]:
    told = Seen(**{"services": None, "packages": None, "matches": None, "probes": None, **seen})
    whole = {"match": "", "service": "", "package": "", "probe": {}, **declared}
    return applications.section({"shop": whole}, told, {"shop": before} if before else {}, at=100.0, offset_s=0.0)[
        "shop"
    ]


@pytest.mark.parametrize(
    ("declared", "seen", "before", "state"),
    [
        (MATCH, {"matches": RUNS}, "unknown", "up"),
        (MATCH, {"matches": []}, "up", "down"),
        (MATCH, {}, "up", "up"),
        (SERVICE, UP, "unknown", "up"),
        (SERVICE, DOWN, "unknown", "down"),
        (SERVICE, {"services": {}}, "up", "up"),
        (SERVICE, {"services": {"other": {"state": "running"}}}, "up", "down"),
        (ASKED, YES, "unknown", "up"),
        (ASKED, NO, "unknown", "down"),
        (ASKED, {"probes": []}, "down", "down"),
        (MATCH | ASKED, {"matches": RUNS} | NO, "up", "down"),
        (MATCH | ASKED, {"matches": []} | YES, "up", "down"),
        (MATCH | SERVICE, {"matches": RUNS} | DOWN, "unknown", "up"),
        (MATCH | {"probe": {"command": ["x"]}}, {"matches": RUNS}, "unknown", "up"),
        ({"probe": {"command": ["x"]}}, {"matches": RUNS}, "unknown", "unknown"),
        ({"package": "shop"}, {"matches": RUNS}, "up", "unknown"),
        ({"probe": {"http": "u", "status": 200}}, said("200"), "down", "up"),
        ({"probe": {"http": "u", "status": 204}}, said(200), "up", "down"),
        ({"probe": {"http": "u"}}, said(""), "up", "down"),
        (FILE, said("9"), "down", "up"),
        (FILE, said("10"), "up", "down"),
        (FILE, said(None), "up", "down"),
        (FILE, said("-50"), "up", "up"),
    ],
    ids=["has a process", "has none", "nobody told yet", "service runs", "service failed", "no services here",
         "its service is not there", "listens", "does not listen", "not asked", "there and unwell", "another answers",
         "known by its processes first", "a probe that nobody can do", "nothing but that", "only a package",
         "answers well", "answers otherwise", "does not answer", "a young file", "an old file", "no file",
         "a file of the future"],
)  # fmt: skip
def test_an_application_is_as_it_is_seen(
    declared: dict[str, Any], seen: dict[str, Any], before: str, state: str
) -> None:
    found = application(declared, {"state": before, "since": 7, "restarts": 0}, **seen)
    assert found["state"] == state
    assert found["since"] == (7 if state == before else 100)


@pytest.mark.parametrize(
    ("before", "restarts"),
    [
        (None, 0),
        ({"state": "up", "pid": 8, "restarts": 2}, 2),
        ({"state": "up", "pid": 7, "restarts": 2}, 3),
        ({"state": "down", "restarts": 2}, 3),
        ({"state": "unknown", "restarts": "x"}, 0),
    ],
    ids=["first seen", "the same", "another one", "back again", "odd"],
)
def test_restarts_are_counted(before: dict[str, Any] | None, restarts: int) -> None:
    found = application(MATCH, before, matches=RUNS)
    assert (found["restarts"], found["pid"]) == (restarts, 8)


def test_its_version_is_its_packages() -> None:
    declared = MATCH | {"package": "shop"}
    assert application(declared, packages={"shop": {"version": "2"}}, matches=RUNS)["version"] == "2"
    assert "version" not in application(declared, packages={}, matches=RUNS)
