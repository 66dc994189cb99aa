"""Programs that the agent runs: words, never a shell; bounded in time and in what they write."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from . import surroundings
from .rooted import Root

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_OUTPUT = 16 * 1024
MOST_WRITTEN = 64 * 1024 * 1024
"""A program that writes more is ended: it would fill the disk."""
GRACE_S = 3.0

# Under a root a program stays in the session of its appliance, which is how it is known to be part of it; a group of
# its own, by which it can be ended whole, then takes a step in between.
_IN_A_GROUP = ("-I", "-S", "-c", "import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])")


class Ran(NamedTuple):
    """What a program came to."""

    exit: int | None
    """Its exit code, minus the signal that ended it; None when it could not be started."""
    output: bytes
    """The last that it wrote, both streams."""
    error: str = ""
    """A sentence when it was not let run to its end, or could not be started."""


class Current:
    """The programs that run for the agent now: they are no part of any application."""

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._lock = threading.Lock()

    def add(self, pid: int) -> None:
        with self._lock:
            self._pids.add(pid)

    def remove(self, pid: int) -> None:
        with self._lock:
            self._pids.discard(pid)

    def pids(self) -> set[int]:
        with self._lock:
            return set(self._pids)


CURRENT = Current()


def environment(root: Root) -> dict[str, str]:
    """What programs find in their environment: nothing of the agent's own."""
    told = {"PATH": path(), "LC_ALL": "C.UTF-8", "HOME": root.path or "/root", "DEBIAN_FRONTEND": "noninteractive"}
    if root:
        told.update(surroundings.told())
        told["CLOUDMON_ROOT"] = root.path
    return told


def path() -> str:
    """Where programs are looked for; our own Python's folder is the last place, for systems that have no other."""
    return f"{PATH}:{os.path.dirname(sys.executable)}"


def find(name: str) -> str | None:
    """A program by its name; None when there is none."""
    return shutil.which(name, path=path())


def words(argv: Sequence[str], root: Root) -> list[str]:
    """A declared command as it is run here: ``{root}`` and ``{python}`` are put in, and a program that the appliance's
    root has of its own is taken from there."""
    told = [word.replace("{root}", root.path).replace("{python}", sys.executable) for word in argv]
    if root and told and told[0].startswith("/") and not told[0].startswith(root.path + "/"):
        with contextlib.suppress(OSError):
            own = root.inside(told[0])
            if os.access(own, os.X_OK) and os.path.isfile(own):
                told[0] = own
    return told


def start(
    argv: Sequence[str], *, output: IO[bytes], root: Root | None = None, extra: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a group of its own. OSError with a sentence when it cannot be."""
    root = root or Root()
    if not argv:
        raise OSError("no command is declared")
    program = find(argv[0]) if "/" not in argv[0] else argv[0]
    if "/" in argv[0] and not os.path.isabs(argv[0]):
        program = os.path.join(root.path or "/", argv[0])
    if program is None or not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise OSError(f"{argv[0]} cannot be run: there is no such program")
    command = [program, *argv[1:]]
    if root:
        command = [sys.executable, *_IN_A_GROUP, *command]
    return subprocess.Popen(  # noqa: S603 - declared commands are what this is for
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=root.path or "/",
        env={**environment(root), **(extra or {})},
        start_new_session=not root,
        umask=0o022,
    )


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    root: Root | None = None,
    extra: Mapping[str, str] | None = None,
    most_output: int = MOST_OUTPUT,
) -> Ran:
    """Run a program to its end, or end it with all that it started."""
    # A file, not a pipe: a program that outlives the agent, or leaves somebody behind, loses and holds up nothing.
    with tempfile.TemporaryFile() as output:
        try:
            process = start(argv, output=output, root=root, extra=extra)
        except (OSError, ValueError) as wrong:
            return Ran(None, b"", _sentence(wrong))
        CURRENT.add(process.pid)
        try:
            error = _wait(process, output, timeout_s)
        finally:
            CURRENT.remove(process.pid)
        size = os.fstat(output.fileno()).st_size
        output.seek(max(0, size - most_output))
        return Ran(process.returncode, output.read(most_output), error)


def _wait(process: subprocess.Popen[bytes], output: IO[bytes], timeout_s: float) -> str:
    left = timeout_s
    while left > 0:
        step = min(0.5, left)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(step)
            return ""
        left -= step
        if os.fstat(output.fileno()).st_size > MOST_WRITTEN:
            end(process)
            return f"it wrote more than {MOST_WRITTEN // (1024 * 1024)} MiB and was ended"
    end(process)
    return f"it did not end within {timeout_s:g} s and was ended"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that is in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            if number == signal.SIGTERM:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            return


def _sentence(wrong: Exception) -> str:
    return wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else str(wrong)
