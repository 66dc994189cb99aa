"""Local clouds of a test's own: providers, directories of nodes, and processes as the kernel has them."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import Node, NodeRequest
from cloudmon_providers.local import LocalProvider, LocalSettings

PATIENCE_S = 30.0
SIZES = {"small": {"memory_mib": 256}, "large": {"memory_mib": 1024, "per_hour": "0.02"}}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {what}"
        time.sleep(0.01)


def provider(
    directory: Path, *, now: Callable[[], dt.datetime] | None = None, timeout_s: float = 30, **settings: Any
) -> LocalProvider:
    """A provider as any process would make one."""
    values = {"directory": str(directory), "sizes": SIZES, "stop_grace_s": 0.5, **settings}
    return LocalProvider(
        "here",
        LocalSettings.model_validate(values),
        now=now or (lambda: dt.datetime.now(dt.UTC)),
        timeout_s=timeout_s,
    )


def request(cloud: LocalProvider, user_data: str = "", ordinal: int = 1, **other: Any) -> NodeRequest:
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, 1)
    tags = ownership_tags(token, set_name="web", tenant="default")
    values = {"offer": cloud.list_offers()[0], "image": "base", "tags": tags, "user_data": user_data, **other}
    return NodeRequest(str(token), f"web-{ordinal}", **values)


def folder(directory: Path, node: Node | str) -> Path:
    return directory / "nodes" / (node if isinstance(node, str) else node.id)


def pid(directory: Path, node: Node | str) -> int:
    """The number of the node's machine."""
    return int((folder(directory, node) / "run" / "pid").read_text().split()[0])


def state(number: int) -> str:
    """The kernel's letter for a process; empty when there is none, or only what is left of one."""
    try:
        letter = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return "" if letter in "ZX" else letter


def below(directory: Path) -> set[int]:
    """Every process whose environment or command line names something in a directory: of all its nodes."""
    found = set()
    word = os.fsencode(f"{directory}{os.sep}")
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if word in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes() and state(
                    int(entry.name)
                ):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def told(directory: Path, node: Node, name: str) -> list[int]:
    """Numbers that the node's processes wrote of themselves into a file of their root, once there are any."""
    path = folder(directory, node) / "root" / name
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is written")
    return [int(word) for word in path.read_text().split()]
