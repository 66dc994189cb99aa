"""Ways to die: the process of a simulated monitor ends at a named point, in whatever thread reaches it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cloudmon import faultpoints


class Crash(BaseException):
    """The process dies here."""


@contextlib.contextmanager
def at_point(number: int | None) -> Iterator[None]:
    """Raises :class:`Crash` at the so-manieth point that is reached in the block; None: at none."""
    left = [number]

    def hook(name: str) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] <= 0:
                raise Crash(name)

    faultpoints.install(hook if number is not None else None)
    try:
        yield
    finally:
        faultpoints.install(None)
