"""When which fault strikes a guest: a pure function of the cloud's settings, of who the guest is, and of how often it
was struck before."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from typing import NamedTuple

from cloudmon.model.simulated import Insides

HOUR_S = 3_600


class Trouble(NamedTuple):
    """What comes over a guest next."""

    at: dt.datetime
    fault: str


def seed_of(insides: Insides, name: str) -> int:
    """The seed of one guest: by its name, since ids depend on the order in which machines were made."""
    return int.from_bytes(hashlib.blake2b(f"{insides.seed}|{name}".encode(), digest_size=8).digest(), "big")


def following(insides: Insides, seed: int, number: int, after: dt.datetime) -> Trouble | None:
    """The trouble of that number, which comes some time after the one before; None where nothing ever strikes."""
    faults = insides.faults_per_h
    if not faults:
        return None
    draw = random.Random(f"{seed}|{number}")  # noqa: S311  # it shall repeat
    wait_s = draw.expovariate(sum(faults.values()) / HOUR_S)
    (fault,) = draw.choices(list(faults), list(faults.values()))
    return Trouble(after + dt.timedelta(seconds=wait_s), fault)
