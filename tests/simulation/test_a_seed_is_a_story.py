"""What happens to a simulated estate depends on its seed and on nothing else: else no failure could be replayed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from simulated import story
from simulated.bench import Bench

from cloudmon.model.tenants import EVERYONE

SEEDS = (3, 11)

_TELL = """
import pathlib, sys, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
sys.path[:0] = [{support!r}, {here!r}]
from simulated import story
from test_a_seed_is_a_story import digest
for seed in {seeds!r}:
    folder = pathlib.Path({folder!r}, str(seed))
    folder.mkdir()
    print(digest(story.tell(seed, folder)))
"""


def digest(bench: Bench) -> str:
    """A fingerprint of all that became of an estate: its clouds, its table, its usage, and what chance says next."""
    clouds = [
        (name, sorted((node.id, node.created_at, node.ended_at) for node in world.ledger()))
        for name, world in bench.worlds.items()
    ]
    table = [repr(member) for member in bench.memory.members.all(EVERYONE)]
    usage = [repr(event) for event in bench.memory.usage.events(EVERYONE)]
    told = repr((clouds, table, usage, bench.clock.now(), bench.chance.random()))
    return hashlib.sha256(told.encode()).hexdigest()


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def test_a_story_is_the_same_when_it_is_told_again_in_the_same_process(tmp_path: Path) -> None:
    """The first telling is still held: its clouds must not be met again."""
    for seed in SEEDS:
        first = story.tell(seed, _folder(tmp_path, f"{seed}-first"))
        assert digest(first) == digest(story.tell(seed, _folder(tmp_path, f"{seed}-second")))


def test_a_story_is_the_same_in_another_process_with_another_order_of_hashes(tmp_path: Path) -> None:
    """Nothing follows the order of a set."""
    script = _TELL.format(
        support=str(Path(story.__file__).parents[1]), here=str(Path(__file__).parent), seeds=SEEDS, folder=str(tmp_path)
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script.replace(str(tmp_path), str(_folder(tmp_path, order)))],
            env={**os.environ, "PYTHONHASHSEED": order},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for order in ("1", "2")
    ]
    assert len(told[0]) == len(SEEDS)
    assert told[0] == told[1]
