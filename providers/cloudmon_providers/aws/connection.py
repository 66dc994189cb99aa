"""libcloud's EC2 connection, used for what it does well (signing, sessions), and kept from what costs or lies.

Every call is a POST, since a GET carries user data and tokens in its URL; the answer stays bytes, since libcloud would
guess its encoding and build a tree of it; any region works, not only those that libcloud has written down.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

from libcloud.common.aws import AWSRequestSignerAlgorithmV4
from libcloud.compute.drivers.ec2 import API_VERSION, EC2Connection, EC2NodeDriver, EC2Response

from cloudmon_providers.aws import faults
from cloudmon_providers.aws.credentials import Credentials

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

_DOMAINS: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
)


def host(region: str) -> str:
    """Name of the region's EC2 endpoint."""
    domain = next((domain for prefix, domain in _DOMAINS if region.startswith(prefix)), "amazonaws.com")
    return f"ec2.{region}.{domain}"


class Signer(AWSRequestSignerAlgorithmV4):
    """SigV4 by our clock: libcloud asks the machine's, in a way that Python 3.12 and newer warn about."""

    def get_request_headers(
        self,
        params: dict[str, str],
        headers: dict[str, str],
        method: str = "GET",
        path: str = "/",
        data: str | None = None,
    ) -> tuple[dict[str, str], dict[str, str]]:
        now: dt.datetime = self.connection.driver.now()
        headers["X-AMZ-Date"] = now.strftime("%Y%m%dT%H%M%SZ")
        libcloud: Any = self
        headers["X-AMZ-Content-SHA256"] = libcloud._get_payload_hash(method, data)
        headers["Authorization"] = libcloud._get_authorization_v4_header(
            params=params, headers=headers, dt=now, method=method, path=path, data=data
        )
        return params, headers


class Response(EC2Response):
    """An answer as bytes, or the error of ours that it stands for."""

    object: bytes

    def __init__(self, response: Any, connection: Any) -> None:
        # Past libcloud's own: it decodes the whole body, guessing where no charset is named.
        self.connection = connection
        self.status = response.status_code
        self.object = response.content
        if self.status != 200:
            code, message = _words(self.object)
            wish = str(response.headers.get("Retry-After", ""))
            raise faults.of(
                code,
                message,
                self.status,
                cloud=connection.driver.cloud,
                verb=connection.driver.action,
                retry_after_s=float(wish) if wish.isdecimal() else None,
            )


class Connection(EC2Connection):
    """One session with EC2."""

    responseCls = Response  # noqa: N815 - libcloud's name

    def __init__(self, *arguments: Any, **named: Any) -> None:
        libcloud: Any = super()
        libcloud.__init__(*arguments, **named)
        signer: Any = Signer
        self.signer = signer(self.user_id, self.key, version=self.version, connection=self)


class Ec2(EC2NodeDriver):
    """libcloud's driver for any region, with one verb: :meth:`ask`."""

    connectionCls = Connection  # noqa: N815 - libcloud's name

    def __init__(
        self,
        cloud: str,
        credentials: Credentials,
        *,
        region: str,
        endpoint: str,
        timeout_s: float,
        now: Callable[[], dt.datetime],
    ) -> None:
        self.cloud = cloud
        self.now = now
        self.action = ""
        self.region_name = region
        self.token = credentials.session_token
        self.api_name = f"ec2_{region}"
        self.country = ""
        self.signature_version = "4"
        parts = urlsplit(endpoint or f"https://{host(region)}")
        secure = parts.scheme == "https"
        # Past EC2NodeDriver's own: it refuses regions that it does not know.
        libcloud: Any = super(EC2NodeDriver, self)
        libcloud.__init__(
            key=credentials.access_key,
            secret=credentials.secret_key,
            secure=secure,
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            timeout=timeout_s,
        )

    def ask(self, action: str, parameters: Mapping[str, str]) -> bytes:
        """One call of EC2's query API. Errors of EC2 are ours already; those of the connection are requests'."""
        self.action = action
        body = urlencode({"Action": action, "Version": API_VERSION, **parameters})
        # No retry below us: ours knows the token and the deadline.
        connection: Any = self.connection
        answer: bytes = connection.request(self.path, data=body, headers=FORM, method="POST", retry_failed=False).object
        return answer


def _words(body: bytes) -> tuple[str, str]:
    """Code and message of an error document; empty ones when it is none (a proxy's page, an empty body)."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - bounded by EC2's endpoint; expat refuses expanding entities
    except ET.ParseError:
        return "", ""
    found = root.find(".//{*}Error")
    if found is None:
        return "", ""
    return found.findtext("{*}Code", ""), found.findtext("{*}Message", "")
