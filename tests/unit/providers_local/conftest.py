"""A directory for a local cloud, in which no process is left after the test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import machines
import pytest

from cloudmon.model.nodes import Node
from cloudmon_providers.local import LocalProvider

Create = Callable[..., Node]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "cloud"
    yield path
    # Removed by hand where a test broke its cloud: what the machines do about that has a test of its own.
    for number in machines.below(path):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def cloud(directory: Path) -> LocalProvider:
    return machines.provider(directory)


@pytest.fixture
def create(cloud: LocalProvider) -> Create:
    """Makes a node with this user data."""
    return lambda user_data="", ordinal=1: cloud.create_node(machines.request(cloud, user_data, ordinal))
