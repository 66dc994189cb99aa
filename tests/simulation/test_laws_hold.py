"""Hundreds of simulated estates, each from its seed; the laws hold in all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from simulated import story

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
