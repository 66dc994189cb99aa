"""Members of a set are told of each other: with their configuration, and at once when one of them changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from spoken import Estate, Speaker

from cloudmon.channel import configs
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, IncarnationUpdate
from cloudmon.model.peers import Peer
from cloudmon.model.sets import ApplianceSet, Peers
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor import peering


@pytest.fixture
def estate() -> Iterator[Estate]:
    """Two members that are to know each other."""
    found = Estate()
    spec = found.aset.spec
    template = replace(spec.template, peers=Peers((5432,)))
    found.store.sets.put(
        found.owner, uid=found.aset.uid, spec=replace(spec, template=template), author="file:x", now=found.clock.now()
    )
    yield found
    found.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def configuration(estate: Estate, speaker: Speaker) -> Any:
    told = await estate.told_by(speaker, speaker.say("poll", speaker.poll(0)))
    return told.get("config")


def moved(estate: Estate, address: str) -> Change:
    """Its node is found at an address."""
    return Change("default", estate.id(2), incarnations=(IncarnationUpdate(1, {"private_addresses": (address,)}),))


def test_a_member_that_waits_hears_at_once_that_another_one_moved(estate: Estate) -> None:
    async def story() -> None:
        speaker = await estate.joined(1)
        first = await configuration(estate, speaker)
        assert first["peers"]["ports"] == [5432]
        assert first["peers"]["members"].keys() == {"storefront/1", "storefront/2"}
        speaker.config = configs.hash_of(first)
        waits = asyncio.ensure_future(estate.told_by(speaker, speaker.say("poll", speaker.poll())))
        await until(lambda: estate.channel.waiting == 1)
        change = moved(estate, "10.0.0.7")
        estate.write(change)
        sets = {one.uid: one for one in estate.store.sets.active(EVERYONE)}
        await asyncio.get_running_loop().run_in_executor(None, peering.tell, estate.channel, [change], sets)
        told = (await waits)["config"]["peers"]["members"]["storefront/2"]
        assert (told["private"], told["state"]) == (["10.0.0.7"], "running")

    asyncio.run(story())


class Bell:
    """A line that keeps which sets were rung for."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def __getattr__(self, name: str) -> Any:
        assert name == "retell"
        return self.rung.extend


def test_only_sets_that_tell_of_members_are_rung_for_and_only_when_one_changed(estate: Estate) -> None:
    sets: dict[str, ApplianceSet] = {one.uid: one for one in estate.store.sets.active(EVERYONE)}
    quiet = {uid: replace(one, spec=estate.aset.spec) for uid, one in sets.items()}
    change, bell = moved(estate, "10.0.0.7"), Bell()
    peering.tell(bell, [], sets)  # type: ignore[arg-type]
    peering.tell(bell, [change], quiet)  # type: ignore[arg-type]
    peering.tell(bell, [Change("default", estate.id(1))], sets)  # type: ignore[arg-type]
    assert bell.rung == []
    peering.tell(bell, [change, change], sets)  # type: ignore[arg-type]
    assert bell.rung == [estate.aset.uid]


def test_of_a_set_without_end_the_first_members_are_told(estate: Estate) -> None:
    template = replace(estate.aset.spec.template, peers=Peers(hosts=True))
    many = [Peer(f"storefront/{at}", at, ApplianceState.RUNNING, 1, "east") for at in range(1, 2_000)]
    told = configs.of_template(template, peers=many).content["peers"]
    assert (len(told["members"]), told["hosts"]) == (configs.MOST_PEERS, True)
    assert configs.of_template(estate.aset.spec.template, peers=many).content["peers"] == {}
