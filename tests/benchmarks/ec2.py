"""A quiet tick over a recorded listing of EC2, beside what libcloud and a bare ElementTree take for the same bytes."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
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
        # Each in a process of its own: what one keeps in memory must not slow the others down.
        ours = children.ask("ec2", "ticks", folder=str(folder), repeats=repeats)["cpu_s"]
        theirs = children.ask("ec2", "libcloud", port=port, instances=instances, repeats=repeats)["cpu_s"]
        passes = children.ask("ec2", "elementtree", instances=instances, repeats=repeats, **identity)["cpu_s"]
        yield Figure(
            f"quiet tick over {instances:,} EC2 instances, over libcloud's list_nodes",
            median(ours) / median(theirs),
            "x",
            1,
            beside=f"processor time {spread(ours, 'ms', 1000)}; libcloud {spread(theirs, 'ms', 1000)}",
        )
        yield Figure(
            "the same, over a bare ElementTree pass",
            median(ours) / median(passes),
            "x",
            1.5,
            beside=f"ElementTree {spread(passes, 'ms', 1000)}",
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


def ticks(folder: str, repeats: int) -> dict[str, Any]:
    """Quiet ticks of a monitor that has just started: one to warm up, then those that are measured."""
    from cloudmon.engine import collection
    from cloudmon.monitor.service import open_service

    collection.seldom()  # as the command does
    found = []
    with open_service(Path(folder) / "cloudmon.toml") as service:
        service.tick()
        for _ in range(repeats):
            gc.collect()
            began = time.process_time()
            report = service.tick()
            found.append(time.process_time() - began)
            if not report.steady or report.changes or report.rows:
                raise RuntimeError(f"the tick was not quiet: {report}")
    return {"cpu_s": found}


def libcloud(port: int, instances: int, repeats: int) -> dict[str, Any]:
    """libcloud's own listing, in one page, as its users get it."""
    from libcloud.compute.drivers.ec2 import EC2NodeDriver

    driver = EC2NodeDriver(
        "AKIAEXAMPLE", "example", region="us-east-1", secure=False, host="127.0.0.1", port=port, signature_version="4"
    )
    return _measured(driver.list_nodes, instances, repeats)


def elementtree(estate: str, set_uid: str, instances: int, repeats: int) -> dict[str, Any]:
    """A bare pass over the pages, which are in memory already."""
    pages = replay.listing(estate, set_uid, instances, size=replay.PAGE)
    return _measured(lambda: [found for page in pages for found in bare(page)], instances, repeats)


def _measured(work: Callable[[], list[Any]], instances: int, repeats: int) -> dict[str, Any]:
    found = []
    for turn in range(repeats + 1):
        gc.collect()
        began = time.process_time()
        seen = len(work())
        if turn:  # the first one warms up
            found.append(time.process_time() - began)
        if seen != instances:
            raise RuntimeError(f"{seen} instances were seen, not {instances}")
    return {"cpu_s": found}


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
    children.answer({"seed": seed, "ticks": ticks, "libcloud": libcloud, "elementtree": elementtree})
