"""The local cloud keeps every law, with real processes."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon.model.offers import Offer
from cloudmon.testing import ProviderConformance
from cloudmon_providers.local import LocalProvider, LocalSettings


class TestLocal(ProviderConformance):
    column = "local"
    image = "base"
    unknown_id = "vm-0123456789abcdef"
    settle_s = 20
    step_s = 0.05

    @pytest.fixture
    def provider(self, tmp_path: Path) -> LocalProvider:
        options = LocalSettings(directory=str(tmp_path / "cloud"), stop_grace_s=1)
        return LocalProvider("local", options, now=lambda: dt.datetime.now(dt.UTC), timeout_s=30)

    @pytest.fixture
    def offer(self, provider: LocalProvider) -> Offer:
        return provider.list_offers()[0]

    @pytest.fixture
    def pass_time(self) -> Callable[[float], None]:
        return time.sleep
