"""osquery hosts as the channel meets them: over a real store, with an osqueryd as unkind as the real one."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from fleets import Fleet, command, intent, story
from structlog.testing import capture_logs

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.guests import ReportKind
from cloudmon.model.sets import SetSpec, Template


def test_a_host_enrols_and_what_it_says_becomes_the_one_model(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        agent = fleet.agent()
        assert (agent.version, agent.abilities, agent.serial) == ("osquery/5.12.1", ("report_now",), 1)
        found, now = fleet.sections(), int(fleet.clock.now().timestamp())
        assert found["system"] == {
            "host": {"name": "shop-1", "os": "debian", "os_version": "12", "kernel": "6.1.0-18", "arch": "x86_64"},
            "boot": {"id": f"boot-{now - 5_000}", "at": now - 5_000},
            "agent": {"version": "5.12.1", "interval_s": 30},
        }
        assert found["packages"] == {"nginx": {"version": "1.22.1-9", "arch": "amd64", "manager": "dpkg"}}
        key = "SHA256:" + base64.b64encode(
            hashlib.sha256(base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIA==")).digest()
        ).decode().rstrip("=")
        assert found["accounts"]["ann"] == {
            "uid": 1000, "gid": 1000, "home": "/home/ann", "shell": "/bin/sh", "groups": ["sudo"], "keys": [key],
            "locked": False,
        }  # fmt: skip
        assert found["accounts"]["root"]["locked"] is True
        assert found["services"] == {
            "nginx": {"state": "running", "enabled": True}, "cron": {"state": "failed", "enabled": False},
        }  # fmt: skip
        assert found["files"] == {
            "/etc/shop.conf": {"size": 12, "mode": "0640", "owner": "ann", "sha256": "ab" * 32},
            "/etc/gone.conf": {"missing": True},
        }
        assert set(found["processes"]) == {"1", "812"}
        assert found["processes"]["812"]["user"] == "ann"
        assert found["load"] == {"now": {"one": 0.52, "five": 0.4, "fifteen": 0.3, "cpus": 2}}
        assert found["memory"]["now"]["available_mib"] == 1_020
        assert found["disks"] == {"/": {"total_mib": 3_906, "used_mib": 1_562, "used_share": 0.444}}
        assert found["network"]["eth0"]["addresses"] == ["10.0.0.7", "fe80::1"]
        states = {name: one["state"] for name, one in found["applications"].items()}
        assert states == {"shop": "up", "site": "up", "lost": "down", "odd": "unknown"}
        assert found["applications"]["site"]["version"] == "1.22.1-9"

    story(told)


def test_only_what_changed_is_written(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        await host.talk()
        written = len(fleet.told)
        host.tables["deb_packages"][0]["version"] = "1.24"
        fleet.fake.advance(60)
        host.run("packages", "services")
        assert await host.flush()
        (report,) = fleet.told[written:]
        assert report.kind is ReportKind.DIFF
        changed = report.body["packages"]
        assert changed == {"set": {"nginx": {"version": "1.24", "arch": "amd64", "manager": "dpkg"}}}
        assert set(report.body) <= {"packages", "applications"}
        host.tables["deb_packages"][1]["status"] = "install ok installed"
        host.tables["deb_packages"].pop(0)
        fleet.fake.advance(60)
        host.run("packages")
        assert await host.flush()
        assert set(fleet.sections()["packages"]) == {"vim"}

    story(told)


def test_a_host_that_was_heard_is_looked_at_by_rules_like_any_other(fleet: Fleet) -> None:
    """Whoever waits for reports is told, and every report builds on the one before."""

    async def told() -> None:
        host = fleet.host()
        for _ in range(3):
            await host.talk()
            fleet.fake.advance(30)
        assert [one.seq for one in fleet.told] == list(range(1, len(fleet.told) + 1))
        hashes = ["", *(one.hash for one in fleet.told)]
        assert all(one.base in ("", before) for one, before in zip(fleet.told, hashes, strict=False))
        assert fleet.agent().received_at == fleet.told[-1].received_at

    story(told)


def test_a_host_without_a_kernel_of_its_own_is_told_as_far_as_it_goes(fleet: Fleet) -> None:
    """Within a container some tables are empty."""

    async def told() -> None:
        host = fleet.host()
        host.tables["kernel_info"] = []
        await host.talk("system")
        assert fleet.sections()["system"]["host"] == {
            "name": "shop-1", "os": "debian", "os_version": "12", "arch": "x86_64",
        }  # fmt: skip

    story(told)


def test_a_config_that_changes_reaches_a_host_when_it_asks_next(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        spec = SetSpec("storefront", 2, Template("web", {"*": "image-1"}, report_interval_s=120))
        fleet.store.sets.put(fleet.owner, uid=fleet.aset.uid, spec=spec, author="file:x", now=fleet.clock.now())
        fleet.fake.advance(60)
        await host.talk()
        assert {one["interval"] for one in host.config["schedule"].values()} == {120}
        assert not any("files" in name for name in host.config["schedule"])
        assert "applications" not in fleet.sections()

    story(told)


def test_all_is_told_whole_once_a_day(fleet: Fleet) -> None:
    """Lines may have been lost that nobody knows of: a host lets go the oldest when it keeps too many."""

    async def told() -> None:
        host = fleet.host()
        await host.talk()
        host.tables["deb_packages"][0]["version"] = "1.24"
        host.run("packages")
        host.database["lines"].clear()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.22.1-9"
        fleet.fake.advance(86_400)
        await host.talk()
        await host.talk()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.24"

    story(told)


# --- commands -------------------------------------------------------------------------------------------------------


def test_report_now_goes_by_a_distributed_query_and_ends_with_its_answer(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        wanted = command(fleet)
        fleet.channel.ring([fleet.id()])
        await asyncio.sleep(0)
        host.tables["users"].append({"uid": 7, "gid": 7, "username": "eve", "directory": "/", "shell": "/bin/sh"})
        await host.distributed()
        assert intent(fleet, wanted).state is IntentState.DONE
        assert "eve" in fleet.sections()["accounts"]
        assert (fleet.told[-1].why, fleet.told[-1].kind) == ("asked", ReportKind.FULL)
        # It is not asked again, nor is the answer taken for another one.
        before = len(fleet.told)
        await host.distributed()
        assert len(fleet.told) == before

    story(told)


def test_an_answer_that_is_lost_on_its_way_comes_again_and_does_no_harm(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        wanted = command(fleet)
        fleet.channel.ring([fleet.id()])
        await asyncio.sleep(0)
        fleet.lossy = 0
        found = await host.ask("distributed/read")
        host.database["queries"].update(found["queries"])
        fleet.lossy = 2  # the answer to what it reads next, and the one to what it writes
        await host.distributed()
        assert intent(fleet, wanted).state is IntentState.DONE
        await host.distributed()
        assert intent(fleet, wanted).state is IntentState.DONE

    story(told)


@pytest.mark.parametrize("ok", [True, False], ids=["some answer", "none answers"])
def test_queries_that_fail_leave_what_was_known_and_are_told(fleet: Fleet, ok: bool) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        before = fleet.sections()
        wanted = command(fleet)
        fleet.channel.ring([fleet.id()])
        await asyncio.sleep(0)
        for name in list(host.tables):
            if not ok or name == "users":
                del host.tables[name]
        with capture_logs() as logs:
            found = await host.ask("distributed/read")
            queries = found["queries"]
            host.tables["osquery_info"] = [{"instance_id": "6f2c-1", "version": "5.12.1"}]
            answers = {name: host.sql(text) for name, text in queries.items()}
            content = {
                "queries": {name: rows or "" for name, rows in answers.items()},
                "statuses": {name: "0" if rows is not None else "1" for name, rows in answers.items()},
                "messages": dict.fromkeys(answers, "no such table: users"),
            }
            assert await host.ask("distributed/write", content) is not None
        assert any("no such table: users" in str(line.get("error")) for line in logs)
        found = intent(fleet, wanted)
        assert found.state is (IntentState.DONE if ok else IntentState.FAILED)
        assert ok or "osquery answered no query" in found.error
        assert fleet.sections()["accounts"] == before["accounts"]

    story(told)


def test_what_a_host_cannot_do_fails_at_once_when_somebody_wrote_it_all_the_same(fleet: Fleet) -> None:
    """A request for it is refused before; but an appliance's agent can be followed by an osquery host meanwhile."""

    async def told() -> None:
        host = fleet.host()
        await host.talk()
        wanted = command(fleet, Verb.PROCESS_END, pid="1", name="systemd")
        fleet.channel.ring([fleet.id()])
        await asyncio.sleep(0)
        assert (await host.ask("distributed/read"))["queries"] == {}
        found = intent(fleet, wanted)
        assert (found.state, found.error) == (IntentState.FAILED, "osquery cannot do process_end")

    story(told)
