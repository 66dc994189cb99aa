"""A quiet tick over a recorded listing of EC2, beside what libcloud and a bare ElementTree take for the same bytes."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.benchmarks import children, ec2_listing, estates, replay
from tests.benchmarks.figures import REPEATS, Figure, median, spread

CLOUD = """
[clouds.east]
provider = "aws"
listing_lag_s = 0

[clouds.east.options]
region = "us-east-1"
access_key = "AKIAEXAMPLE"
secret_key = "example"
endpoint = "http://127.0.0.1:{port}"
"""


def figures(folder: Path, *, instances: int = 5_000, repeats: int = REPEATS) -> Iterator[Figure]:
    """Processor time of the tick, and of a cold ``cloudmon plan``, over a listing of so many instances."""
    estates.settings(folder, instances, cloud=CLOUD.format(port=1), set_size=instances)
    identity = children.ask("ec2", "seed", folder=str(folder))
    command = [sys.executable, "-m", "tests.benchmarks.replay", identity["estate"], identity["set_uid"], instances]
    with children.running(command) as server:
        port = int(server.stdout.readline() if server.stdout else 0)
        path = estates.settings(folder, instances, cloud=CLOUD.format(port=port), set_size=instances)
        said = children.ask("ec2", "ticks", folder=str(folder), port=port, repeats=repeats, identity=identity)
        tick, libcloud, bare = (median(said[name]) for name in ("tick_s", "libcloud_s", "bare_s"))
        yield Figure(
            f"quiet tick over {instances:,} EC2 instances, over libcloud's list_nodes",
            tick / libcloud,
            "x",
            1,
            beside=f"processor time {spread(said['tick_s'], 'ms', 1000)}; libcloud {libcloud * 1000:.0f} ms",
        )
        yield Figure(
            "the same, over a bare ElementTree pass",
            tick / bare,
            "x",
            1.5,
            beside=f"ElementTree {bare * 1000:.0f} ms",
        )
        plans = [children.cost([children.COMMAND, "plan", "-c", path], allowed=(0,)) for _ in range(repeats)]
    seconds = [plan.cpu_s for plan in plans]
    yield Figure(
        f"cold `cloudmon plan` over {instances:,} EC2 instances: processor time",
        median(seconds),
        "s",
        1.8,
        beside=f"{spread(seconds, 's')}; Cloud Custodian 7.5 s",
    )
    yield Figure(
        "the same: peak memory", median(plan.peak_mib for plan in plans), "MiB", 120, beside="Cloud Custodian 274 MiB"
    )


def seed(folder: str) -> dict[str, Any]:
    """A store in which every appliance runs on the instance that the listing shows for it."""
    import datetime as dt
    from decimal import Decimal

    from cloudmon.model.offers import Offer, Price
    from cloudmon.monitor.service import open_service

    price = Price(Decimal("0.096"), "USD", "aws-pricing", dt.date(2026, 11, 1))
    offer = Offer("east", "m5.large", "us-east-1a", 2, 8192, 8, price)
    with open_service(Path(folder) / "cloudmon.toml") as service:
        found = estates.seed_store(service, lambda token, _: ec2_listing.instance_id(token.ordinal), offer=offer)
    return {"estate": found[0][0].estate, "set_uid": found[0][0].set_uid}


def ticks(folder: str, port: int, repeats: int, identity: dict[str, str]) -> dict[str, Any]:
    """Ticks, libcloud's listings and bare passes in turn."""
    from libcloud.compute.drivers.ec2 import EC2NodeDriver

    from cloudmon.monitor.service import open_service

    said: dict[str, Any] = {"tick_s": [], "libcloud_s": [], "bare_s": []}
    plain = EC2NodeDriver(
        "AKIAEXAMPLE", "example", region="us-east-1", secure=False, host="127.0.0.1", port=port, signature_version="4"
    )
    with open_service(Path(folder) / "cloudmon.toml") as service:
        service.tick()
        plain.list_nodes()
        count = sum(spec.count for spec in service.settings.specs())
        pages = replay.listing(identity["estate"], identity["set_uid"], count, size=replay.PAGE)
        for _ in range(repeats):
            gc.collect()
            began = time.process_time()
            report = service.tick()
            ticked = time.process_time()
            nodes = plain.list_nodes()
            listed = time.process_time()
            seen = sum(len(bare(page)) for page in pages)
            said["bare_s"].append(time.process_time() - listed)
            said["libcloud_s"].append(listed - ticked)
            said["tick_s"].append(ticked - began)
            if not report.steady or report.changes or report.rows or (len(nodes), seen) != (count, count):
                raise RuntimeError(f"the tick was not quiet, or saw something else: {report}")
    return said


N = f"{{{ec2_listing.NAMESPACE}}}"
RESERVATION, INSTANCES, KEY, VALUE = (f"{N}{name}" for name in ("reservationSet", "instancesSet", "key", "value"))
TEXTS = tuple(
    f"{N}{name}" for name in ("instanceId", "imageId", "instanceType", "launchTime", "ipAddress", "privateIpAddress")
)
STATE, NAME, PLACEMENT, ZONE, TAGS = (
    f"{N}{name}" for name in ("instanceState", "name", "placement", "availabilityZone", "tagSet")
)


def inside(element: ET.Element, tag: str) -> ET.Element | tuple[()]:
    """What stands in the first child of that name."""
    found = element.find(tag)
    return () if found is None else found


def bare(document: bytes) -> list[tuple[Any, ...]]:
    """The fields that cloudmon uses, by ElementTree alone, as fast as it can: every step is one of its C calls."""
    return [
        (
            *map(item.findtext, TEXTS),
            *(each.text for each in inside(item, STATE) if each.tag == NAME),
            *(each.text for each in inside(item, PLACEMENT) if each.tag == ZONE),
            {tag.findtext(KEY): tag.findtext(VALUE) for tag in inside(item, TAGS)},
        )
        for reservation in inside(ET.fromstring(document), RESERVATION)  # noqa: S314 - we made it
        for item in inside(reservation, INSTANCES)
    ]


if __name__ == "__main__":
    children.answer({"seed": seed, "ticks": ticks})
