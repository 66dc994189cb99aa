"""Chance that repeats: every draw follows from the seed and from what is drawn for, never from the order of calls."""

from __future__ import annotations

import hashlib
import math


def draw(seed: int, *about: object) -> float:
    """A number in [0, 1), always the same for the same arguments."""
    text = "\x1f".join((str(seed), *map(str, about)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def wait_s(per_hour: float, seed: int, *about: object) -> float:
    """Seconds until something that happens ``per_hour`` times an hour happens next; infinity when it never does."""
    if per_hour <= 0:
        return math.inf
    return -math.log(1.0 - draw(seed, *about)) * 3600 / per_hour
