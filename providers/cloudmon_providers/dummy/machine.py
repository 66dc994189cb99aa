"""One machine of the dummy cloud: what it is, what it does, what was seen of it, and what lies ahead of it."""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cloudmon_providers.dummy import words


class Stay(NamedTuple):
    """The machine did ``word`` from ``start`` until ``end``, in seconds since 1970; None: it still does."""

    word: str
    start: float
    end: float | None


class Coming(NamedTuple):
    """Something that will happen to a machine."""

    at: float
    turn: int
    """Order among what happens at the same instant."""
    kind: str
    """``move`` (it does ``word`` then), ``show`` (the listing says ``word`` then, empty: no more), ``die``, ``hang``,
    ``reclaim``."""
    word: str


@dataclass(slots=True)
class Machine:
    """A row of the world. Edited in place, and only by the world that holds it."""

    id: str
    serial: int
    name: str
    token: str
    fingerprint: str
    """Of the create call's parameters: the same token with others is refused."""
    location: str
    size: str
    spot: bool
    image: str
    tags: dict[str, str]
    public: list[str]
    private: list[str]
    volumes: list[str]
    created: float
    word: str = ""
    shown: str = ""
    """The listing's word; empty while, or as soon as, the listing does not have it."""
    began: list[tuple[str, float]] = field(default_factory=list)
    """Each word with the instant at which it began."""
    coming: list[Coming] = field(default_factory=list)
    """In order of time."""
    turns: int = 0
    hung: bool = False
    broken: bool = False
    vanished: bool = False
    """Gone without a trace: not even a direct look finds it."""
    ended: float | None = None
    kept: dict[str, str] = field(default_factory=dict)
    """Snapshots of it: ids by name."""
    snapshots: int = 0
    """How many were ever taken."""
    isolated: bool = False
    """Nothing comes in or goes out; the rest of what it is let do is remembered."""
    peers: str = ""
    """Name of the group of peers that it is in."""
    user_data: str = ""
    """What it finds at each boot; kept only where somebody plays its inside."""
    boots: int = 0
    """How often it came up."""
    seen: Any = None
    """The driver's node for the listing, kept while nothing of it changes."""

    @property
    def lives(self) -> bool:
        return self.ended is None

    def expect(self, at: float, kind: str, word: str = "") -> None:
        """Put something ahead of the machine."""
        self.turns += 1
        bisect.insort(self.coming, Coming(at, self.turns, kind, word))

    def forget(self, *kinds: str) -> None:
        """Take everything of these kinds from what lies ahead."""
        self.coming = [entry for entry in self.coming if entry.kind not in kinds]

    def stays(self) -> tuple[Stay, ...]:
        """What it did, from when to when: the truth that metering is measured against."""
        ends: list[float | None] = [start for _, start in self.began[1:]]
        return tuple(
            Stay(word, start, end)
            for (word, start), end in zip(self.began, [*ends, self.ended], strict=True)
            if word != words.TERMINATED and start != end
        )

    def to_text(self) -> str:
        """Everything but the driver's node, for a file."""
        return json.dumps([getattr(self, name) for name in _KEPT], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Machine:
        values: Mapping[str, Any] = dict(
            zip(_KEPT, json.loads(text), strict=False)
        )  # files of before know nothing of the last ones
        machine = cls(**values)
        machine.began = [(word, start) for word, start in machine.began]
        machine.coming = [Coming(*entry) for entry in machine.coming]
        return machine


_KEPT = tuple(name for name in Machine.__dataclass_fields__ if name != "seen")
