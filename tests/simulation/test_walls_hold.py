"""Walls in simulated estates: whatever faults, crashes and hands come between, they end as they are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from simulated import walled

from cloudmon.reconcile import planner, power

ONE = os.environ.get("SIMULATION_SEED")
SEEDS = [int(ONE)] if ONE else (1, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_isolated_and_who_is_let_talk_is_as_it_is_wanted_in_the_end(seed: int, tmp_path: Path) -> None:
    walled.tell(seed, tmp_path)


def _nobody_is_isolated_again(patch: pytest.MonkeyPatch) -> None:
    """What was isolated once is never looked at again."""
    patch.setattr(planner, "condition_of", lambda node, _member: planner.CONDITION_OF[node.state])
    patch.setattr(power, "down", lambda _case: None)


def _groups_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks the clouds what became of their groups."""
    patch.setattr(planner.walls, "due", lambda *_: iter(()))


@pytest.mark.parametrize(
    ("broken", "law"),
    [(_nobody_is_isolated_again, "walls: "), (_groups_are_forgotten, "peers: ")],
    ids=["walls", "peers"],
)
def test_it_is_seen_when_it_is_not(
    broken: Callable[[pytest.MonkeyPatch], None], law: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    seen = []
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            walled.tell(seed, folder)
        except AssertionError as error:
            seen.append(str(error))
            break
    assert [sentence[: len(law)] for sentence in seen] == [law]
