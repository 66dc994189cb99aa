"""Every database that cloudmon speaks to keeps the store's promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon.testing.store_conformance import StoreConformance


class TestSqliteFile(StoreConformance):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db"


class TestMemory(StoreConformance):
    survives_closing = False

    @pytest.fixture
    def url(self) -> str:
        return "memory"


class TestPostgresql(StoreConformance):
    @pytest.fixture
    def url(self, postgres_store: Callable[[], str]) -> str:
        return postgres_store()
