"""Writes that wait for each other: what arrives while one is under way is written together by the next.

A commit costs the same for one report as for a hundred, so a busy channel writes in groups, and a quiet one at once.
Where groups keep a distance they are larger: a fast disk would else commit four reports at a time, four hundred times a
second, and the commits would cost as much of the processor as the reports.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Full(Exception):
    """So much waits already that nothing more is taken in."""


class _Waiting(NamedTuple):
    owner: Hashable
    item: object
    size: int
    done: asyncio.Future[object]


class Grouped(Generic[T, R]):
    """A queue before one writer. Used from one event loop.

    Arguments:
        write: writes a group, on the executor's thread, and returns one result for each item, in order; what it raises
            is raised to everybody in the group. Never called twice at once.
        executor: whose threads write.
        most_at_once: items in one group.
        most_waiting: items that may wait.
        most_bytes: size of all that waits.
        apart_s: seconds from the begin of one group to the begin of the next; a group that is full does not wait.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Sequence[R]],
        executor: Executor,
        *,
        most_at_once: int = 200,
        most_waiting: int = 4_000,
        most_bytes: int = 64 << 20,
        apart_s: float = 0.0,
    ) -> None:
        self._write = write
        self._executor = executor
        self._most_at_once = most_at_once
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._apart_s = apart_s
        self._begin_at = 0.0
        """By the loop's clock: no group begins before."""
        self._full = asyncio.Event()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._writing: asyncio.Task[None] | None = None

    async def put(self, owner: Hashable, item: T, size: int = 0) -> R:
        """Have ``item`` written, after all that came before it from the same owner; its result once it is.

        Raises Full at once when too much waits, and what the write raises.
        """
        if len(self._queue) >= self._most_waiting or self._bytes + size > self._most_bytes:
            raise Full
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(owner, item, size, done))
        self._bytes += size
        if len(self._queue) >= self._most_at_once:
            self._full.set()
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._run())
        return await done  # type: ignore[return-value]

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._keep_apart()
                await self._one(self._group())
        finally:
            self._writing = None

    async def _keep_apart(self) -> None:
        loop = asyncio.get_running_loop()
        if self._apart_s and loop.time() < self._begin_at and len(self._queue) < self._most_at_once:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._begin_at):
                    await self._full.wait()
        self._begin_at = loop.time() + self._apart_s

    async def _one(self, group: list[_Waiting]) -> None:
        items: list[T] = [waiting.item for waiting in group]  # type: ignore[misc]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, self._write, items)
        except BaseException as error:
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for waiting, result in zip(group, results, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(result)

    def _group(self) -> list[_Waiting]:
        """The next group: oldest first, one of each owner, since what is taken of him next depends on this one."""
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        owners: set[Hashable] = set()
        while self._queue and len(group) < self._most_at_once:
            waiting = self._queue.popleft()
            if waiting.owner in owners:
                later.append(waiting)
            else:
                owners.add(waiting.owner)
                group.append(waiting)
                self._bytes -= waiting.size
        self._queue.extendleft(reversed(later))
        return group
