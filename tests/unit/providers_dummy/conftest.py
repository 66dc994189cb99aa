"""A dummy cloud of the test's own, and requests for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings

Make = Callable[..., DummyProvider]
Ask = Callable[..., NodeRequest]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cloud(clock: FakeClock) -> Make:
    """Makes a provider of a new world with these settings; ``world`` names a shared one."""

    def make(name: str = "east", **settings: Any) -> DummyProvider:
        options = DummySettings(**{"world": f"memory:{uuid.uuid4()}", **settings})
        return DummyProvider(name, options, now=clock.now, timeout_s=30)

    return make


@pytest.fixture
def ask() -> Ask:
    """Makes a create request for an offer of the provider."""

    def make(provider: DummyProvider, ordinal: int = 1, incarnation: int = 1, **other: Any) -> NodeRequest:
        token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, incarnation)
        values: dict[str, Any] = {
            "token": str(token),
            "name": f"web-{ordinal}",
            "offer": provider.world.offers(provider.cloud)[0],
            "image": "img",
            "tags": ownership_tags(token, set_name="web", tenant="default"),
        }
        return NodeRequest(**{**values, **other})

    return make
