"""What acceptance tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import shop

from cloudmon.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def new_shop(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., shop.Shop]:
    """Makes a shop on one simulated cloud, ``east``, whose settings file has these parts as well."""

    def make(*parts: str, options: str = "") -> shop.Shop:
        found = shop.opened(tmp_path, clock, monkeypatch, shop.text(tmp_path, *parts, options=options))
        found.world()  # a cloud in memory lives as long as somebody holds it
        return found

    return make
