"""Who is let in by which token, and for how long."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from channelled import clock, refused
from spoken import BEGIN_S, KEY, Estate, Speaker

from cloudmon.channel import tokens
from cloudmon.model.appliances import IncarnationState
from cloudmon.model.changes import Change, IncarnationUpdate
from cloudmon.model.guests import Enrolment
from cloudmon.model.tenants import EVERYONE


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
