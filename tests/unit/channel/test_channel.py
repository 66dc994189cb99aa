"""The channel as agents meet it: enrolment, reports, commands, keys; over a real store, without a socket."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spoken import BEGIN_S, KEY, Estate, Said, Speaker
from structlog.testing import capture_logs

from cloudmon.channel import keys, tokens
from cloudmon.channel.authority import open_authority
from cloudmon.channel.replies import Reply
from cloudmon.errors import StoreUnavailable
from cloudmon.model import states
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.appliances import IncarnationState
from cloudmon.model.changes import Change, IncarnationUpdate
from cloudmon.model.guests import Enrolment
from cloudmon.model.sets import SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing import FakeClock
from cloudmon.testing.guest_words import AFTER, BEFORE

Story = Callable[[Estate], Awaitable[None]]


@pytest.fixture
def estate() -> Iterator[Estate]:
    made = Estate()
    yield made
    made.close()


def clock(estate: Estate) -> FakeClock:
    assert isinstance(estate.clock, FakeClock)
    return estate.clock


async def refused(estate: Estate, said: Said, status: int = 401) -> str:
    """The reason in the log of a request that must be refused, and that its sender learns nothing."""
    with capture_logs() as logs:
        reply = await estate.ask(said)
    assert reply.status == status
    if status == 401:
        assert reply.body == b""
        assert {name for name, _ in reply.headers} <= {b"content-length", b"cache-control"}
    (line,) = [one for one in logs if "refused" in one["event"]]
    return str(line["reason"])


# --- enrolment ----------------------------------------------------------------------------------------------------


def test_an_agent_enrols_with_the_token_of_its_user_data(estate: Estate) -> None:
    async def story() -> None:
        speaker = estate.speaker()
        told = await estate.told_by(speaker, speaker.enrol())
        assert told["appliance"] == "storefront/1"
        assert told["interval_s"] == 30
        assert told["now"] == int(estate.clock.now().timestamp())
        assert told["key"]["expires_at"] == told["now"] + 86_400
        assert told["config"]["applications"] == {}
        found = estate.store.agents.get(EVERYONE, estate.id())
        assert found is not None
        assert (found.instance, found.incarnation, found.serial) == (speaker.instance, 1, 1)

    asyncio.run(story())


def test_the_same_agent_may_enrol_again_when_its_answer_was_lost(estate: Estate) -> None:
    async def story() -> None:
        speaker = estate.speaker()
        first = await estate.told_by(speaker, speaker.enrol())
        assert await estate.told_by(speaker, speaker.enrol()) == first
        # And a long time later, when its key has ended because its machine was suspended.
        clock(estate).advance(5 * 86_400)
        again = await estate.told_by(speaker, speaker.enrol())
        speaker.enrolled(again)
        assert (await estate.told_by(speaker, speaker.say("report", speaker.full())))["taken"] is True

    asyncio.run(story())


def test_a_token_becomes_the_first_agents_that_uses_it(estate: Estate) -> None:
    async def story() -> None:
        await estate.joined()
        other = estate.speaker()
        assert await refused(estate, other.enrol()) == "the token belongs to another agent"

    asyncio.run(story())


@pytest.mark.parametrize(("after_s", "status"), [(14 * 60, 200), (15 * 60 + 1, 401)])
def test_a_token_is_good_for_a_quarter_of_an_hour_after_its_node_was_seen(
    estate: Estate, after_s: float, status: int
) -> None:
    async def story() -> None:
        clock(estate).advance(after_s - BEGIN_S)
        assert (await estate.ask(estate.speaker().enrol())).status == status

    asyncio.run(story())


def test_a_token_of_a_node_that_was_not_seen_yet_is_good_however_long_its_launch_takes(estate: Estate) -> None:
    async def story() -> None:
        unseen = Change(
            "default",
            estate.id(),
            incarnations=(IncarnationUpdate(1, {"state": IncarnationState.OPENING, "since": None}),),
        )
        assert estate.write(unseen) == [True]
        clock(estate).advance(3_600)
        assert (await estate.ask(estate.speaker().enrol())).status == 200

    asyncio.run(story())


@pytest.mark.parametrize("state", [IncarnationState.ENDING, IncarnationState.ENDED, IncarnationState.FAILED])
def test_a_node_that_goes_or_is_gone_lets_nobody_in(estate: Estate, state: IncarnationState) -> None:
    async def story() -> None:
        assert estate.write(Change("default", estate.id(), incarnations=(IncarnationUpdate(1, {"state": state}),))) == [
            True
        ]
        assert await refused(estate, estate.speaker().enrol()) == "there is no such enrolment"

    asyncio.run(story())


def test_a_token_of_an_incarnation_that_never_was_is_refused(estate: Estate) -> None:
    async def story() -> None:
        speaker = Speaker(estate.channel.token(estate.id(), 2), estate.clock.now)
        assert await refused(estate, speaker.enrol()) == "there is no such enrolment"

    asyncio.run(story())


def by_hand(estate: Estate, *, offered: bool = True) -> Speaker:
    name = tokens.new_id()
    now = estate.clock.now()
    if offered:
        expires_at = now + dt.timedelta(seconds=tokens.LIFETIME_S)
        enrolment = Enrolment(name, estate.id(), "default", 1, "ann", now, expires_at)
        estate.store.agents.offer(estate.owner, enrolment)
    return Speaker(tokens.text(KEY, tokens.NO_CA, name), estate.clock.now)


def test_a_token_made_by_hand_is_good_once_for_a_quarter_of_an_hour(estate: Estate) -> None:
    async def story() -> None:
        clock(estate).advance(3_600)
        speaker = by_hand(estate)
        speaker.enrolled(await estate.told_by(speaker, speaker.enrol()))
        late = by_hand(estate)
        clock(estate).advance(15 * 60 + 1)
        assert await refused(estate, late.enrol()) == "the token has expired"

    asyncio.run(story())


def test_a_token_that_nobody_offered_is_refused(estate: Estate) -> None:
    assert asyncio.run(refused(estate, by_hand(estate, offered=False).enrol())) == "there is no such enrolment"


def test_another_agents_enrolment_ends_the_keys_of_the_one_before(estate: Estate) -> None:
    async def story() -> None:
        first = await estate.joined()
        second = by_hand(estate)
        second.enrolled(await estate.told_by(second, second.enrol()))
        assert (
            await refused(estate, first.say("report", first.full()))
            == "another agent was enrolled since this key was made"
        )
        assert (await estate.told_by(second, second.say("report", second.full())))["taken"] is True

    asyncio.run(story())


# --- reports ------------------------------------------------------------------------------------------------------


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


# --- refusals -----------------------------------------------------------------------------------------------------


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


# --- the store is away ---------------------------------------------------------------------------------------------


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


def unavailable(*_words: Any, **_named: Any) -> Any:
    raise StoreUnavailable


# --- commands -----------------------------------------------------------------------------------------------------


def order(
    estate: Estate, ordinal: int = 1, *, verb: Verb = Verb.APP_RESTART, seconds: float = 600, **other: Any
) -> str:
    """Write a command down, as the monitor does, without ringing."""
    told = {"state": IntentState.RECORDED, "deadline": estate.after(seconds), **other}
    return estate.command(estate.aset, ordinal, verb, **told)


def intent(estate: Estate, intent_id: str) -> Intent:
    found = estate.store.intents.get(EVERYONE, intent_id)
    assert found is not None
    return found


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to pass")


async def configured(estate: Estate, speaker: Speaker) -> str:
    """The hash of the configuration in force."""
    told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
    return hashlib.sha256(states.canonical(told["config"]).encode()).hexdigest()


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


# --- keys, configurations, public files ----------------------------------------------------------------------------


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
