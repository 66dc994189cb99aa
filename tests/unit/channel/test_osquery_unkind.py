"""osquery hosts that repeat themselves, come late, are off in time or say too much."""

from __future__ import annotations

import gzip
import json

import pytest
from fleets import Fleet, story
from osqueryd import deflated


def test_lines_that_come_again_change_nothing(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        host.tables["deb_packages"][0]["version"] = "1.24"
        host.tables["load_average"][0]["average"] = "9"
        host.run("packages", "load")
        kept = dict(host.database["lines"])
        fleet.lossy = 1
        assert not await host.flush()
        assert host.database["lines"] == kept  # it keeps what it cannot know to be taken
        fleet.fake.advance(5)
        host.tables["deb_packages"][0]["version"] = "1.26"
        host.tables["load_average"][0]["average"] = "1"
        host.run("packages", "load")
        while await host.flush():
            pass
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.26"
        host.database["lines"] = kept  # the first ones, a third time, alone
        assert await host.flush()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.26"
        assert fleet.sections()["load"]["now"]["one"] == 1.0

    story(told)


def test_a_host_that_insists_on_a_line_a_row_is_understood_in_any_order(fleet: Fleet) -> None:
    """Of one second the tenth line sorts before the second one: what was added may come before what was removed."""

    async def told() -> None:
        host = fleet.host()
        host.overrides = {"logger_event_type": True, "logger_tls_max_lines": 3, "logger_numerics": True}
        many = [{"name": f"p{n}", "version": "1", "arch": "all", "status": "x installed"} for n in range(30)]
        host.tables["deb_packages"] = many
        await host.talk("packages")
        assert len(fleet.sections()["packages"]) == 30
        fleet.fake.advance(60)
        for one in many:
            one["version"] = "2"
        many.pop()
        host.run("packages")
        while await host.flush():
            pass
        found = fleet.sections()["packages"]
        assert {one["version"] for one in found.values()} == {"2"}
        assert len(found) == 29

    story(told)


def test_a_backlog_is_told_in_bites_and_ends_where_the_host_is(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        for n in range(60):
            fleet.fake.advance(30)
            host.tables["load_average"][0]["average"] = str(n)
            host.run("load", "processes", "memory")
        host.restart()
        while await host.flush():
            pass
        assert fleet.sections()["load"]["now"]["one"] == 59.0
        assert fleet.agent().offset_s == 0.0

    story(told)


@pytest.mark.parametrize(("ahead_s", "offset_s"), [(7_200, 7_200), (-7_200, -7_200), (3, 0), (-20, 0)])
def test_a_clock_that_is_off_is_told_and_dates_nothing_wrong(fleet: Fleet, ahead_s: float, offset_s: float) -> None:
    async def told() -> None:
        host = fleet.host()
        host.now = lambda: fleet.clock.now().timestamp() + ahead_s
        host.tables["processes"][2]["start_time"] = int(host.now()) - 100
        await host.talk()
        now = fleet.clock.now().timestamp()
        assert fleet.agent().offset_s == offset_s
        found = fleet.sections()
        assert abs(found["processes"]["812"]["since"] - (now - 100)) <= 20
        assert abs(found["system"]["boot"]["at"] - (now - 5_000)) <= 20
        assert all(report.reported_at <= report.received_at for report in fleet.told)

    story(told)


def test_a_clock_that_is_set_back_silences_nobody(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        host.now = lambda: fleet.clock.now().timestamp() - 86_400
        host.tables["load_average"][0]["average"] = "7"
        boot = fleet.sections()["system"]["boot"]
        fleet.fake.advance(30)
        host.tables["uptime"][0]["total_seconds"] += 30
        host.run()
        while await host.flush():
            pass
        assert fleet.sections()["load"]["now"]["one"] == 7.0
        assert fleet.sections()["system"]["boot"] == boot

    story(told)


def test_another_boot_is_seen(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        first = fleet.sections()["system"]["boot"]["id"]
        fleet.fake.advance(600)
        host.tables["uptime"][0]["total_seconds"] = 20
        host.restart()
        await host.talk()
        assert fleet.sections()["system"]["boot"]["id"] != first
        assert fleet.agent().boot == fleet.sections()["system"]["boot"]["id"]

    story(told)


def test_text_that_is_no_text_and_a_token_in_a_command_line_are_no_harm(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        token = fleet.channel.token(fleet.id(2), 1)
        host.tables["processes"][2]["cmdline"] = f"/opt/shop \udcff\udcfe '; DROP TABLE x --enrol {token}"
        host.tables["processes"][2]["name"] = "\0\udcff"
        await host.talk()
        told = fleet.sections()["processes"]["812"]
        assert token not in told["command"]
        assert told["command"].startswith("/opt/shop \ufffd")
        assert fleet.sections()["applications"]["shop"]["state"] == "up"

    story(told)


def test_a_great_many_processes_are_told_as_far_as_they_go(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        host.tables["processes"] += [
            {"pid": n, "name": "w", "cmdline": "w" * 300, "state": "S", "uid": 0, "parent": 1, "resident_size": 1,
             "user_time": 1, "system_time": 1, "start_time": 1} for n in range(1_000, 3_050)
        ]  # fmt: skip
        await host.talk()
        assert len(fleet.sections()["processes"]) == 2_000

    story(told)


def test_lines_that_are_too_much_are_let_go_so_that_those_after_them_are_heard() -> None:
    """It would send the same again for ever."""
    fleet = Fleet(report_max_kib=64)

    async def told() -> None:
        host = fleet.host()
        await host.refresh()
        host.tables["processes"] += [
            {"pid": n, "name": "w", "cmdline": f"{n}" * 50, "state": "S", "uid": 0, "parent": 1} for n in range(1_000)
        ]
        host.run("processes")
        assert await host.flush()
        assert fleet.statuses[-1] == 413
        assert host.database["lines"] == {}
        host.run("load")
        assert await host.flush()
        assert set(fleet.sections()) == {"load"}

    story(told)
    fleet.close()


def test_a_small_body_that_unpacks_to_a_large_one_is_not_unpacked(shut: Fleet) -> None:
    async def told() -> None:
        bomb = gzip.compress(b" " * (64 << 20))
        status, _ = await shut.send("/osquery/v1/log", {"Content-Encoding": "gzip"}, bomb)
        assert status == 413

    story(told)


@pytest.mark.parametrize("raw", [True, False], ids=["without a head", "with one"])
def test_deflate_is_read_either_way(shut: Fleet, raw: bool) -> None:
    async def told() -> None:
        host = shut.host()
        body = deflated({"node_key": await host.node_key()}, raw=raw)
        status, answer = await shut.send("/osquery/v1/config", {"Content-Encoding": "deflate"}, body)
        assert (status, json.loads(answer)["node_invalid"]) == (200, False)

    story(told)
