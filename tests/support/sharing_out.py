"""How tests are shared out among workers (xdist): what is long comes first, so that all workers end together, and a
module's tests go to one worker, so that what they share is made once."""

from __future__ import annotations

import os
from collections import Counter
from itertools import count
from typing import Any

import pytest

LONG = ("acceptance", "benchmarks", "conformance", "fuzz", "simulation")
"""Folders whose tests begin first."""
SINGLY = (
    "acceptance/test_cli.py", "acceptance/test_kill_matrix.py", "acceptance/test_service.py",
    "benchmarks/test_benchmarks.py", "conformance/test_matrix.py", "conformance/test_stores.py",
    "simulation/test_broken_laws_are_seen.py", "simulation/test_broken_laws_of_guests_are_seen.py",
    "simulation/test_laws_hold.py",
)  # fmt: skip
"""Modules whose tests are long and share nothing: whoever is free takes the next one."""


def unit(node_id: str) -> str:
    """What goes to one worker as a whole: a module, or one test."""
    module = node_id.split("::", 1)[0]
    return node_id if module.endswith(SINGLY) else module


def places(node_ids: list[str]) -> list[tuple[bool, float]]:
    """Where each test stands in the order. Long modules are mixed, since some wait and others compute; those that are
    taken whole begin early. All else stays as it is."""
    modules = [node_id.split("::", 1)[0] for node_id in node_ids]
    sizes = Counter(modules)
    starts = {module: at / len(sizes) / 2 for at, module in enumerate(sizes)}
    ranks = {module: count() for module in sizes}
    found = []
    for module, node_id in zip(modules, node_ids, strict=True):
        if module.split("/")[1] not in LONG:
            found.append((True, 0.0))
        elif unit(node_id) == module:
            found.append((False, starts[module]))
        else:
            found.append((False, next(ranks[module]) / sizes[module]))
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        order = zip(places([item.nodeid for item in items]), range(len(items)), items, strict=True)
        items[:] = [item for *_, item in sorted(order)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415

    class Shared(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return Shared(config, log)
