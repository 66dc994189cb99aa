"""Signatures over the channel: fetched by their hash, a part at a time, by agents only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from spoken import KEY, Estate

from cloudmon.channel import bodies, malware
from cloudmon.channel.bodies import Malformed, SignaturesBody
from cloudmon.channel.channel import Channel
from cloudmon.malware import Signatures
from cloudmon.settings import MalwareSettings
from cloudmon.testing import FakeClock

KNOWN = Signatures({f"{one:064x}": f"Sample.{one}" for one in range(4000)})


@pytest.fixture
def estate() -> Iterator[Estate]:
    made = Estate()
    made.channel.close()
    looks_for = MalwareSettings().knowing(KNOWN)
    made.channel = Channel(
        made.store, lambda: made.owner, made.clock, made.settings, KEY, None, made.told.extend,
        agent=lambda: b"PK", looks_for=lambda: looks_for,
    )  # fmt: skip
    assert isinstance(made.clock, FakeClock)
    made.clock.advance(10)
    yield made
    made.close()


def test_an_agent_is_told_what_to_fetch_and_fetches_it_in_parts(estate: Estate) -> None:
    async def story() -> None:
        speaker = estate.speaker()
        told = await estate.told_by(speaker, speaker.enrol())
        speaker.enrolled(told)
        name = told["config"]["malware"]["signatures"]
        found = ""
        while len(found) < told["config"]["malware"]["size"]:
            said = speaker.say("signatures", {"v": 1, "hash": name, "offset": len(found)})
            part = await estate.told_by(speaker, said)
            assert (part["hash"], part["offset"], 0 < len(part["text"]) <= malware.PART) == (name, len(found), True)
            found += part["text"]
        assert found.encode() == KNOWN.text

    asyncio.run(story())


def test_signatures_of_before_are_not_to_be_had(estate: Estate) -> None:
    """It is told which are in force; the configuration says so too."""

    async def story() -> None:
        speaker = await estate.joined()
        part = await estate.told_by(speaker, speaker.say("signatures", {"v": 1, "hash": "0" * 64, "offset": 0}))
        assert (part["hash"], part["size"], part["text"]) == (KNOWN.hash, 0, "")

    asyncio.run(story())


def test_nobody_else_is_told(estate: Estate) -> None:
    """Not who has a token only, and not whose agent was revoked."""

    async def story() -> None:
        said = estate.speaker().say("signatures", {"v": 1, "hash": KNOWN.hash, "offset": 0})
        assert (await estate.ask(said)).status == 401

    asyncio.run(story())


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"v":1,"hash":"x","offset":0}', b'{"v":1,"hash":"%s","offset":-1}' % (b"0" * 64), b"[]"],
    ids=["nothing", "no hash", "before the beginning", "a list"],
)
def test_a_request_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        bodies.signatures(body)


def test_behind_the_end_is_nothing() -> None:
    settings = MalwareSettings().knowing(KNOWN)
    assert malware.part(settings, SignaturesBody(KNOWN.hash, 1 << 30))["text"] == ""
    assert malware.part(None, SignaturesBody(KNOWN.hash, 0))["hash"] == ""
