"""Estates with osquery hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleets import Fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shut() -> Iterator[Fleet]:
    """One for all that are only refused."""
    made = Fleet()
    yield made
    made.close()
