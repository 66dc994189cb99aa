"""The generic provider's options for libcloud's own EC2 driver against moto, and what makes these two understand each
other."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from libcloud.compute.drivers.ec2 import NAMESPACE, EC2Connection, EC2NodeDriver, EC2Response


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


def options(url: str) -> dict[str, Any]:
    """``[clouds.<name>.options]`` for the EC2 endpoint at ``url``."""
    parts = urlsplit(url)
    return {
        "driver": "generic_ec2:MotoEc2",
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
