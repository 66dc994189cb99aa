"""The channel as agents meet it: reports, keys, public files; over a real store, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from channelled import clock, configured, order, refused, unavailable
from spoken import BEGIN_S, Estate
from structlog.testing import capture_logs

from cloudmon.channel.authority import open_authority
from cloudmon.channel.replies import Reply
from cloudmon.model.sets import SetSpec, Template
from cloudmon.testing.guest_words import AFTER, BEFORE


def test_reports_add_up_to_the_state(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert (told["taken"], told["want"], told["seq"], told["commands"]) == (True, None, 1, [])
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert (told["taken"], told["want"], told["seq"]) == (True, None, 2)
        assert estate.state().sections == AFTER
        assert [(one.seq, one.kind.value) for one in estate.told] == [(1, "full"), (2, "diff")]

    asyncio.run(story())


def test_a_report_that_comes_again_is_taken_and_written_once(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        content = speaker.full()
        await estate.told_by(speaker, speaker.say("report", content))
        before = estate.everything()
        for _ in range(2):
            told = await estate.told_by(speaker, speaker.say("report", content))
            assert (told["taken"], told["want"], told["seq"]) == (True, None, 1)
        assert estate.everything() == before
        assert len(estate.told) == 1

    asyncio.run(story())


def test_the_same_report_twice_at_once_is_written_once(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        content = speaker.full()
        asked = [estate.told_by(speaker, speaker.say("report", content)) for _ in range(5)]
        assert [told["taken"] for told in await asyncio.gather(*asked)] == [True] * 5
        assert len(estate.told) == 1

    asyncio.run(story())


def test_a_difference_that_does_not_fit_asks_for_everything(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert (told["taken"], told["want"], told["seq"]) == (False, "full", 0)
        await estate.told_by(speaker, speaker.say("report", speaker.full(BEFORE)))
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(AFTER, BEFORE)))
        assert (told["taken"], told["want"], told["seq"]) == (False, "full", 2)
        told = await estate.told_by(speaker, speaker.say("report", speaker.full(AFTER)))
        assert (told["taken"], told["want"]) == (True, None)

    asyncio.run(story())


def test_a_full_report_with_a_hash_that_is_not_its_own_is_malformed(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        said = speaker.say("report", speaker.full(hash="a" * 64))
        assert await refused(estate, said, 400) == "the body is malformed"

    asyncio.run(story())


def test_numbers_begin_anew_with_a_boot(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        await estate.told_by(speaker, speaker.say("report", speaker.full(seq=9)))
        speaker.boot, speaker.seq = "boot-2", 0
        told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert (told["taken"], told["seq"]) == (True, 1)
        speaker.boot = "boot-1"
        told = await estate.told_by(speaker, speaker.say("report", speaker.full(seq=9)))
        assert (told["taken"], told["seq"]) == (True, 0), "taken before its machine booted"
        assert len(estate.told) == 2

    asyncio.run(story())


def test_everything_is_asked_for_when_the_monitor_wants_it(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        await estate.told_by(speaker, speaker.say("report", speaker.full()))
        estate.channel.want_full([estate.id()])
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert (told["taken"], told["want"]) == (True, "full")
        told = await estate.told_by(speaker, speaker.say("report", speaker.full(AFTER)))
        assert (told["taken"], told["want"]) == (True, None)

    asyncio.run(story())


def test_nothing_is_dated_into_the_future_by_a_clock_that_runs_ahead(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        content = speaker.full(at=estate.clock.now().timestamp() + 9_000)
        await estate.told_by(speaker, speaker.say("report", content))
        assert estate.state().reported_at == estate.clock.now()

    asyncio.run(story())


def test_whoever_is_told_of_reports_and_fails_stops_none(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        with capture_logs() as logs:
            told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert told["taken"] is True
        assert any("whoever is told" in line["event"] for line in logs)

    def fails(_reports: Any) -> None:
        raise ValueError("no")

    estate.channel._intake._on_reports = fails
    asyncio.run(story())


def test_a_report_is_answered_after_it_was_written(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def story() -> None:
        speaker = await estate.joined()
        take = estate.store.reports.take

        def watched(*words: Any, **named: Any) -> list[bool]:
            assert not asked.done()
            found = take(*words, **named)
            seen.append(asked.done())
            return found

        monkeypatch.setattr(estate.store.reports, "take", watched)
        asked = asyncio.ensure_future(estate.told_by(speaker, speaker.say("report", speaker.full())))
        await asked

    asyncio.run(story())
    assert seen == [False]


# --- the store is away -----------------------------------------------------------------------------------------------


def test_while_the_store_is_away_the_agent_is_asked_to_keep_its_report(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        content = speaker.full()
        with monkeypatch.context() as away:
            away.setattr(estate.store.reports, "take", unavailable)
            said = speaker.say("report", content)
            reply = await estate.ask(said)
        assert reply.status == 503
        assert dict(reply.headers)[b"retry-after"] == b"5"
        assert speaker.believes(said, reply)
        assert (await estate.told_by(speaker, speaker.say("report", content)))["taken"] is True

    asyncio.run(story())


def test_nothing_is_handed_out_that_could_not_be_marked(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        order(estate)
        with monkeypatch.context() as away:
            away.setattr(estate.store.ledger, "write", unavailable)
            assert (await estate.ask(speaker.say("poll", speaker.poll()))).status == 503
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll()))
        assert len(told["commands"]) == 1

    asyncio.run(story())


def test_a_token_is_not_used_up_while_the_store_is_away(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        speaker = estate.speaker()
        with monkeypatch.context() as away:
            away.setattr(estate.store.agents, "enrol", unavailable)
            assert (await estate.ask(speaker.enrol())).status == 503
        assert (await estate.ask(speaker.enrol())).status == 200

    asyncio.run(story())


# --- keys, configurations, public files ------------------------------------------------------------------------------


def test_a_key_is_renewed_in_replies_and_the_old_one_stays_good_until_it_ends(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        old = (speaker.key_id, speaker.secret)
        assert "key" not in await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        clock(estate).advance(13 * 3_600)
        speaker.enrolled(await estate.told_by(speaker, speaker.say("report", speaker.full())))
        assert speaker.key_id != old[0]
        await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        new = (speaker.key_id, speaker.secret)
        speaker.key_id, speaker.secret = old
        await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        clock(estate).advance(12 * 3_600)
        assert await refused(estate, speaker.say("poll", speaker.poll(0))) == "the key has expired"
        speaker.key_id, speaker.secret = new
        await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))

    asyncio.run(story())


def test_another_template_is_told_with_the_next_reply_and_then_no_more(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        speaker.config = await configured(estate, speaker)
        assert "config" not in await estate.told_by(speaker, speaker.say("report", speaker.full()))
        template = Template("web", {"*": "image-1"}, files=("/etc/passwd",), report_interval_s=60)
        spec = SetSpec("storefront", 2, template)
        estate.store.sets.put(estate.owner, uid=estate.aset.uid, spec=spec, author="file:x", now=estate.clock.now())
        clock(estate).advance(11)
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert (told["config"]["files"], told["config"]["interval_s"]) == (["/etc/passwd"], 60)
        speaker.config = await configured(estate, speaker)
        assert "config" not in await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))

    asyncio.run(story())


def test_anybody_may_have_the_agent_and_nothing_else(estate: Estate) -> None:
    async def story() -> None:
        def get(path: bytes) -> Awaitable[Reply]:
            return estate.channel.answer(estate.speaker().enrol().head._replace(method=b"GET", path=path), never)

        reply = await get(b"/channel/v1/agent.pyz")
        assert (reply.status, reply.body) == (200, b"PK")
        for path in (b"/channel/v1/ca.pem", b"/channel/v1/report", b"/", b"/channel/v1/../ca.pem"):
            assert (await get(path)).status == 404

    async def never(_most: int) -> bytes:
        raise AssertionError("the body of a GET is not read")

    asyncio.run(story())


def test_a_channel_that_begins_knows_the_agents_of_the_one_before(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        said = speaker.say("report", speaker.full())
        await estate.told_by(speaker, said)
        estate.channel.close()
        estate.channel = estate.begin()
        assert (await estate.ask(said)).status == 503, "what was taken before it began is not taken again"
        clock(estate).advance(BEGIN_S)
        assert (await estate.ask(said)).status == 409
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert (told["taken"], told["want"]) == (True, None)

    asyncio.run(story())


def test_a_service_that_runs_for_long_renews_its_certificate(estate: Estate, tmp_path: Path) -> None:
    async def story() -> None:
        estate.channel._authority = open_authority(tmp_path, ["127.0.0.1"], estate.clock.now())
        instance = (await estate.joined()).instance
        before = (tmp_path / "server.pem").read_bytes()
        for days in (300, 70):
            assert (tmp_path / "server.pem").read_bytes() == before
            clock(estate).advance(days * 86_400)
            speaker = await estate.joined(1, instance)
            await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
            await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        estate.channel._readers.shutdown(wait=True)
        assert (tmp_path / "server.pem").read_bytes() != before

    asyncio.run(story())


def test_a_channel_that_has_ended_asks_to_come_again_and_says_nothing_alarming(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        estate.channel.close()
        with capture_logs() as logs:
            assert (await estate.ask(speaker.say("report", speaker.full()))).status == 503
        assert logs == []

    asyncio.run(story())
