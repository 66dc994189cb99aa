"""What the channel refuses of osquery hosts, and what a monitor that is not well does to them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fleets import Fleet, story
from spoken import Estate

from cloudmon.channel.gate import Head
from cloudmon.channel.osquery import callers
from cloudmon.errors import StoreUnavailable
from cloudmon.model.guests import ReportKind


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


def test_without_the_setting_there_is_no_such_path() -> None:
    estate = Estate()

    async def told() -> None:
        head = Head(b"POST", b"/osquery/v1/enroll", b"", [], "192.0.2.7")

        async def body(_most: int) -> bytes:
            raise AssertionError("nobody reads it")

        assert (await estate.channel.answer(head, body)).status == 404

    story(told)
    estate.close()


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
