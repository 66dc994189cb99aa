"""The generic adapter keeps every law, configured for libcloud's EC2 driver, against moto, over the wire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import generic_ec2
import pytest

from cloudmon.model.offers import Offer
from cloudmon.testing import ProviderConformance
from cloudmon_providers.generic import GenericProvider
from cloudmon_providers.generic.options import GenericOptions

# libcloud's own EC2 signing asks for the time in a way that Python 3.12 and newer warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def options(moto_ec2: str) -> dict[str, Any]:
    return generic_ec2.options(moto_ec2)


class TestGenericOnEc2(ProviderConformance):
    column = "generic (ec2)"
    image = "ami-12c6146b"
    settle_s = 2
    step_s = 1

    @pytest.fixture
    def provider(self, options: dict[str, Any]) -> Iterator[GenericProvider]:
        provider = GenericProvider(
            "generic", GenericOptions.model_validate(options), now=lambda: dt.datetime.now(dt.UTC), timeout_s=30
        )
        yield provider
        provider.reset()

    @pytest.fixture
    def offer(self) -> Offer:
        return Offer("generic", "m5.large", "us-east-1a", 2, 8_192, 0)  # a law holds it to the real offers

    @pytest.fixture
    def pass_time(self) -> Callable[[float], None]:
        return lambda _: None  # moto's machines change at the next look
