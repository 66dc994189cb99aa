"""Cold starts of the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, median, spread

REPEATS = 11


def figures(folder: Path, *, repeats: int = REPEATS) -> Iterator[Figure]:
    """What this machine can do now, and how much longer ``cloudmon --help`` takes than a Python that does nothing."""
    loops = [children.cost([sys.executable, "-c", "for _ in range(20_000_000): pass"]).cpu_s for _ in range(repeats)]
    yield Figure(
        "this machine now: a loop of 20,000,000 rounds, processor time",
        median(loops),
        "s",
        beside=f"{spread(loops, 's')}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
    )
    helps, passes = [], []
    for _ in range(repeats):
        passes.append(children.cost([sys.executable, "-c", "pass"]).wall_s)
        helps.append(children.cost([children.COMMAND, "--help"]).wall_s)
    yield Figure(
        "cold `cloudmon --help`, beyond `python -c pass`",
        median(helps) - median(passes),
        "s",
        0.3,
        beside=f"{spread(helps, 's')}; python {median(passes):.3f} s",
    )
