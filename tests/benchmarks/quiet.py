"""Quiet ticks: nothing changed, however many appliances there are."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import children, estates
from tests.benchmarks.figures import REPEATS, Figure, median

SIZES = (1_000, 10_000, 100_000)
PEAKS_MIB = {10_000: 200, 100_000: 900}
NODE_US = 15


def figures(folder: Path, *, sizes: Sequence[int] = SIZES, repeats: int = REPEATS) -> Iterator[Figure]:
    """Processor time for each node, growth, rows written and peak memory at several sizes."""
    seconds: dict[int, float] = {}
    for size in sizes:
        place = folder / str(size)
        place.mkdir()
        children.ask("quiet", "seed", folder=str(place), appliances=size)
        said = children.ask("quiet", "ticks", folder=str(place), repeats=repeats)
        seconds[size] = median(said["cpu_s"])
        yield Figure(
            f"quiet tick at {size:,} nodes: processor time a node",
            seconds[size] / size * 1e6,
            "µs",
            NODE_US,
            beside=f"tick {seconds[size] * 1000:.1f} ms; making libcloud's Nodes, not counted, "
            f"{median(said['nodes_s']) / size * 1e6:.1f} µs a node",
        )
        yield Figure(
            f"quiet tick at {size:,} nodes: rows written",
            max(sum(rows.values()) for rows in said["rows"]),
            "rows",
            1,
            beside=", ".join(f"{table} {count}" for table, count in sorted(said["rows"][-1].items())),
        )
        yield Figure(f"peak memory with {size:,} nodes", said["peak_mib"], "MiB", PEAKS_MIB.get(size))
    for smaller, larger in itertools.pairwise(sizes):
        bound = 1.2 * larger / smaller if larger == SIZES[-1] else None
        yield Figure(f"quiet tick: {larger:,} nodes over {smaller:,}", seconds[larger] / seconds[smaller], "x", bound)


def seed(folder: str, appliances: int) -> dict[str, Any]:
    """A store and a cloud in files, with every appliance running."""
    from cloudmon.model.identity import ownership_tags
    from cloudmon.monitor.service import open_service
    from cloudmon_providers.dummy.catalogue import Shelf
    from cloudmon_providers.dummy.world import Order
    from cloudmon_providers.dummy.worlds import open_world

    with open_service(estates.settings(Path(folder), appliances)) as service:
        options = service.settings.options("east")
        world = open_world(options, cloud="east", now=service.clock.now)
        provider = service.make_provider("east")
        offer = next(offer for offer in provider.list_offers() if offer.size == "small")
        shelf = Shelf(offer.location, offer.size, False)
        with world._turn() as at:

            def node_of(token: Any, set_name: str) -> str:
                tags = ownership_tags(token, set_name=set_name, tenant="default")
                order = Order(f"{set_name}-{token.ordinal}", shelf, "web-1", str(token), tags)
                return world._make(order, "", at).id

            estates.seed_store(service, node_of, offer=offer)
    return {}


def ticks(folder: str, repeats: int) -> dict[str, Any]:
    """Quiet ticks of a monitor that has just started: one to warm up, then those that are measured."""
    from cloudmon.engine import collection
    from cloudmon.monitor.service import open_service
    from cloudmon_providers.dummy.driver import DummyCloudDriver
    from cloudmon_providers.dummy.worlds import open_world

    collection.seldom()  # as the command does
    said: dict[str, Any] = {"cpu_s": [], "nodes_s": [], "rows": []}
    with open_service(Path(folder) / "cloudmon.toml") as service:
        world = open_world(service.settings.options("east"), cloud="east", now=service.clock.now)
        driver = DummyCloudDriver(world)
        rows = estates.Rows(service.store)
        service.tick()
        for _ in range(repeats):
            # A real driver makes its Nodes anew for each listing; the adapter must not profit from old ones.
            for machine in world._machines.values():
                machine.seen = None
            world._list_serials = None
            gc.collect()
            began = time.process_time()
            driver.list_nodes()
            made = time.process_time()
            rows.written = {}
            report = service.tick()
            said["cpu_s"].append(time.process_time() - made)
            said["nodes_s"].append(made - began)
            said["rows"].append(dict(rows.written))
            if not report.steady or report.changes or report.rows:
                raise RuntimeError(f"the tick was not quiet: {report}")
        said["peak_mib"] = children.peak_mib()
    return said


if __name__ == "__main__":
    children.answer({"seed": seed, "ticks": ticks})
