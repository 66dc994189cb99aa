"""What is kept of one node: what it was made as, and what was last ordered. What it does is looked at, never kept."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

ON = "on"
OFF = "off"
FROZEN = "frozen"
GONE = "gone"
"""What can be ordered of a node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """``node.json`` of a node, and its tombstone."""

    id: str
    token: str
    mark: str
    """Of the create call's parameters: the same token with others is refused."""
    name: str
    size: str
    location: str
    image: str
    tags: Mapping[str, str]
    created: float
    """Seconds since 1970, as ``since`` and ``ended``."""
    memory_mib: int
    grace_s: float
    """From SIGTERM to SIGKILL."""
    since: float
    """When ``wanted`` was ordered."""
    wanted: str = ON
    boots: int = 1
    """How many boots were ordered. The machine writes the number of its own into ``run/boot``."""
    died: int = 0
    """The boot that was found to have ended by itself, and swept."""
    rests: bool = False
    """True once a stopped node was seen with no process left."""
    ended: float | None = None

    def text(self) -> str:
        """As it is written."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Record:
    """The record in a file. ``FileNotFoundError``; ``ValueError`` when it is damaged."""
    found = json.loads(path.read_text(encoding="utf-8"))
    try:
        record = Record(**found)
    except TypeError as error:
        raise ValueError(f"{path} is no node's record: {error}") from error
    if not isinstance(record.id, str) or not isinstance(record.tags, dict) or not isinstance(record.boots, int):
        raise ValueError(f"{path} is no node's record")
    return record


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that it is there whole or as it was before, whenever the process is killed."""
    fresh = path.with_name(f".new-{path.name}-{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
