"""What was installed and is not what runs: files replaced under a running program, a reboot that is waited for."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .. import programs
from ..clock import Clock
from ..rooted import Root
from . import packages

REBOOT = ("/var/run/reboot-required", "/run/reboot-required")
ASK_AGAIN_S = 3600.0
MOST_BYTES = 4 * 1024 * 1024
_NO_FILES = (b"/dev/", b"/memfd:", b"/SYSV", b"/tmp/")


class Reboot:
    """Whether something that is installed waits for the next boot."""

    def __init__(self, root: Root, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._asked: tuple[float, bool | None] = (-ASK_AGAIN_S, None)

    def due(self) -> bool | None:
        """None where nobody can tell: Debian writes a file, ``needs-restarting`` is asked once an hour."""
        if any(self._root.exists(path) for path in REBOOT):
            return True
        if self._root.exists(packages.DPKG):
            return False
        program = programs.find("needs-restarting") if not self._root else None
        if program is None:
            return None
        now = self._clock.monotonic()
        if now - self._asked[0] >= ASK_AGAIN_S:
            exit_code = programs.run([program, "-r"], timeout_s=60).exit
            self._asked = (now, {0: False, 1: True}.get(-1 if exit_code is None else exit_code))
        return self._asked[1]


def replaced(maps: bytes, root: str = "") -> bool:
    """Whether a process runs a file that is not there any more, from the text of ``/proc/<pid>/maps``. Of an appliance
    that is a directory only its own files count."""
    below = os.fsencode(root) + b"/" if root else b""
    for line in maps.split(b"\n"):
        words = line.split(None, 5)
        if len(words) == 6 and b"x" in words[1] and words[5].endswith(b" (deleted)"):
            if words[5].startswith(below) if below else not words[5].startswith(_NO_FILES):
                return True
    return False


def runs_replaced(pids: Iterable[int], root: str = "") -> bool | None:
    """Whether any of these processes does; None when one cannot be looked into and no other does."""
    known: bool | None = False
    for pid in pids:
        try:
            descriptor = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                maps = file.read(MOST_BYTES)
        except FileNotFoundError:
            continue  # it has ended
        except OSError:
            known = None
            continue
        if replaced(maps, root):
            return True
    return known
