"""What a simulated cloud tells of its machines to whoever plays their insides; no monitor ever asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Machine(NamedTuple):
    """A simulated machine as it is at one instant, whatever the cloud's listings say."""

    node_id: str
    name: str
    """As its create call named it."""
    user_data: str
    """What it finds at each boot."""
    lives: bool
    """False from its end on; it never comes back then."""
    talks: bool
    """Whether anything in it runs and reaches the network: not while it boots, is stopped, suspended, hung or
    isolated."""
    boots: int
    """How often it came up, from its first boot on; waking from a suspension is none."""


class Machines(NamedTuple):
    """Machines that changed, and where to go on from."""

    mark: int
    """For the next question: what changed until now is not told again."""
    changed: Sequence[Machine]


@dataclass(frozen=True, slots=True)
class Insides:
    """What goes on inside the machines of a simulated cloud."""

    seed: int
    """Everything that happens by chance follows from it."""
    faults_per_h: Mapping[str, float]
    """How often each fault strikes, per machine and hour, by its name."""
    quiet_s: float
    """How long nothing strikes after a machine came up for the first time, in seconds."""
