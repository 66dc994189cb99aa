"""Whatever gets lost on the way, and whoever restarts when: what a host has is in the store in the end, and true."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from osqueryd import Osqueryd
from spoken import Estate, Said

from cloudmon.channel.osquery import folding, queries
from cloudmon.channel.osquery.bodies import Answer
from cloudmon.channel.osquery.folding import Base, Memory
from cloudmon.errors import StoreUnavailable
from cloudmon.model import states
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import ChannelSettings
from cloudmon.testing import FakeClock

SEEDS = 4
STEPS = 60


class Story:
    """One host and its monitor, and everything that can go wrong between them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.estate = Estate(settings=ChannelSettings(osquery=True))
        assert isinstance(self.estate.clock, FakeClock)
        self.clock = self.estate.clock
        self.ahead_s = 0.0
        self.calm = True
        self.forgetful = seed % 2 == 0
        """Whether the host lets lines go that it kept too many of, which nobody can know before it tells all."""
        token = self.estate.channel.token(self.estate.id(), 1)
        self.host = Osqueryd(token, self.send, lambda: self.clock.now().timestamp() + self.ahead_s)
        if self.rng.random() < 0.5:
            self.host.overrides = {"logger_event_type": True, "logger_tls_max_lines": self.rng.choice([1, 3, 50])}
        self._take = self.estate.store.reports.take

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        chance = 1.0 if self.calm else self.rng.random()
        if chance < 0.1:
            raise OSError("nobody there")
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        reply = await self.estate.ask(Said(path, raw, body))
        if chance < 0.25:
            raise OSError("the answer is lost")
        return reply.status, reply.body

    def change(self) -> None:
        """Something goes on in the host."""
        rng, tables = self.rng, self.host.tables
        name = f"p{rng.randrange(6)}"
        known = tables["deb_packages"]
        match rng.randrange(5):
            case 0:
                known[:] = [one for one in known if one["name"] != name]
            case 1:
                known[:] = [one for one in known if one["name"] != name]
                known.append({"name": name, "version": str(rng.random()), "arch": "all", "status": "x ok installed"})
            case 2:
                tables["load_average"][0]["average"] = f"{rng.random():.2f}"
            case 3:
                unit = rng.choice(tables["systemd_units"])
                unit["active_state"] = rng.choice(["active", "failed", "inactive"])
            case 4:
                tables["users"][1]["shell"] = rng.choice(["/bin/sh", "/bin/zsh", ""])

    async def mishap(self) -> None:
        """Something happens to one of the two."""
        rng = self.rng
        match rng.choice(range(7) if self.forgetful else (0, 1, 2, 5, 6)):
            case 0:
                self.estate.channel.close()
                self.estate.channel = self.estate.begin()
            case 1:
                self.host.restart()
            case 2:
                self.ahead_s = rng.choice([0.0, 7_200.0, -7_200.0])
            case 3:
                self.clock.advance(rng.choice([60, 3_600, 90_000]))
            case 4:
                lines = self.host.database["lines"]
                for key in sorted(lines)[: len(lines) // 2]:
                    del lines[key]  # it kept too many
            case 5:
                self.host.database["node_key"] = "cmo1.k.a.1.1.1.1." + "A" * 43
            case 6:
                self.away(rng.random() < 0.7)

    def away(self, is_away: bool) -> None:
        def nothing(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("the store is away")

        self.estate.store.reports.take = nothing if is_away else self._take  # type: ignore[method-assign]

    def truth(self) -> dict[str, Any]:
        """What the host would tell whoever asks for all of it."""
        template = self.estate.store.sets.get(EVERYONE, self.estate.aset.uid)
        assert template is not None
        asked = queries.schedule({"applications": {}, "files": []}, template.spec.template.report_interval_s)
        told = [Answer(f"x/{name}", True, self.host.sql(one.sql) or [], "") for name, one in asked.queries.items()]
        now = self.clock.now().timestamp()
        return dict(folding.answers(Base(asked, {}, Memory(), now, "5.12.1"), told).sections)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_the_end_the_store_has_what_the_host_has(seed: int) -> None:
    async def told() -> None:
        story = Story(seed)
        host = story.host
        assert await host.node_key()
        story.calm = False
        for _ in range(STEPS):
            story.change()
            if story.rng.random() < 0.2:
                await story.mishap()
            story.clock.advance(story.rng.choice([1, 30, 60]))
            await host.refresh()
            host.run(*story.rng.choice([(), (), ("packages",), ("load", "services")]))
            for _ in range(story.rng.randrange(4)):
                await host.flush()
            if story.rng.random() < 0.3:
                await host.distributed()
        # From here on all is well.
        story.away(False)
        story.calm, story.ahead_s = True, 0.0
        if story.forgetful:
            story.clock.advance(86_400)  # all is told whole once a day
        for _ in range(3):
            await host.talk()
            story.clock.advance(60)
        found, true = dict(story.estate.state().sections), story.truth()
        for name in ("system", "processes"):  # reckoned by instants, which the others are not
            found.pop(name), true.pop(name)
        assert found == true
        agent = story.estate.store.agents.get(EVERYONE, story.estate.id())
        assert agent is not None
        assert agent.hash == states.state_hash(story.estate.state().sections)
        # Each report that was taken was taken once, and built on the one before it.
        bases = [(report.base, report.hash) for report in story.estate.told]
        assert all(base in ("", before) for (base, _), (_, before) in zip(bases[1:], bases, strict=False))
        assert len({(report.boot, report.seq) for report in story.estate.told}) == len(story.estate.told)
        story.estate.close()

    asyncio.run(told())
