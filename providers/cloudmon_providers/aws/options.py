"""``[clouds.<name>.options]`` of an AWS cloud, and what a template may say of its create call."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

_REGION = re.compile(r"[a-z]{2,5}(-[a-z]+)+-[0-9]+")


class Group(BaseModel):
    """What all groups share: values are replaced, never edited, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CreateOptions(Group):
    """``[templates.<name>.options.<cloud>]``: what this template wants otherwise than the cloud's options say.

    None leaves what the cloud's options say.
    """

    subnet: str | None = None
    """Id of the subnet to launch in; its zone must be the offer's."""
    security_groups: tuple[str, ...] | None = None
    """Ids of security groups."""
    key_name: str | None = None
    """Name of the key pair."""
    iam_profile: str | None = None
    """Name or ARN of the instance profile."""
    public_address: bool | None = None
    """Whether the instance gets a public address."""
    root_volume_gib: int | None = Field(default=None, ge=1, le=65_536)
    """Size of the root volume."""


class PriceList(Group):
    """Prices of one's own, for clouds and contracts that the Pricing API does not know."""

    dated: dt.date
    """The day the prices speak of."""
    currency: str = "USD"
    """ISO 4217 code."""
    per_hour: dict[str, Decimal]
    """Price by instance type; what is not positive is unknown."""


class AwsOptions(Group):
    """One account and region of EC2."""

    region: str
    """Region code; any, not only those that libcloud knows."""
    access_key: str = ""
    """Access key id. Empty: boto3's own chain (environment, profile, role of the instance) gives the credentials."""
    secret_key: SecretStr | None = None
    """Secret access key; ``secret_key_file`` reads it from a file."""
    session_token: SecretStr | None = None
    """Token of temporary credentials. None: they are lasting ones."""
    profile: str = ""
    """Profile for boto3's chain. Empty: its default."""
    endpoint: str = ""
    """URL that answers in place of EC2, of SQS and of Systems Manager, such as ``http://127.0.0.1:5000``. Empty: the
    region's own."""
    run_command: bool = False
    """Whether commands inside appliances whose agent does not speak go by Systems Manager. It needs its agent in the
    image, an instance profile that lets it in, and the permissions ``ssm:SendCommand`` and
    ``ssm:GetCommandInvocation``."""
    firewall: bool = False
    """Whether instances can be isolated, and members of a set let talk to each other, by security groups: one a VPC
    without any rule, ``cloudmon-isolated``, and one a set. It needs the permissions ``ec2:DeleteTags``,
    ``DescribeNetworkInterfaces``, ``ModifyNetworkInterfaceAttribute``, ``DescribeSecurityGroups``,
    ``CreateSecurityGroup``, ``DeleteSecurityGroup``, ``AuthorizeSecurityGroupIngress``, ``RevokeSecurityGroupIngress``,
    ``AuthorizeSecurityGroupEgress`` and ``RevokeSecurityGroupEgress``. A connection that is open when its instance is
    isolated may live on for a while: EC2 goes by what it tracks."""
    events_queue: str = ""
    """URL of an SQS queue of this region to which an EventBridge rule sends "EC2 Instance State-change Notification":
    a node that changes is then looked at within seconds, and not at the next poll. It needs the permissions
    ``sqs:ReceiveMessage`` and ``sqs:DeleteMessage``; one queue a monitor. Empty: the poll alone."""
    honours_tokens: bool = True
    """Whether the same client token in two create calls makes one instance. EC2 does; imitations that do not are
    asked for the token's tag before each create, which is as good as their listing is fresh."""
    zones: tuple[str, ...] = ()
    """Availability zones to offer. Empty: all, or those of ``subnets``."""
    instance_types: tuple[str, ...] = ()
    """Instance types to offer, ``*`` and ``?`` allowed. Empty: all."""
    subnets: dict[str, str] = Field(default_factory=dict)
    """Subnet by availability zone. Empty: the default subnet of the zone; else only these zones are offered."""
    security_groups: tuple[str, ...] = ()
    """Ids of security groups. Empty: the VPC's default group."""
    key_name: str = ""
    """Name of the key pair. Empty: none."""
    iam_profile: str = ""
    """Name or ARN of the instance profile. Empty: none."""
    public_address: bool | None = None
    """Whether instances get a public address. None: as the subnet says."""
    root_volume_gib: int = Field(default=8, ge=1, le=65_536)
    """Size of each root volume, shown as the offers' disk; an image that is larger keeps its own size."""
    require_imdsv2: bool = True
    """Whether instances give metadata and credentials to token-bearing requests only."""
    spot: bool = True
    """Whether spot capacity is offered too, where it has a price; it needs the permission
    ``ec2:DescribeSpotPriceHistory``. Only sets whose needs say ``spot`` are placed there. EC2 takes such instances back
    at any time and stops none of them."""
    pricing: bool = True
    """Whether the Pricing API is asked; it needs the permission ``pricing:GetProducts``."""
    pricing_endpoint: str = ""
    """URL that answers in place of the Pricing API. Empty: AWS's own, in ``us-east-1`` for most regions."""
    price_list: PriceList | None = None
    """Prices where the Pricing API gives none; ``price_list_file`` reads them from a file of JSON. None: only the
    old table that libcloud ships remains."""

    @field_validator("region")
    @classmethod
    def _region(cls, region: str) -> str:
        if not _REGION.fullmatch(region):
            raise ValueError("must be a region code such as eu-central-1")
        return region

    @field_validator("endpoint", "pricing_endpoint")
    @classmethod
    def _endpoint(cls, endpoint: str) -> str:
        if endpoint:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
                raise ValueError("must be http://host:port or https://host:port")
        return endpoint

    @field_validator("events_queue")
    @classmethod
    def _queue(cls, queue: str) -> str:
        if queue:
            parts = urlsplit(queue)
            if parts.scheme not in ("http", "https") or not parts.hostname or len(parts.path.strip("/")) < 1:
                raise ValueError("must be the URL of a queue: https://sqs.<region>.amazonaws.com/<account>/<name>")
        return queue

    @field_validator("price_list", mode="before")
    @classmethod
    def _price_list(cls, found: Any) -> Any:
        """Text is what ``price_list_file`` read."""
        if not isinstance(found, str):
            return found
        try:
            return json.loads(found)
        except json.JSONDecodeError as error:
            raise ValueError(f"is no JSON: {error}") from error

    @model_validator(mode="after")
    def _credentials(self) -> AwsOptions:
        if bool(self.access_key) != (self.secret_key is not None):
            raise ValueError("access_key and secret_key are given together or not at all")
        if self.session_token is not None and not self.access_key:
            raise ValueError("session_token needs access_key and secret_key")
        if self.profile and self.access_key:
            raise ValueError("give either profile or access_key")
        return self

    def creating(self, template: Mapping[str, object] | None, location: str) -> CreateOptions:
        """What one create call uses: the template's word, else this cloud's. pydantic's error for a wrong one."""
        given = CreateOptions.model_validate(dict(template or {}))
        own = CreateOptions(
            subnet=self.subnets.get(location),
            security_groups=self.security_groups,
            key_name=self.key_name,
            iam_profile=self.iam_profile,
            public_address=self.public_address,
            root_volume_gib=self.root_volume_gib,
        )
        return own.model_copy(update=given.model_dump(exclude_none=True))
