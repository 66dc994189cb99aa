"""Dates never go back, whatever becomes of the wall's time: nobody is shut out by it, and nothing comes in twice."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from mutated import KEY, NOW, UID, agent
from spoken import Estate

from cloudmon.channel import gate, keys, signing
from cloudmon.channel.dating import RATE, Dates
from cloudmon.channel.gate import Caller, Gate, Head
from cloudmon.channel.replays import AHEAD_S, Replays
from cloudmon.model.identity import ApplianceId

FIRST = ApplianceId(UID, 1)
OURS = keys.new(FIRST, 1, 1, now=int(NOW.timestamp()))


def test_dates_are_the_walls_as_long_as_it_does_not_go_back() -> None:
    dates = Dates(100.0, 5.0)
    assert dates.now(100.0, 5.0) == 100.0
    assert dates.now(110.0, 15.0) == 110.0
    assert dates.now(500.0, 16.0) == 500.0, "a wall that is set forward is followed"


def test_behind_a_wall_that_was_set_back_they_go_on_and_are_overtaken_in_the_end() -> None:
    dates = Dates(1_000.0, 0.0)
    assert dates.now(400.0, 100.0) == 1_000.0 + 100 * RATE
    assert dates.now(400.0, 100.0) == 1_000.0 + 100 * RATE, "no time passed"
    behind_s = 1_000.0 + 100 * RATE - 400.0
    caught_up_s = behind_s / (1 - RATE)
    assert dates.now(400.0 + caught_up_s + 1, 100.0 + caught_up_s + 1) == 400.0 + caught_up_s + 1


def test_in_no_story_of_jumps_is_anybody_shut_out_or_anything_taken_twice() -> None:
    for seed in range(40):
        rng = random.Random(seed)
        wall, monotonic = NOW.timestamp(), 0.0
        dates = Dates(wall, monotonic)
        door = Gate(KEY, {FIRST: agent(1)}.get, Replays(wall, monotonic))
        wall, monotonic = wall + AHEAD_S + 2, AHEAD_S + 2.0
        taken: list[Head] = []
        for step in range(40):
            passed = rng.choice([0.1, 1.0, 20.0, 200.0, 400.0])
            monotonic += passed
            wall += passed + rng.choice([0.0, 0.0, 0.0, -1.0, -30.0, -3_600.0, 30.0, 3_600.0])
            date = dates.now(wall, monotonic)
            signed = signing.sign_request(
                keys.secret_of(KEY, OURS.id), OURS.id, method="POST", path=gate.REPORT.decode(), body=b"",
                created=int(date), nonce=f"{step:022}",
            )  # fmt: skip
            asked = Head(b"POST", gate.REPORT, b"", signed)
            assert isinstance(door.verify(asked, b"", now=NOW, date=date, monotonic=monotonic), Caller), (seed, step)
            taken.append(asked)
            for old in taken:
                again = door.verify(old, b"", now=NOW, date=date, monotonic=monotonic)
                assert not isinstance(again, Caller), (seed, step)


@pytest.mark.anyio
async def test_an_agent_is_heard_on_after_the_clock_was_set_back() -> None:
    """As where a machine's clock was ahead until it asked a better one."""
    estate = Estate()
    speaker = await estate.joined()
    estate.clock.jump(-dt.timedelta(hours=3))
    said = speaker.say("report", speaker.full({"load": {"now": {"one": 1.0}}}))
    refused = await estate.ask(said)
    assert refused.status == 409
    assert speaker.believes(said, refused)
    reply = signing.parse_reply(refused.headers)
    assert reply is not None
    speaker.offset_s = reply.created - int(estate.clock.now().timestamp())
    again = speaker.say("report", speaker.full({"load": {"now": {"one": 1.0}}}))
    assert (await estate.told_by(speaker, again))["taken"]
    assert estate.state().received_at == estate.clock.now()
    estate.close()
