"""Estates whose channel is asked without a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleets import Fleet
from spoken import Estate


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


@pytest.fixture
def estate() -> Iterator[Estate]:
    made = Estate()
    yield made
    made.close()
