"""The dummy cloud keeps every law: without delays, with delays, lag and small pages, without tokens, and in a file."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cloudmon.model.offers import Offer
from cloudmon.testing import FakeClock, ProviderConformance
from cloudmon_providers.dummy import DummyProvider, DummySettings


class _OnDummy(ProviderConformance):
    unknown_id = "vm-0000000000"
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def world(self) -> str:
        return f"memory:{uuid.uuid4()}"

    @pytest.fixture
    def provider(self, clock: FakeClock, world: str) -> DummyProvider:
        options = DummySettings(world=world, **self.settings)
        return DummyProvider("dummy", options, now=clock.now, timeout_s=30)

    @pytest.fixture
    def offer(self, provider: DummyProvider) -> Offer:
        return provider.list_offers()[0]

    @pytest.fixture
    def pass_time(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


class TestDummy(_OnDummy):
    column = "dummy"
    settings: ClassVar[dict[str, Any]] = {
        "boot_s": 20,
        "stop_s": 10,
        "terminate_s": 10,
        "events": True,
        "commands": True,
    }


class TestDummyAtOnce(_OnDummy):
    """No delay anywhere, and terminated machines are not shown."""

    settings: ClassVar[dict[str, Any]] = {"terminated_shown_s": 0}


class TestDummyThatLagsAndPages(_OnDummy):
    """Listings are late, and two machines long."""

    settings: ClassVar[dict[str, Any]] = {
        "seed": 7,
        "boot_s": 20,
        "stop_s": 10,
        "terminate_s": 10,
        "listing_lag_s": 60,
        "page_size": 2,
    }


class TestDummyWithoutTokens(_OnDummy):
    """The adapter looks for the tag first."""

    settings: ClassVar[dict[str, Any]] = {"tokens": False, "boot_s": 20}


class TestDummyInAFile(_OnDummy):
    settings: ClassVar[dict[str, Any]] = {"boot_s": 20}

    @pytest.fixture
    def world(self, tmp_path: Path) -> str:
        return str(tmp_path / "world.db")
