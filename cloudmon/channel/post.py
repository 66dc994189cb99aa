"""Commands on their way to appliances: found in the store, marked as handed out, repeated until a result comes.

What is open for an appliance is read once and kept until somebody rings: this process writes all intents while it owns
the estate. An agent without a command waits on an event and holds no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from cloudmon.channel.grouping import Grouped
from cloudmon.clock import Clock
from cloudmon.model.actions import Intent, IntentState, LogEntry
from cloudmon.model.changes import Change, IntentUpdate
from cloudmon.model.commands import TERMS, fetch_by
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Ownership, Store

REPEAT_S = 30.0
"""Seconds after which a reply to a report repeats a command that has no result. A poll says what it has, so the reply
to one repeats whatever else is open."""

FRESH_S = 300.0
"""Seconds after which a poll reads again what is open, though nobody rang."""

MOST_HANDED = 20_000

_NONE: tuple[Intent, ...] = ()


class Post:
    """Hands commands out. Used from one event loop but for :meth:`ring`."""

    def __init__(
        self,
        store: Store,
        owner_of: Callable[[], Ownership],
        clock: Clock,
        *,
        writer: Executor,
        readers: Executor,
    ) -> None:
        self._store = store
        self._owner_of = owner_of
        self._clock = clock
        self._readers = readers
        self._open: dict[ApplianceId, tuple[float, tuple[Intent, ...]]] = {}
        self._handed: dict[str, float] = {}
        self._waiting: dict[ApplianceId, asyncio.Future[None]] = {}
        self._rung = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._marks: Grouped[Sequence[Intent], Sequence[bool]] = Grouped(self._mark, writer)

    # --- bells --------------------------------------------------------------------------------------------------------

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        """There may be something new for these: read again what is open for them, and answer those who wait. From any
        thread; returns at once."""
        loop = self._loop
        if loop is None:
            return  # nobody asked yet, so nothing is kept
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all who waited
            loop.call_soon_threadsafe(self._ring, tuple(appliances))

    def _ring(self, appliances: Sequence[ApplianceId]) -> None:
        self._rung += 1
        for appliance in appliances:
            self._open.pop(appliance, None)
            self._wake(appliance)

    def retell(self, set_uids: Iterable[str], first: Callable[[str], None]) -> None:
        """What the agents of these sets are told is another thing: ``first`` is told of each set, then all who wait
        for one of its appliances are answered. From any thread; returns at once."""
        loop = self._loop
        if loop is None:
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._retell, frozenset(set_uids), first)

    def _retell(self, set_uids: Collection[str], first: Callable[[str], None]) -> None:
        for uid in set_uids:
            first(uid)
        for appliance in [one for one in self._waiting if one.set_uid in set_uids]:
            self._wake(appliance)

    def _wake(self, appliance: ApplianceId) -> None:
        waiting = self._waiting.pop(appliance, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def wait(self, appliance: ApplianceId, timeout_s: float) -> None:
        """Wait until somebody rings for the appliance, or so long. A second one who waits for it ends the first."""
        if self._closed or timeout_s <= 0:
            return
        loop = self._loop = asyncio.get_running_loop()
        self._wake(appliance)
        waiting = self._waiting[appliance] = loop.create_future()
        timer = loop.call_later(timeout_s, _end, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            if self._waiting.get(appliance) is waiting:
                del self._waiting[appliance]

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Let all go who wait, and let nobody wait any more. From any thread."""
        self._closed = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for appliance in tuple(self._waiting):
            self._wake(appliance)

    # --- letters ------------------------------------------------------------------------------------------------------

    async def due(self, agent: Agent, have: frozenset[str] | None) -> list[dict[str, Any]]:
        """The commands to hand to an agent now, oldest first, as the wire has them.

        Arguments:
            have: ids that a poll says it has; None in a reply to a report, which does not say.

        Raises StoreError when the store is away: what is not marked as handed out is not handed out.
        """
        found = await self._known(agent.appliance, polled=have is not None)
        if not found:
            return []
        now = self._clock.now()
        found = tuple(one for one in found if one.incarnation == agent.incarnation and now < one.deadline)
        late = {one.id for one in found if one.state is IntentState.RECORDED and now >= fetch_by(one)}
        if late:
            # Nobody begins these any more; read again, in case one was marked and the answer to that was lost.
            self._open.pop(agent.appliance, None)
            found = tuple(one for one in found if one.id not in late)
        fresh = [one for one in found if one.state is IntentState.RECORDED and one.id not in (have or ())]
        if fresh:
            marked = await self._marks.put(agent.appliance, fresh)
            if not all(marked):
                self._open.pop(agent.appliance, None)
            refused = {one.id for one, is_marked in zip(fresh, marked, strict=True) if not is_marked}
            found = tuple(one for one in found if one.id not in refused)
        return [self._letter(one, now) for one in found if self._is_due(one, have, fresh)]

    def settle(self, appliance: ApplianceId, intent_ids: Iterable[str]) -> None:
        """Results of these were written: they are not repeated."""
        known = self._open.get(appliance)
        ended = set(intent_ids)
        for intent_id in ended:
            self._handed.pop(intent_id, None)
        if known is not None:
            self._open[appliance] = (known[0], tuple(one for one in known[1] if one.id not in ended))

    async def _known(self, appliance: ApplianceId, *, polled: bool) -> tuple[Intent, ...]:
        known = self._open.get(appliance)
        monotonic = self._clock.monotonic()
        if known is not None and (not polled or monotonic - known[0] < FRESH_S):
            return known[1]
        loop = self._loop = asyncio.get_running_loop()
        rung = self._rung
        found = tuple(await loop.run_in_executor(self._readers, self._fetch, appliance)) or _NONE
        if rung == self._rung:  # else somebody rang meanwhile, perhaps for what was read too early
            self._open[appliance] = (monotonic, found)
        return found

    def _fetch(self, appliance: ApplianceId) -> list[Intent]:
        # What was handed to the cloud, since no agent spoke, is no agent's any more.
        found = self._store.intents.commands(EVERYONE, appliance)
        return [one for one in found if one.result.get("by") != "cloud"]

    def _is_due(self, intent: Intent, have: frozenset[str] | None, fresh: Sequence[Intent]) -> bool:
        if intent.id in (have or ()):
            return False
        if have is not None or intent in fresh:
            return True
        return self._clock.monotonic() - self._handed.get(intent.id, float("-inf")) >= REPEAT_S

    def _letter(self, intent: Intent, now: dt.datetime) -> dict[str, Any]:
        monotonic = self._clock.monotonic()
        if len(self._handed) >= MOST_HANDED:  # those whose results never came
            self._handed = {one: at for one, at in self._handed.items() if monotonic - at < REPEAT_S}
        self._handed[intent.id] = monotonic
        left_s = (intent.deadline - now).total_seconds()
        return {
            "id": intent.id,
            "verb": intent.verb.value,
            "arguments": dict(intent.arguments),
            "expires_at": int(intent.deadline.timestamp()),
            "timeout_s": round(max(1.0, min(TERMS[intent.verb].timeout_s, left_s)), 1),
        }

    # --- on the thread that writes ------------------------------------------------------------------------------------

    def _mark(self, groups: Sequence[Sequence[Intent]]) -> list[list[bool]]:
        """Write that these are handed out; False for one that is not open any more."""
        now = self._clock.now()
        changes = [_performed(intent, now) for group in groups for intent in group]
        results = iter(self._store.ledger.write(self._owner_of(), changes, now=now))
        marked = [[next(results) for _ in group] for group in groups]
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._note, groups, marked)
        return marked

    def _note(self, groups: Sequence[Sequence[Intent]], marked: Sequence[Sequence[bool]]) -> None:
        """What is kept is as it was written."""
        for group, results in zip(groups, marked, strict=True):
            done = {intent.id for intent, is_marked in zip(group, results, strict=True) if is_marked}
            known = self._open.get(group[0].appliance)
            if known is not None:
                kept = tuple(replace(one, state=IntentState.PERFORMED) if one.id in done else one for one in known[1])
                self._open[group[0].appliance] = (known[0], kept)


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _performed(intent: Intent, now: dt.datetime) -> Change:
    uid, ordinal = intent.appliance
    body = {"verb": intent.verb.value, "ordinal": ordinal, "incarnation": intent.incarnation, "by": "agent"}
    update = IntentUpdate(
        intent.id, frozenset({IntentState.RECORDED}), IntentState.PERFORMED, {"attempts": intent.attempts + 1}
    )
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        intents=(update,),
        log=(LogEntry(uid, now, "intent.performed", intent.id, body),),
    )
