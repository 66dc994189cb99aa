"""Words in which tests of the channel tell what agents go through."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from spoken import Estate, Said, Speaker
from structlog.testing import capture_logs

from cloudmon.errors import StoreUnavailable
from cloudmon.model import states
from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.tenants import EVERYONE
from cloudmon.testing import FakeClock

Story = Callable[[Estate], Awaitable[None]]


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


def unavailable(*_words: Any, **_named: Any) -> Any:
    raise StoreUnavailable


def order(
    estate: Estate, ordinal: int = 1, *, verb: Verb = Verb.APP_RESTART, seconds: float = 600, **other: Any
) -> str:
    """Write a command down, as the monitor does, without ringing."""
    now = estate.clock.now()
    told = {"state": IntentState.RECORDED, "created_at": now, "deadline": estate.after(seconds), **other}
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
