"""Measure the figures that cloudmon promises, side by side in one run: ``make bench``.

    python -m tests.benchmarks [--quick] [name …]

``--quick`` uses small sizes: it shows that the benchmarks still run, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks import (
    agent,
    attending,
    channel,
    cold,
    detection,
    ec2,
    fold,
    guests,
    launch,
    quiet,
    reports,
    service,
)
from tests.benchmarks.figures import HEADING, Figure

FULL: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "cold": cold.figures,
    "run": service.figures,
    "launch": launch.figures,
    "ec2": ec2.figures,
    "fold": fold.figures,
    "quiet": quiet.figures,
    "agent": agent.figures,
    "channel": channel.figures,
    "channel-mutations": channel.mutations,
    "attending": attending.figures,
    "reports": reports.figures,
    "detection": detection.figures,
    "guests": guests.figures,
}
QUICK: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "cold": partial(cold.figures, repeats=1),
    "run": partial(service.figures, repeats=1),
    "launch": partial(launch.figures, appliances=20, repeats=1),
    "ec2": partial(ec2.figures, instances=50, repeats=1),
    "fold": partial(fold.figures, events=2_000, repeats=1),
    "quiet": partial(quiet.figures, sizes=(20, 40), repeats=1),
    "agent": partial(agent.figures, seconds=2, interval_s=1),
    "channel": partial(channel.figures, agents=20, connections=4, rate=50, seconds=0.5, waiting=30),
    "channel-mutations": partial(channel.mutations, requests=1_000),
    "attending": partial(attending.figures, agents=40, reports=5),
    "reports": partial(reports.figures, reports=200, appliances=20, repeats=1),
    "detection": partial(detection.figures, looks=5, repeats=1),
    "guests": partial(guests.figures, guests=20, watched_s=6, hurry=2_000),
}


def main() -> int:
    """Print every figure as it is measured; exit code 1 when a bound is missed, 0 in a quick run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(FULL))
    asked = parser.parse_args()
    if unknown := set(asked.names) - FULL.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    say(HEADING)
    missed = 0
    for name, figures in (QUICK if asked.quick else FULL).items():
        if asked.names and name not in asked.names:
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="cloudmon-bench-") as folder, contextlib.suppress(KeyboardInterrupt):
            for figure in figures(Path(folder)):
                say(figure.line)
                missed += not figure.kept
        say(f"  ({name}: {time.perf_counter() - began:.0f} s)")
    return 1 if missed and not asked.quick else 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
