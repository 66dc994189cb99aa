"""A herald to be told of findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from heralded import Bench

from cloudmon.store import open_store


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    store = open_store("memory", log_key=b"k" * 32, anchor_dir=None, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    yield Bench(store, monkeypatch)
    store.close()
