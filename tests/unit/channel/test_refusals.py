"""What the channel refuses, and what it says of it to whom."""

from __future__ import annotations

import asyncio
import json

from channelled import clock, configured, refused, until
from spoken import Estate
from structlog.testing import capture_logs

from cloudmon.channel import keys
from cloudmon.testing.guest_words import AFTER


def test_one_agents_key_speaks_for_no_other_agent(estate: Estate) -> None:
    async def story() -> None:
        first, second = await estate.joined(1), await estate.joined(2)
        content = second.full()
        assert await refused(estate, first.say("report", content)) == "the key belongs to another agent"
        copied = first.say("report", first.full(instance="f" * 32))
        assert await refused(estate, copied) == "the key belongs to another agent"
        assert estate.told == []

    asyncio.run(story())


def test_a_revoked_agent_is_heard_no_more_from_that_moment_on(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        await estate.told_by(speaker, speaker.say("report", speaker.full()))
        speaker.config = await configured(estate, speaker)
        waits = asyncio.ensure_future(estate.ask(speaker.say("poll", speaker.poll())))
        await until(lambda: estate.channel.waiting == 1)
        now = estate.clock.now()
        assert estate.store.agents.revoke(estate.owner, estate.id(), now=now, author="ann", reason="stolen")
        estate.channel.reload([estate.id()])
        assert (await waits).status == 401
        assert await refused(estate, speaker.say("report", speaker.full(AFTER))) == "the agent was revoked"
        assert await refused(estate, speaker.enrol_again()) == "the token belongs to another agent"

    asyncio.run(story())


def test_an_agent_that_somebody_else_revoked_writes_nothing_either(estate: Estate) -> None:
    """Though nobody told the channel: the store's own conditions hold."""

    async def story() -> None:
        speaker = await estate.joined()
        now = estate.clock.now()
        assert estate.store.agents.revoke(estate.owner, estate.id(), now=now, author="ann", reason="stolen")
        assert await refused(estate, speaker.say("report", speaker.full())) == "the key belongs to another agent"
        assert await refused(estate, speaker.say("report", speaker.full())) == "the agent was revoked"
        assert estate.told == []

    asyncio.run(story())


def test_a_malformed_body_is_told_so_and_signed(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        said = speaker.say("report", b'{"v":1,"hunter2":')
        with capture_logs() as logs:
            reply = await estate.ask(said)
        assert (reply.status, reply.body) == (400, b"")
        assert speaker.believes(said, reply)
        assert "hunter2" not in str(logs)

    asyncio.run(story())


def test_a_body_that_is_too_large_is_not_read(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        said = speaker.say("poll", b" " * 100_000)
        reply = await estate.ask(said)
        assert (reply.status, reply.body) == (413, b"")
        assert speaker.believes(said, reply)

    asyncio.run(story())


def test_a_clock_that_is_off_is_told_the_time(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        said = speaker.say("report", speaker.full(), created=5)
        reply = await estate.ask(said)
        assert reply.status == 409
        assert speaker.believes(said, reply)
        now = int(estate.clock.now().timestamp())
        assert json.loads(reply.body) == {"v": 1, "clock": True, "now": now}

    asyncio.run(story())


def test_a_reply_is_believed_for_its_own_request_alone(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        one, other = speaker.say("poll", speaker.poll(0)), speaker.say("poll", speaker.poll(0))
        reply = await estate.ask(one)
        assert speaker.believes(one, reply)
        assert not speaker.believes(other, reply)
        assert not speaker.believes(one, reply._replace(body=reply.body + b" "))
        assert not speaker.believes(one, reply._replace(status=503))

    asyncio.run(story())


def test_the_log_has_the_reason_and_never_a_secret(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        secrets = {
            keys.shown(speaker.secret),
            speaker.secret.hex(),
            estate.channel.token(estate.id(), 1).rpartition(".")[2],
        }
        with capture_logs() as logs:
            said = speaker.say("report", speaker.full())
            await estate.ask(said)
            await estate.ask(said)
            await estate.ask(said._replace(body=said.body + b" "))
            await estate.ask(said._replace(headers=said.headers[:2]))
            await estate.ask(speaker.say("report", b"nonsense"))
            await estate.ask(speaker.say("report", speaker.full(), created=5))
            await estate.ask(estate.speaker().enrol())
        reasons = [str(line["reason"]) for line in logs]
        assert reasons[:2] == ["the request was taken before"] * 2
        assert len(reasons) == 6
        assert all(line["peer"] == "192.0.2.7" for line in logs)
        for secret in secrets:
            assert secret not in str(logs)
        assert said.headers[2][1].decode() not in str(logs)

    asyncio.run(story())


def test_a_flood_of_refusals_is_no_flood_of_lines(estate: Estate) -> None:
    async def story() -> None:
        speaker = estate.speaker()
        with capture_logs() as logs:
            for _ in range(500):
                await estate.ask(speaker.enrol()._replace(headers=[]))
            clock(estate).advance(61)
            await estate.ask(speaker.enrol()._replace(headers=[]))
        assert len(logs) == 22
        assert [line["count"] for line in logs if "count" in line] == [480]
        assert estate.channel.complaints.total == 501

    asyncio.run(story())
