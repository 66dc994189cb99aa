"""Commands reach the agents that they are for, once each as far as anybody can tell."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from channelled import clock, configured, intent, order, until
from spoken import Estate

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.commands import FETCH_S, TERMS
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing.guest_words import AFTER, BEFORE


def test_a_command_is_handed_to_an_agent_that_asks(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate)
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll()))
        (command,) = told["commands"]
        assert command == {
            "id": wanted,
            "verb": "app_restart",
            "arguments": {"application": "shop"},
            "expires_at": int(estate.after(600).timestamp()),
            "timeout_s": 120.0,
        }
        assert intent(estate, wanted).state is IntentState.PERFORMED
        entries = [one for one in estate.store.log.entries(EVERYONE) if one.subject == wanted]
        assert [one.kind for one in entries] == ["intent.performed"]

    asyncio.run(story())


def test_an_agent_that_waits_has_a_command_as_soon_as_the_bell_rings(estate: Estate) -> None:
    async def story() -> None:
        speaker, other = await estate.joined(1), await estate.joined(2)
        speaker.config = other.config = await configured(estate, speaker)
        waits = asyncio.ensure_future(estate.told_by(speaker, speaker.say("poll", speaker.poll())))
        others = asyncio.ensure_future(estate.told_by(other, other.say("poll", other.poll())))
        await until(lambda: estate.channel.waiting == 2)
        wanted = order(estate)
        await asyncio.get_running_loop().run_in_executor(None, estate.channel.ring, [estate.id(1)])
        assert [command["id"] for command in (await waits)["commands"]] == [wanted]
        assert estate.channel.waiting == 1
        assert not others.done()
        others.cancel()

    asyncio.run(story())


def test_a_command_rides_in_the_reply_to_a_report_too(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate)
        told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert [command["id"] for command in told["commands"]] == [wanted]

    asyncio.run(story())


def test_a_command_is_repeated_until_its_result_came(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate)

        async def polled(*have: str) -> list[str]:
            told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0, have)))
            return [command["id"] for command in told["commands"]]

        assert await polled() == [wanted]
        assert await polled() == [wanted], "the answer was lost"
        assert await polled(wanted) == [], "it has it"
        told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert told["commands"] == [], "a report does not say what its agent has, and it was handed out just now"
        clock(estate).advance(31)
        told = await estate.told_by(speaker, speaker.say("report", speaker.diff(BEFORE, AFTER)))
        assert [command["id"] for command in told["commands"]] == [wanted]
        result = {"id": wanted, "ok": True, "exit": 0, "output": "restarted", "error": "", "ended_at": 5}
        content = speaker.diff(AFTER, BEFORE, results=[result])
        assert (await estate.told_by(speaker, speaker.say("report", content)))["commands"] == []
        assert await polled() == []
        found = intent(estate, wanted)
        assert (found.state, found.result["output"]) == (IntentState.DONE, "restarted")
        log = [one.kind for one in estate.store.log.entries(EVERYONE) if one.subject == wanted]
        assert log == ["intent.performed", "intent.done"], "repeats are no further performances"

    asyncio.run(story())


def test_a_failed_command_ends_with_its_error(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate)
        result = {"id": wanted, "ok": False, "exit": 3, "output": "", "error": "no such application"}
        await estate.told_by(speaker, speaker.say("report", speaker.full(results=[result])))
        found = intent(estate, wanted)
        assert (found.state, found.error) == (IntentState.FAILED, "no such application")

    asyncio.run(story())


def test_a_result_of_another_appliances_command_changes_nothing(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined(1)
        theirs = order(estate, 2)
        result = {"id": theirs, "ok": True, "exit": 0, "output": "", "error": ""}
        told = await estate.told_by(speaker, speaker.say("report", speaker.full(results=[result])))
        assert told["taken"] is True
        assert intent(estate, theirs).state is IntentState.RECORDED

    asyncio.run(story())


def test_no_command_is_handed_out_after_its_deadline_or_for_another_incarnation(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        order(estate, seconds=60)
        order(estate, seconds=6_000, incarnation=2)
        clock(estate).advance(60)
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        assert told["commands"] == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("state", "handed"), [(IntentState.RECORDED, False), (IntentState.PERFORMED, True)],
    ids=["nobody fetched it", "its answer was lost"],
)  # fmt: skip
def test_a_command_is_fetched_soon_or_never_and_then_has_its_whole_time(
    estate: Estate, state: IntentState, handed: bool
) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate, seconds=FETCH_S + TERMS[Verb.APP_RESTART].timeout_s, state=state)
        clock(estate).advance(FETCH_S)
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        assert [command["id"] for command in told["commands"]] == [wanted] * handed
        assert intent(estate, wanted).state is state

    asyncio.run(story())


def test_a_command_that_was_taken_back_is_not_handed_out(estate: Estate) -> None:
    """The monitor ended it after it was read here: marking it as handed out does not hold."""

    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate)
        kept = intent(estate, wanted)
        result = {"id": wanted, "ok": True, "exit": 0, "output": "", "error": ""}
        await estate.told_by(speaker, speaker.say("report", speaker.full(results=[result])))
        estate.channel._post._open[estate.id()] = (estate.clock.monotonic(), (replace(kept),))
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        assert told["commands"] == []

    asyncio.run(story())


def test_what_was_handed_to_the_cloud_is_no_agents_any_more(estate: Estate) -> None:
    """While no agent spoke its cloud was asked: one that enrols later must not do the same again."""

    async def story() -> None:
        speaker = await estate.joined()
        handed = order(estate, state=IntentState.PERFORMED, result={"by": "cloud", "command": "c1"})
        own = order(estate)
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll()))
        assert [command["id"] for command in told["commands"]] == [own]
        assert intent(estate, handed).state is IntentState.PERFORMED

    asyncio.run(story())


def test_commands_come_oldest_first(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        wanted = [order(estate, created_at=estate.after(at)) for at in range(4)]
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
        assert [command["id"] for command in told["commands"]] == wanted

    asyncio.run(story())


def test_a_second_poll_of_an_agent_ends_its_first(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        speaker.config = await configured(estate, speaker)
        first = asyncio.ensure_future(estate.told_by(speaker, speaker.say("poll", speaker.poll())))
        await until(lambda: estate.channel.waiting == 1)
        second = asyncio.ensure_future(estate.told_by(speaker, speaker.say("poll", speaker.poll())))
        assert (await first)["commands"] == []
        await until(lambda: estate.channel.waiting == 1)
        assert not second.done()
        estate.channel._post.close()
        assert (await second)["commands"] == []

    asyncio.run(story())


def test_a_poll_ends_when_its_time_is_over(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined()
        speaker.config = await configured(estate, speaker)
        told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0.01)))
        assert "config" not in told
        assert told["commands"] == []
        assert estate.channel.waiting == 0

    asyncio.run(story())


def test_what_a_successor_finds_handed_out_it_hands_out_again(estate: Estate) -> None:
    """Killed between marking and answering, nothing is lost."""

    async def story() -> None:
        speaker = await estate.joined()
        wanted = order(estate, state=IntentState.PERFORMED)
        told = await estate.told_by(speaker, speaker.say("report", speaker.full()))
        assert [command["id"] for command in told["commands"]] == [wanted]

    asyncio.run(story())
