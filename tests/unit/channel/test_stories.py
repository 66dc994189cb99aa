"""Whatever gets lost on the way, and whoever restarts when: what an agent saw is in the store, once, and true."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from channelled import intent, order
from spoken import BEGIN_S, Estate, Speaker

from cloudmon.errors import StoreUnavailable
from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.commands import FETCH_S, TERMS, fetch_by
from cloudmon.model.guests import Sections
from cloudmon.testing import FakeClock


class Honest:
    """An agent that keeps what was not taken and sends it again, in order, and tells all when it is asked to."""

    def __init__(self, estate: Estate, speaker: Speaker, rng: random.Random) -> None:
        self._estate = estate
        self._speaker = speaker
        self._rng = rng
        self._kept: list[dict[str, Any]] = []
        self._told: Sections = {}
        self._fresh = True
        self.state: Sections = {"load": {"now": {"one": 0}}}
        self.results: dict[str, dict[str, Any]] = {}
        self.begun: list[str] = []
        self._delivered: set[str] = set()

    def see(self) -> None:
        """Something changes, and is reported."""
        rng = self._rng
        state = {name: dict(items) for name, items in self.state.items()}
        section = rng.choice(["load", "disks", "services"])
        state.setdefault(section, {})[rng.choice("abc")] = {"x": rng.randrange(5)}
        if rng.random() < 0.2 and len(state) > 1:
            state.pop(rng.choice(sorted(state)))
        self.state = state
        due = [result for name, result in self.results.items() if name not in self._delivered]
        if self._fresh:
            self._kept = [self._speaker.full(state, results=due)]
            self._fresh = False
        else:
            self._kept.append(self._speaker.diff(self._told, state, results=due))
        self._told = state

    def reboot(self) -> None:
        self._speaker.boot, self._speaker.seq = f"boot-{self._rng.getrandbits(32):x}", 0
        self._fresh = True

    async def send(self, *, lossy: bool = True) -> None:
        """Send what is kept until something goes wrong."""
        while self._kept:
            content = self._kept[0]
            reply = await self._estate.ask(self._speaker.say("report", content))
            if lossy and self._rng.random() < 0.3:
                return  # it was taken perhaps, and the answer is lost
            if reply.status != 200:
                return
            told = json.loads(reply.body)
            for command in told["commands"]:
                self._perform(command)
            if told["taken"]:
                self._delivered.update(result["id"] for result in content["results"])
                self._kept.pop(0)
            if told["want"] == "full":
                self._fresh = True
                self._kept = []
                self.see()

    def _perform(self, command: dict[str, Any]) -> None:
        if command["id"] not in self.results:
            self.begun.append(command["id"])
            self.results[command["id"]] = {"id": command["id"], "ok": True, "exit": 0, "output": "", "error": ""}


def begun_once_or_too_late(estate: Estate, ordered: list[str], begun: list[str]) -> None:
    intents = [intent(estate, one) for one in ordered]
    late = [one for one in intents if one.state is IntentState.RECORDED]
    assert all(estate.clock.now() >= fetch_by(one) for one in late), "what can still be fetched has been"
    fetched = [one for one in intents if one not in late]
    assert sorted(begun) == sorted(one.id for one in fetched), "each command is begun once, or was too late"
    assert {one.state for one in fetched} <= {IntentState.DONE}
    assert len(late) < max(2, len(ordered) / 2)


@pytest.mark.parametrize("seed", range(12))
def test_what_an_agent_saw_is_in_the_store_once_whatever_is_lost(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    estate = Estate()
    clock = estate.clock
    assert isinstance(clock, FakeClock)
    take = estate.store.reports.take

    def shaky(*words: Any, **named: Any) -> list[bool]:
        if rng.random() < 0.15:
            raise StoreUnavailable
        found = take(*words, **named)
        if rng.random() < 0.15:
            raise StoreUnavailable  # it was written, and nobody heard
        return found

    async def story() -> None:
        agent = Honest(estate, await estate.joined(), rng)
        agent.see()
        ordered = []
        monkeypatch.setattr(estate.store.reports, "take", shaky)
        for _ in range(60):
            clock.advance(rng.uniform(1, 40))
            what = rng.random()
            if what < 0.1:
                estate.channel.close()
                estate.channel = estate.begin()
                clock.advance(BEGIN_S)
            elif what < 0.15:
                agent.reboot()
                agent.see()
            elif what < 0.25:
                ordered.append(order(estate, verb=Verb.JOB_RUN, seconds=FETCH_S + TERMS[Verb.JOB_RUN].timeout_s))
                estate.channel.ring([estate.id()])
            elif what < 0.3:
                estate.channel.want_full([estate.id()])
            else:
                agent.see()
            await agent.send()
        monkeypatch.setattr(estate.store.reports, "take", take)
        for _ in range(4):  # until what was ordered last has come back
            clock.advance(40)
            agent.see()
            await agent.send(lossy=False)
        found = estate.state()
        assert found is not None
        assert found.sections == agent.state
        written = [(one.boot, one.seq) for one in estate.told]
        assert len(written) == len(set(written)), "nobody is told of a report twice"
        begun_once_or_too_late(estate, ordered, agent.begun)

    try:
        asyncio.run(story())
    finally:
        estate.close()
