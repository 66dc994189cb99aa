"""What a target is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOKENS = (b"cm1.-.a-abcdefghijkl-3-1." + b"A" * 43, b"cm1." + b"h" * 43 + b".m-abcdefghijkl." + b"_" * 43)


@dataclass(frozen=True)
class Target:
    """One reader: a target takes any bytes and raises nothing but for a fault. What the reader may raise it catches,
    what the reader promises it asserts."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    """What the reader is there for, so that changed ones get far into it."""


def told(*found: Any) -> tuple[bytes, ...]:
    """Seeds in JSON."""
    return tuple(json.dumps(one).encode() for one in found)


def loaded(raw: bytes) -> Any:
    """JSON as a reply's reader hands it on; nothing for what is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def loaded_object(raw: bytes) -> dict[str, Any]:
    """As :func:`loaded`; empty for what is no object."""
    found = loaded(raw)
    return found if isinstance(found, dict) else {}
