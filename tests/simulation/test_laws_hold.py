"""Hundreds of simulated estates, each from its seed; the laws hold in all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from simulated import story

from cloudmon.model.tenants import EVERYONE

ONE = os.environ.get("SIMULATION_SEED")
COUNT = int(os.environ.get("SIMULATION_SEEDS", "300"))
BATCH = 10
SEEDS = [[int(ONE)]] if ONE else [list(range(first, min(first + BATCH, COUNT))) for first in range(0, COUNT, BATCH)]


@pytest.mark.parametrize("seeds", SEEDS, ids=lambda seeds: f"seeds-{seeds[0]}-to-{seeds[-1]}")
def test_the_laws_hold_in_every_simulated_estate(seeds: list[int], tmp_path: Path) -> None:
    """Faults, crashes, lag, clock jumps and people's wishes from a seed; a failing one says how to replay it."""
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            story.tell(seed, folder)
        except Exception as error:
            raise AssertionError(
                f"seed {seed} broke: {error}\n"
                f"replay: SIMULATION_SEED={seed} .venv/bin/python -m pytest tests/simulation/test_laws_hold.py"
            ) from error


def test_the_laws_hold_where_machines_do_not_end_when_they_are_told_to(tmp_path: Path) -> None:
    """Some terminations are incidents for a while, in some estates; and each is done in the end."""
    incidents = 0
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        bench = story.tell(seed, folder, stubborn=20)
        entries = bench.memory.log.entries(EVERYONE, None, None, None, 99_999)
        incidents += sum(1 for entry in entries if entry.kind == "intent.incident")
        assert bench.memory.intents.incidents(EVERYONE) == [], f"seed {seed}"
    assert incidents
