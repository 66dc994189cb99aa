"""Files that the template declares, by hash."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Any

from .. import rooted
from ..rooted import Root

MOST_BYTES = 64 * 1024 * 1024
"""Of a larger file no hash is told, only what costs nothing."""


class Files:
    """Read again only when size, time or place have changed."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._kept: dict[str, tuple[tuple[int, ...], str]] = {}

    def section(self, paths: list[str], names: dict[int, str]) -> dict[str, Any]:
        told = {}
        for path in paths:
            try:
                told[path] = self._item(path, names)
            except (FileNotFoundError, NotADirectoryError):
                told[path] = {"missing": True}
            except (OSError, ValueError):
                continue  # it may be there; that is not known
        self._kept = {path: kept for path, kept in self._kept.items() if path in told}
        return told

    def signature(self, paths: list[str]) -> tuple[tuple[int, ...], ...]:
        return tuple(self._root.signature(path) for path in paths)

    def _item(self, path: str, names: dict[int, str]) -> dict[str, Any]:
        real = self._root.inside(path)
        found = os.stat(real)
        item: dict[str, Any] = {
            "size": found.st_size,
            "mode": f"{stat.S_IMODE(found.st_mode):04o}",
            "owner": names.get(found.st_uid, str(found.st_uid)),
        }
        if stat.S_ISREG(found.st_mode) and found.st_size <= MOST_BYTES:
            key = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            if path not in self._kept or self._kept[path][0] != key:
                self._kept[path] = (key, digest(real))
            item["sha256"] = self._kept[path][1]
        return item


def digest(path: str) -> str:
    """Of a regular file's first :data:`MOST_BYTES`."""
    total = hashlib.sha256()
    left = MOST_BYTES
    with rooted.opened(path) as file:
        while left > 0:
            part = file.read(min(262_144, left))
            if not part:
                break
            total.update(part)
            left -= len(part)
    return total.hexdigest()
