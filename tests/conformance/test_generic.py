"""The generic adapter keeps every law, configured for libcloud's EC2 driver, against moto, over the wire."""

from __future__ import annotations

import datetime as dt
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from libcloud.compute.drivers.ec2 import NAMESPACE, EC2Connection, EC2NodeDriver, EC2Response

from cloudmon.model.offers import Offer
from cloudmon.testing import ProviderConformance
from cloudmon_providers.generic import GenericProvider
from cloudmon_providers.generic.options import GenericOptions

# libcloud's own EC2 signing asks for the time in a way that Python 3.12 and newer warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class Response(EC2Response):
    """moto answers in a namespace of its own, in which libcloud finds nothing."""

    def parse_body(self) -> Any:
        self.body = re.sub(r'xmlns="[^"]*"', f'xmlns="{NAMESPACE}"', self.body, count=1)
        return super().parse_body()

    def parse_error(self) -> Any:
        self.body = re.sub(r' xmlns="[^"]*"', "", self.body, count=1)
        return super().parse_error()


class Connection(EC2Connection):
    responseCls = Response  # noqa: N815 - libcloud's name

    def request(self, action: str, params: dict[str, Any] | None = None, **named: Any) -> Any:
        """libcloud numbers tags from zero, which EC2 takes and moto does not."""
        found = {re.sub(r"\.(\d+)", _next, key): value for key, value in (params or {}).items()}
        return super().request(action, params=found if found.get("Action") == "CreateTags" else params, **named)


def _next(number: re.Match[str]) -> str:
    return f".{int(number.group(1)) + 1}"


class MotoEc2(EC2NodeDriver):
    connectionCls = Connection  # noqa: N815 - libcloud's name


@pytest.fixture
def options(moto_ec2: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    module = types.ModuleType("conformance_drivers")
    module.MotoEc2 = MotoEc2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "conformance_drivers", module)
    parts = urlsplit(moto_ec2)
    return {
        "driver": "conformance_drivers:MotoEc2",
        # Dummy credentials, always given: nothing of this machine's environment may ever reach a test.
        "key": "testing",
        "secret": "testing",
        "arguments": {
            "host": parts.hostname,
            "port": parts.port,
            "secure": False,
            "region": "us-east-1",
            "signature_version": "4",
        },
        "listing_root": "{http://ec2.amazonaws.com/doc/2016-11-15/}DescribeInstancesResponse",
        "fields": {
            "location": "extra.availability",
            "size": "extra.instance_type",
            "image": "extra.image_id",
            "created": "extra.launch_time",
            "words": ["extra.status"],
        },
        "words": {"stopping": "stopping", "shutting-down": "terminating"},
        "create": {
            "ex_metadata": "{tags}",
            "ex_userdata": "{user_data}",
            "ex_clienttoken": "{token}",
        },
        "honours_tokens": False,  # EC2 does, moto does not
        "location_by": "name",
        "sizes": ["t3.micro", "m5.large"],
        "codes": {
            "InvalidInstanceID.NotFound": "NotFound",
            "InvalidInstanceType.NotFound": "NotFound",
            "InvalidAMIID.NotFound": "NotFound",
        },
    }


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
