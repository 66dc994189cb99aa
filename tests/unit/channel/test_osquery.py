"""osquery hosts as the channel meets them: over a real store, with an osqueryd as unkind as the real one."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from osqueryd import Osqueryd, deflated
from spoken import KEY, Estate, Said
from structlog.testing import capture_logs

from cloudmon.channel import keys, tokens
from cloudmon.channel.gate import Head
from cloudmon.channel.osquery import callers, nodekeys
from cloudmon.errors import StoreUnavailable
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.guests import Enrolment, ReportKind
from cloudmon.model.sets import Application, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import ChannelSettings
from cloudmon.testing import FakeClock

TEMPLATE = Template(
    "web",
    {"*": "image-1"},
    files=("/etc/shop.conf", "/etc/gone.conf"),
    applications={
        "shop": Application(match="/opt/shop", probe={"http": "http://127.0.0.1/", "status": 200}),
        "site": Application(service="nginx", package="nginx", probe={"tcp": 80}),
        "lost": Application(match="it's not there"),
        "odd": Application(probe={"command": ["/bin/true"]}),
    },
)


class Fleet(Estate):
    """An estate with osquery hosts."""

    def __init__(self, **other: Any) -> None:
        super().__init__(settings=ChannelSettings(osquery=True, **other))
        spec = SetSpec("storefront", 2, TEMPLATE)
        self.store.sets.put(self.owner, uid=self.aset.uid, spec=spec, author="file:x", now=self.clock.now())
        self.lossy = 0
        self.statuses: list[int] = []

    def host(self, ordinal: int = 1, token: str = "") -> Osqueryd:
        return Osqueryd(
            (token or self.channel.token(self.id(ordinal), 1)) + "\n", self.send, lambda: self.clock.now().timestamp()
        )

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        reply = await self.ask(Said(path, [*raw, (b"content-length", b"%d" % len(body))], body))
        self.statuses.append(reply.status)
        if self.lossy:
            self.lossy -= 1
            raise OSError("the answer is lost")
        return reply.status, reply.body

    @property
    def fake(self) -> FakeClock:
        assert isinstance(self.clock, FakeClock)
        return self.clock

    def agent(self, ordinal: int = 1) -> Any:
        return self.store.agents.get(EVERYONE, self.id(ordinal))

    def sections(self, ordinal: int = 1) -> Any:
        found = self.state(ordinal)
        assert found is not None
        return found.sections


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shut() -> Iterator[Fleet]:
    """One for all that are only refused."""
    made = Fleet()
    yield made
    made.close()


def command(fleet: Fleet, verb: Verb = Verb.REPORT_NOW, **arguments: str) -> str:
    return fleet.command(
        fleet.aset, 1, verb, state=IntentState.RECORDED, arguments=arguments, created_at=fleet.clock.now(),
        deadline=fleet.after(300),
    )  # fmt: skip


def intent(fleet: Fleet, intent_id: str) -> Intent:
    found = fleet.store.intents.get(EVERYONE, intent_id)
    assert found is not None
    return found


def story(told: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(told())  # type: ignore[arg-type]


# --- a host that is well --------------------------------------------------------------------------------------------


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


# --- an unkind host -------------------------------------------------------------------------------------------------


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


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_ends_after_a_day_and_the_host_gets_another_with_the_token_it_has(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        first = host.database["node_key"]
        fleet.fake.advance(keys.LIFETIME_S + 1)
        host.run("load")
        assert not await host.flush()  # refused: its key is no more
        assert await host.flush()  # enrolled again, and taken
        assert host.database["node_key"] != first
        assert fleet.agent().serial == 1

    story(told)


def test_who_is_revoked_is_refused_at_once_and_not_let_in_again_by_the_same_token(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        heard = len(fleet.told)
        assert fleet.store.agents.revoke(fleet.owner, fleet.id(), now=fleet.clock.now(), author="ann", reason="stolen")
        await asyncio.to_thread(fleet.channel.reload, [fleet.id()])
        for _ in range(3):
            await host.talk()
        assert len(fleet.told) == heard
        assert not host.database.get("node_key")
        made = Enrolment("m-" + "a" * 12, fleet.id(), "default", 1, "ann", fleet.clock.now(), fleet.after(900))
        fleet.store.agents.offer(fleet.owner, made)
        host.secret = tokens.text(KEY, "-", made.id)
        await host.talk()
        assert fleet.told[heard].kind is ReportKind.FULL
        assert fleet.agent().serial == 2

    story(told)


def test_after_an_enrolment_anew_all_is_asked_for_though_the_host_thinks_to_have_told(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        assert fleet.store.agents.revoke(fleet.owner, fleet.id(), now=fleet.clock.now(), author="ann", reason="moved")
        await asyncio.to_thread(fleet.channel.reload, [fleet.id()])
        made = Enrolment("m-" + "b" * 12, fleet.id(), "default", 1, "ann", fleet.clock.now(), fleet.after(900))
        fleet.store.agents.offer(fleet.owner, made)
        host.secret, host.database["node_key"] = tokens.text(KEY, "-", made.id), ""
        fleet.fake.advance(60)
        host.run("load", "packages")  # nothing changed of packages, so nothing is said of them
        assert await host.flush()
        assert "packages" not in fleet.sections()
        await host.distributed()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.22.1-9"

    story(told)


def test_a_token_becomes_the_first_hosts_that_uses_it(fleet: Fleet) -> None:
    async def told() -> None:
        await fleet.host().talk()
        thief = fleet.host()
        thief.tables["osquery_info"][0]["instance_id"] = "another"
        with capture_logs() as logs:
            assert await thief.node_key() == ""
        assert "the token belongs to another agent" in [line.get("reason") for line in logs]
        assert fleet.statuses[-1] == 401

    story(told)


def test_a_token_is_good_for_a_quarter_of_an_hour_only(fleet: Fleet) -> None:
    async def told() -> None:
        fleet.fake.advance(15 * 60)
        assert await fleet.host().node_key() == ""
        assert fleet.agent() is None

    story(told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key.replace(".1.1.", ".2.1.", 1),
        lambda key: "",
        lambda key: "cmo1.k.x.1.1.1.1." + "A" * 43,
        lambda key: key + "A",
        lambda key: key.replace("cmo1.", "cm1."),
    ],
    ids=["another secret", "another appliance", "none", "nobody's", "longer", "called otherwise"],
)
def test_a_key_that_was_not_given_opens_nothing(shut: Fleet, spoil: Callable[[str], str]) -> None:
    async def told() -> None:
        host = shut.host()
        await host.talk()
        heard = len(shut.told)
        for path, more in (("config", {}), ("log", {"log_type": "result", "data": []}), ("distributed/read", {}),
                           ("distributed/write", {"queries": {}})):  # fmt: skip
            body = json.dumps({"node_key": spoil(str(host.database["node_key"])), **more}).encode()
            status, answer = await shut.send(f"/osquery/v1/{path}", {}, body)
            assert (status, json.loads(answer)) == (401, {"node_invalid": True})
        assert len(shut.told) == heard

    story(told)


def test_a_body_cannot_show_one_key_and_name_another(fleet: Fleet) -> None:
    async def told() -> None:
        mine, theirs = fleet.host(1), fleet.host(2)
        shown, named = await mine.node_key(), await theirs.node_key()
        body = json.dumps({"data": [{"node_key": shown}], "log_type": "result", "node_key": named}).encode()
        status, _ = await fleet.send("/osquery/v1/log", {}, body)
        assert status == 400

    story(told)


def test_agents_keys_and_node_keys_open_each_their_own_door_only(fleet: Fleet) -> None:
    async def told() -> None:
        speaker = await fleet.joined(2)
        key = keys.parse(speaker.key_id)
        assert key is not None
        shown = f"cmo1.{key.id}.{keys.shown(speaker.secret)}"
        status, _ = await fleet.send("/osquery/v1/config", {}, json.dumps({"node_key": shown}).encode())
        assert status == 401
        node_key = nodekeys.text(KEY, key)
        speaker.secret = base64.urlsafe_b64decode(node_key.rpartition(".")[2] + "=")
        assert (await fleet.ask(speaker.say("poll", speaker.poll(0)))).status == 401

    story(told)


# --- a monitor that is not well -------------------------------------------------------------------------------------


def test_a_monitor_that_begins_anew_goes_on_where_its_predecessor_was(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        fleet.channel.close()
        fleet.channel = fleet.begin()
        written = len(fleet.told)
        fleet.fake.advance(60)
        host.tables["deb_packages"][0]["version"] = "1.24"
        host.run("packages")
        assert await host.flush()
        assert fleet.told[written].kind is ReportKind.DIFF
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.24"
        assert "accounts" in fleet.sections()

    story(told)


def test_a_store_that_is_away_loses_no_line(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        host.tables["deb_packages"][0]["version"] = "1.24"
        fleet.fake.advance(60)
        host.run("packages")

        def away(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("the store is away")

        with monkeypatch.context() as patched:
            patched.setattr(fleet.store.reports, "take", away)
            assert not await host.flush()
            assert fleet.statuses[-1] == 503
            assert host.database["lines"]
        assert await host.flush()
        assert fleet.sections()["packages"]["nginx"]["version"] == "1.24"

    story(told)


def test_a_channel_that_ends_tells_a_host_to_come_again(fleet: Fleet) -> None:
    """An empty answer would be a good one, and what it said be lost."""

    async def told() -> None:
        host = fleet.host()
        await host.refresh()
        host.run("load")
        await asyncio.to_thread(fleet.channel.close)
        assert not await host.flush()
        assert host.database["lines"]

    story(told)


def test_the_monitor_may_ask_for_all_of_it(fleet: Fleet) -> None:
    async def told() -> None:
        host = fleet.host()
        await host.talk()
        fleet.channel.want_full([fleet.id()])
        host.run("load")
        assert await host.flush()
        await host.distributed()
        assert fleet.told[-1].kind is ReportKind.FULL
        before = len(fleet.told)
        await host.distributed()
        assert len(fleet.told) == before  # once is enough

    story(told)


# --- what is no host ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("enroll", b"", 400),
        ("enroll", b"[]", 400),
        ("enroll", b'{"enroll_secret": 7}', 400),
        ("enroll", b'{"enroll_secret": "cm1.-.a-x-1-1.' + b"A" * 43 + b'", "host_identifier": "h"}', 401),
        ("enroll", b'{"enroll_secret": "no token", "host_identifier": "h"}', 401),
        ("enroll", b'{"enroll_secret": "cm1.-.x.' + b"A" * 43 + b'", "host_identifier": "h"}', 401),
        ("config", b"\xff\xfe", 401),
        ("config", b'{"node_key": 7}', 401),
        ("log", b"[" * 100_000, 401),
        ("carve", b"{}", 404),
        ("../channel/v1/enrol", b"{}", 404),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(shut: Fleet, path: str, body: bytes, status: int) -> None:
    async def told() -> None:
        found, answer = await shut.send(f"/osquery/v1/{path}", {}, body)
        content = json.loads(answer)
        assert found == status
        assert content.get("node_invalid") is True or content["error"]

    story(told)


def test_a_body_that_makes_no_sense_is_refused_though_its_key_is_right(shut: Fleet) -> None:
    async def told() -> None:
        host = shut.host()
        key = await host.node_key()
        for body in (b'{"node_key": "' + key.encode() + b'"', b'{"n": NaN, "node_key": "' + key.encode() + b'"}'):
            for path in ("config", "log", "distributed/read", "distributed/write"):
                status, answer = await shut.send(f"/osquery/v1/{path}", {}, body)
                assert status == 400
                assert "error" in json.loads(answer)

    story(told)


@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate"])
def test_a_body_that_is_not_packed_as_it_says_is_refused(shut: Fleet, encoding: str) -> None:
    async def told() -> None:
        status, _ = await shut.send("/osquery/v1/config", {"Content-Encoding": encoding}, b"{}")
        assert status == 400

    story(told)


def test_a_host_that_asks_all_the_time_is_told_to_come_later_and_others_are_not(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MOST_A_MINUTE", 5)

    async def told() -> None:
        mad, calm = fleet.host(1), fleet.host(2)
        await calm.node_key()
        answers = [await mad.ask("distributed/read") for _ in range(7)]
        assert [answer is not None for answer in answers] == [True] * 5 + [False] * 2
        assert mad.database["node_key"]
        assert await calm.ask("distributed/read") is not None
        fleet.fake.advance(60)
        assert await mad.ask("distributed/read") is not None

    story(told)


def test_only_so_much_is_read_at_once_of_those_who_have_shown_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MOST_UNPROVEN", 100)

    async def told() -> None:
        begun, end = asyncio.Event(), asyncio.Event()

        async def slow(_most: int) -> bytes:
            begun.set()
            await end.wait()
            return b"{}"

        head = Head(b"POST", b"/osquery/v1/config", b"", [(b"content-length", b"60")], "192.0.2.7")
        first = asyncio.create_task(fleet.channel.answer(head, slow))
        await begun.wait()
        assert (await fleet.channel.answer(head, slow)).status == 503
        end.set()
        assert (await first).status == 401
        assert (await fleet.channel.answer(head, slow)).status == 401

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


def test_without_the_setting_there_is_no_such_path() -> None:
    estate = Estate()

    async def told() -> None:
        head = Head(b"POST", b"/osquery/v1/enroll", b"", [], "192.0.2.7")

        async def body(_most: int) -> bytes:
            raise AssertionError("nobody reads it")

        assert (await estate.channel.answer(head, body)).status == 404

    story(told)
    estate.close()


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
