"""How often Python looks for cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cloudmon.engine import collection


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_process_looks_seldom_and_still_looks() -> None:
    gc.set_threshold(700, 10, 10)
    collection.seldom()
    assert gc.get_threshold()[0] > 10_000
    assert gc.isenabled()
    before = gc.get_stats()[0]["collections"]
    kept: list[list[object]] = [[] for _ in range(gc.get_threshold()[0] * 2)]
    assert gc.get_stats()[0]["collections"] > before
    assert kept
