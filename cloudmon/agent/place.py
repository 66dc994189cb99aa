"""The state directory: what the agent knows after it was killed. One agent at a time has it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any

from . import rooted


class Taken(Exception):
    """Another agent has the state directory."""


class Place:
    """A directory that only the agent's user can look into. Writing is whole or not at all."""

    def __init__(self, path: str) -> None:
        """OSError when it cannot be made; :class:`Taken`."""
        self.path = os.path.realpath(path)
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        os.chmod(self.path, 0o700)
        self._lock = os.open(os.path.join(self.path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            os.close(self._lock)
            raise Taken(f"another agent already runs with the state directory {self.path}") from taken

    def close(self) -> None:
        os.close(self._lock)

    def at(self, *names: str) -> str:
        return os.path.join(self.path, *names)

    def folder(self, name: str) -> str:
        """A folder of it, made when it is not there."""
        path = self.at(name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def names(self, folder: str) -> list[str]:
        """What stands in a folder of it, which is made when it is not there."""
        return os.listdir(self.folder(folder))

    def size(self, *names: str) -> int:
        """Bytes of what was stored."""
        return os.path.getsize(self.at(*names))

    def load(self, *names: str) -> dict[str, Any]:
        """An object that was stored; empty when there is none, or none that can be read."""
        try:
            found = json.loads(rooted.read(self.at(*names), 64 * 1024 * 1024))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def store(self, value: object, *names: str, durable: bool = True) -> int:
        """Store an object; how many bytes it took. ``durable``: it also outlives a loss of power."""
        return write(self.at(*names), json.dumps(value, separators=(",", ":")).encode(), durable=durable)

    def keep(self, value: object, *names: str, durable: bool = True) -> bool:
        """Store an object if the disk takes it; False when it does not. A full disk must not end the agent, which
        is there to say so."""
        try:
            self.store(value, *names, durable=durable)
        except OSError:
            return False
        return True

    def remove(self, *names: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.at(*names))


def write(path: str, content: bytes, *, mode: int = 0o600, durable: bool = True) -> int:
    """Replace a file: whoever reads it finds the old one or the new one."""
    new = f"{path}.new"
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(number)
    os.chmod(new, mode)
    os.replace(new, path)
    return len(content)
