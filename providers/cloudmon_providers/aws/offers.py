"""Instance types in zones as offers: what they are from EC2, what they cost from ``prices``."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cloudmon import errors
from cloudmon.model.offers import Offer, Price
from cloudmon_providers.aws import boto, prices
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions

log = logging.getLogger(__name__)


def of(
    cloud: str, options: AwsOptions, credentials: Credentials, *, now: dt.datetime, timeout_s: float
) -> Sequence[Offer]:
    """Every allowed instance type in every allowed zone, and what of it is to be had as spot.

    Errors of EC2 are ours; one of pricing costs only prices, one of spot prices only spot offers.
    """
    with boto.translating(cloud, "list_offers"):
        ec2 = boto.client("ec2", options.region, credentials, endpoint=options.endpoint, timeout_s=timeout_s)
        types = _types(ec2, options)
        places = _places(ec2, options)
    if not types:
        raise errors.UnexpectedAnswer(
            f"{cloud}: EC2 names no instance type in {options.region} that matches {list(options.instance_types)}",
            cloud=cloud,
        )
    known = _prices(cloud, options, credentials, timeout_s=timeout_s)
    offers = [
        _offer(cloud, options, found, zone, known.get(size))
        for size, zone in places
        if (found := types.get(size)) is not None and not _is_mac(found)
    ]
    sold_as_spot = {size for size, found in types.items() if "spot" in found.get("SupportedUsageClasses", ("spot",))}
    offers += list(_spot(offers, sold_as_spot, _spot_prices(cloud, ec2, options, now)))
    return sorted(offers, key=lambda offer: (offer.size, offer.location, offer.spot))


def _types(ec2: Any, options: AwsOptions) -> dict[str, Mapping[str, Any]]:
    pages = ec2.get_paginator("describe_instance_types").paginate(**_asked(options))
    return {found["InstanceType"]: found for page in pages for found in page["InstanceTypes"]}


def _places(ec2: Any, options: AwsOptions) -> list[tuple[str, str]]:
    """Instance type and zone, wherever both are allowed."""
    zones = frozenset(options.zones) or frozenset(options.subnets)
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", **_asked(options)
    )
    return [
        (found["InstanceType"], found["Location"])
        for page in pages
        for found in page["InstanceTypeOfferings"]
        if _allowed(found["InstanceType"], options) and (not zones or found["Location"] in zones)
    ]


def _asked(options: AwsOptions) -> dict[str, Any]:
    """The allow-list as EC2's filter, which knows the same wildcards; it takes 200 values."""
    wanted = options.instance_types
    return {"Filters": [{"Name": "instance-type", "Values": list(wanted)}]} if 0 < len(wanted) <= 200 else {}


def _allowed(size: str, options: AwsOptions) -> bool:
    return not options.instance_types or any(fnmatchcase(size, pattern) for pattern in options.instance_types)


def _is_mac(found: Mapping[str, Any]) -> bool:
    """Macs run on dedicated hosts only, for a day at least: no plain create call gets one."""
    return any(name.endswith("_mac") for name in found["ProcessorInfo"]["SupportedArchitectures"])


def _offer(cloud: str, options: AwsOptions, found: Mapping[str, Any], zone: str, price: Price | None) -> Offer:
    architectures = found["ProcessorInfo"]["SupportedArchitectures"]
    return Offer(
        cloud=cloud,
        size=found["InstanceType"],
        location=zone,
        vcpus=int(found["VCpuInfo"]["DefaultVCpus"]),
        memory_mib=int(found["MemoryInfo"]["SizeInMiB"]),
        disk_gib=options.root_volume_gib,
        price=price,
        architecture="x86_64" if "x86_64" in architectures else str(architectures[0]),
    )


def _spot(offers: Sequence[Offer], sold: Collection[str], known: Mapping[tuple[str, str], Price]) -> Iterator[Offer]:
    """What is sold on demand, at its spot price; without one nobody knows whether there is any."""
    for offer in offers:
        price = known.get((offer.size, offer.location))
        if price is not None and offer.size in sold:
            yield dataclasses.replace(offer, price=price, spot=True)


def _spot_prices(cloud: str, ec2: Any, options: AwsOptions, now: dt.datetime) -> Mapping[tuple[str, str], Price]:
    if not options.spot:
        return {}
    try:
        with boto.translating(cloud, "spot prices"):
            return prices.of_spot(ec2, options.region, now, _asked(options))
    except errors.CloudError as error:
        log.warning("%s: no spot prices from AWS, so no spot offers: %s", cloud, error)
        return {}


def _prices(cloud: str, options: AwsOptions, credentials: Credentials, *, timeout_s: float) -> Mapping[str, Price]:
    known = {**prices.of_libcloud(options.region), **prices.of_list(options.price_list)}
    if not options.pricing:
        return known
    where = prices.endpoint_region(options.region)
    try:
        with boto.translating(cloud, "pricing"):
            client = boto.client("pricing", where, credentials, endpoint=options.pricing_endpoint, timeout_s=timeout_s)
            return {**known, **prices.of_aws(client, options.region)}
    except errors.CloudError as error:
        log.warning("%s: no prices from AWS, using older ones: %s", cloud, error)
        return known
