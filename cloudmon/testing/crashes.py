"""Crashes at named points, as far as anybody who is left can see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloudmon import faultpoints


@contextmanager
def crashing(point: str, *, at: int = 1) -> Iterator[None]:
    """The work of the block ends where it comes to the point for the ``at``-th time; it must come there."""
    left = at

    def crash(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            raise KeyboardInterrupt

    faultpoints.install(crash)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        faultpoints.install(None)
