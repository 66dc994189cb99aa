"""Where the appliance's files are: the machine itself, or a directory that is the appliance.

Under a directory every path is resolved as it would be if that directory were ``/``: a ``..`` stops at it and an
absolute link begins at it, so that no path leads out.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import IO

MOST_LINKS = 40
MOST_BYTES = 16 * 1024 * 1024


class Root:
    """The appliance's root. An empty path: the machine."""

    def __init__(self, path: str = "") -> None:
        self.path = os.path.realpath(path) if path else ""

    def __bool__(self) -> bool:
        return bool(self.path)

    def inside(self, path: str) -> str:
        """The machine's path of an appliance's path. OSError for links that go round in circles."""
        if not self.path:
            return path
        rest = [part for part in reversed(path.split("/")) if part]
        at: list[str] = []
        links = 0
        while rest:
            part = rest.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del at[-1:]
                continue
            try:
                target = os.readlink(os.path.join(self.path, *at, part))
            except OSError:
                at.append(part)
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, "too many links", path)
            if target.startswith("/"):
                at.clear()
            rest.extend(reversed(target.split("/")))
        return os.path.join(self.path, *at)

    def read(self, path: str, most: int = MOST_BYTES) -> bytes:
        """A regular file of the appliance, whole. OSError when it is none, or larger than ``most``."""
        return read(self.inside(path), most)

    def signature(self, path: str) -> tuple[int, ...]:
        """What changes when the file changes; empty when there is none."""
        try:
            found = os.stat(self.inside(path))
        except (OSError, ValueError):
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)

    def exists(self, path: str) -> bool:
        return bool(self.signature(path))


def read(path: str, most: int = MOST_BYTES) -> bytes:
    """A regular file, whole. OSError when it is none: a pipe under a file's name must not hold the agent up."""
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, "too large", path)
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, "too large", path)
    return content


def opened(path: str) -> IO[bytes]:
    """A regular file, to be read. OSError when it is none."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(number, "rb")


def counts(word: bytes) -> bool:
    """Whether it is a number as the kernel counts: no longer than 64 bits are."""
    return word.isdigit() and len(word) <= 20


def text(raw: bytes) -> str:
    """Whatever the bytes are, text that can be written as JSON."""
    return raw.decode("utf-8", "replace")
