"""Writes in groups: what waits is written together, in order, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudmon.channel.grouping import Full, Grouped


class Writer:
    """Writes down what it is told to write; each group waits until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.groups: list[list[str]] = []
        self.go = threading.Event()
        self.begun = threading.Event()
        self.error: Exception | None = None
        if not held:
            self.go.set()

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.begun.set()
        self.go.wait(30)
        self.groups.append(list(items))
        if self.error is not None:
            raise self.error
        return [item.upper() for item in items]


async def begun(writer: Writer) -> None:
    await asyncio.get_running_loop().run_in_executor(None, writer.begun.wait, 30)


def test_what_arrives_during_a_write_is_written_together_by_the_next() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor)
        first = asyncio.ensure_future(grouped.put("a", "one"))
        await begun(writer)
        rest = [asyncio.ensure_future(grouped.put(owner, owner)) for owner in "bcd"]
        await asyncio.sleep(0)
        writer.go.set()
        assert await asyncio.gather(first, *rest) == ["ONE", "B", "C", "D"]

    writer = Writer(held=True)
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    assert writer.groups == [["one"], ["b", "c", "d"]]


def test_one_owners_items_are_written_one_after_another_in_their_order() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor)
        told = [grouped.put("a", "a1"), grouped.put("a", "a2"), grouped.put("b", "b1"), grouped.put("a", "a3")]
        assert await asyncio.gather(*told) == ["A1", "A2", "B1", "A3"]

    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    assert [item for group in writer.groups for item in group if item.startswith("a")] == ["a1", "a2", "a3"]
    assert all(len([item for item in group if item.startswith("a")]) <= 1 for group in writer.groups)
    assert "b1" in writer.groups[0], "nobody waits behind another one's queue"


def test_a_group_has_its_bounds() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor, most_at_once=2)
        await asyncio.gather(*(grouped.put(f"{at}", f"{at}") for at in range(5)))

    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    assert [len(group) for group in writer.groups] == [2, 2, 1]


def test_who_comes_too_soon_after_a_group_waits_for_the_distance_and_no_longer() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor, apart_s=0.02)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await grouped.put("a", "a") == "A"
        assert await asyncio.wait_for(grouped.put("b", "b"), 30) == "B"
        assert loop.time() - began >= 0.02

    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())


def test_what_comes_within_the_distance_is_written_together_and_a_full_group_keeps_none() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor, apart_s=3_600, most_at_once=2)
        assert await grouped.put("a", "a") == "A"
        waiting = asyncio.ensure_future(grouped.put("b", "b"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert await asyncio.gather(waiting, grouped.put("c", "c")) == ["B", "C"]

    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
    assert writer.groups == [["a"], ["b", "c"]]


@pytest.mark.parametrize("bounds", [{"most_waiting": 2}, {"most_bytes": 20}], ids=["items", "bytes"])
def test_a_full_queue_says_so_at_once_and_takes_in_again_later(bounds: dict[str, int]) -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor, **bounds)
        first = asyncio.ensure_future(grouped.put("a", "a", 10))
        await begun(writer)
        waiting = [asyncio.ensure_future(grouped.put(owner, owner, 10)) for owner in "bc"]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await grouped.put("d", "d", 10)
        writer.go.set()
        assert await asyncio.gather(first, *waiting) == ["A", "B", "C"]
        assert await grouped.put("d", "d", 10) == "D"

    writer = Writer(held=True)
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())


def test_a_write_that_fails_fails_for_its_group_and_for_nobody_else() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor)
        writer.error = OSError("away")
        found = await asyncio.gather(grouped.put("a", "a"), grouped.put("b", "b"), return_exceptions=True)
        assert [type(one) for one in found] == [OSError, OSError]
        writer.error = None
        assert await grouped.put("a", "a") == "A"

    writer = Writer()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())


def test_who_goes_away_while_he_waits_stops_nobody() -> None:
    async def story() -> None:
        grouped: Grouped[str, str] = Grouped(writer, executor)
        gone = asyncio.ensure_future(grouped.put("a", "a"))
        await begun(writer)
        stays = asyncio.ensure_future(grouped.put("b", "b"))
        await asyncio.sleep(0)
        gone.cancel()
        writer.go.set()
        assert await stays == "B"

    writer = Writer(held=True)
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())
