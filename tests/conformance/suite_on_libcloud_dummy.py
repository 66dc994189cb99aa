"""The suite on libcloud's own ``DummyNodeDriver`` through the plain adapter; run by ``test_libcloud_dummy_fails``.

Not collected by itself: most of it fails, which is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from libcloud.compute.base import NodeImage, NodeSize
from libcloud.compute.drivers.dummy import DummyNodeDriver

from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon.testing import FakeClock, ProviderConformance
from cloudmon_providers._libcloud import LibcloudProvider


class PlainProvider(LibcloudProvider):
    """The adapter, with what it takes to call this driver and nothing more."""

    def connect(self) -> DummyNodeDriver:
        return DummyNodeDriver(0)

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        size = NodeSize(request.offer.size, request.offer.size, 0, 0, 0, 0.0, self.driver)
        return {"name": request.name, "size": size, "image": NodeImage(request.image, request.image, self.driver)}


class TestLibcloudDummy(ProviderConformance):
    column = "libcloud's dummy"
    settle_s = 10

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def provider(self, clock: FakeClock) -> PlainProvider:
        return PlainProvider("plain", now=clock.now, driver_class=DummyNodeDriver)

    @pytest.fixture
    def offer(self, provider: PlainProvider) -> Offer:
        return provider.list_offers()[0]

    @pytest.fixture
    def pass_time(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance
