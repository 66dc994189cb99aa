"""Launching a set: every intent and every outcome durable before and after its call."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import children, estates
from tests.benchmarks.figures import REPEATS, Figure, median, spread

COMMITS = 200


def figures(folder: Path, *, appliances: int = 1_000, repeats: int = REPEATS) -> Iterator[Figure]:
    """Launches a second of a set of so many appliances, on a cloud without delays and a store on this disk."""
    rates, commits = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            said = children.ask("launch", "launched", folder=place, appliances=appliances)
            rates.append(appliances / said["seconds"])
            commits.append(commit_s(Path(place)))
    yield Figure(
        f"launch of {appliances:,} appliances, SQLite synchronous=FULL",
        median(rates),
        "/s",
        300,
        at_least=True,
        beside=f"{spread(rates, '/s')}; a bare commit takes {median(commits) * 1000:.1f} ms here",
    )


def commit_s(folder: Path) -> float:
    """What one durable commit of one row takes on this disk."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)")
    began = time.perf_counter()
    for _ in range(COMMITS):
        connection.execute("INSERT INTO rows (body) VALUES ('x')")
    seconds = (time.perf_counter() - began) / COMMITS
    connection.close()
    return seconds


def launched(folder: str, appliances: int) -> dict[str, Any]:
    """Ticks until every appliance of a new estate has its node."""
    from cloudmon.model.tenants import EVERYONE
    from cloudmon.monitor.service import open_service

    path = estates.settings(Path(folder), appliances, cloud=estates.IN_MEMORY)
    with open_service(path) as service:
        service.begin()
        service.refresh_offers()
        began = time.perf_counter()
        ticks = 0
        while not ticks or any(not member.node_id for member in service.store.members.all(EVERYONE)):
            service.tick()
            ticks += 1
            if ticks > 20:
                raise RuntimeError("the appliances were not launched within 20 ticks")
        return {"seconds": time.perf_counter() - began, "ticks": ticks}


if __name__ == "__main__":
    children.answer({"launched": launched})
