"""An estate with osquery hosts, for tests of the channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from osqueryd import Osqueryd
from spoken import Estate, Said

from cloudmon.model.actions import Intent, IntentState, Verb
from cloudmon.model.sets import Application, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import ChannelSettings
from cloudmon.testing import FakeClock

TEMPLATE = Template(
    "web",
    {"*": "image-1"},
    files=("/etc/shop.conf", "/etc/gone.conf"),
    applications={
        "shop": Application(match="/opt/shop", probe={"http": "http://127.0.0.1/", "status": 200}),
        "site": Application(service="nginx", package="nginx", probe={"tcp": 80}),
        "lost": Application(match="it's not there"),
        "odd": Application(probe={"command": ["/bin/true"]}),
    },
)


class Fleet(Estate):
    """An estate with osquery hosts."""

    def __init__(self, **other: Any) -> None:
        super().__init__(settings=ChannelSettings(osquery=True, **other))
        spec = SetSpec("storefront", 2, TEMPLATE)
        self.store.sets.put(self.owner, uid=self.aset.uid, spec=spec, author="file:x", now=self.clock.now())
        self.lossy = 0
        self.statuses: list[int] = []

    def host(self, ordinal: int = 1, token: str = "") -> Osqueryd:
        return Osqueryd(
            (token or self.channel.token(self.id(ordinal), 1)) + "\n", self.send, lambda: self.clock.now().timestamp()
        )

    async def send(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        reply = await self.ask(Said(path, [*raw, (b"content-length", b"%d" % len(body))], body))
        self.statuses.append(reply.status)
        if self.lossy:
            self.lossy -= 1
            raise OSError("the answer is lost")
        return reply.status, reply.body

    @property
    def fake(self) -> FakeClock:
        assert isinstance(self.clock, FakeClock)
        return self.clock

    def agent(self, ordinal: int = 1) -> Any:
        return self.store.agents.get(EVERYONE, self.id(ordinal))

    def sections(self, ordinal: int = 1) -> Any:
        found = self.state(ordinal)
        assert found is not None
        return found.sections


def command(fleet: Fleet, verb: Verb = Verb.REPORT_NOW, **arguments: str) -> str:
    return fleet.command(
        fleet.aset, 1, verb, state=IntentState.RECORDED, arguments=arguments, created_at=fleet.clock.now(),
        deadline=fleet.after(300),
    )  # fmt: skip


def intent(fleet: Fleet, intent_id: str) -> Intent:
    found = fleet.store.intents.get(EVERYONE, intent_id)
    assert found is not None
    return found


def story(told: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(told())  # type: ignore[arg-type]
