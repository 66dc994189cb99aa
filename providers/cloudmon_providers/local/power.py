"""Switching machines on, asking whether they are, and pressing their button."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from cloudmon_providers.local import machine, processes

_BOOT_S = 10.0
"""Longest time from the order until a machine says that it is there; it takes a hundredth of that."""
_PACKAGES = str(Path(__file__).parents[2])


def is_on(folder: Path) -> bool:
    """Whether the node's machine lives: it holds its lock, and the kernel lets go of it whatever it dies of."""
    try:
        handle = os.open(folder / "run" / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def booted(folder: Path) -> int:
    """The number of the newest boot that began; 0 before the first."""
    try:
        return int((folder / "run" / "boot").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def switch_on(folder: Path, node_id: str) -> bool:
    """Start the node's machine and wait until it is there; True when it is, or was already."""
    run = folder / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    told, telling = os.pipe()
    console = os.open(folder / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # Taken here and inherited: from now until the machine's end there is no instant at which nobody holds it.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begun = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-S", "-P", "-m", machine.__name__, str(folder), str(lock), str(telling)],
            cwd="/",
            env={"PYTHONPATH": _PACKAGES, "LANG": "C.UTF-8", processes.MARK: node_id},
            pass_fds=(lock, telling),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        os.close(telling)
        telling = -1
        begun.wait(_BOOT_S)
        return bool(select.select([told], [], [], _BOOT_S)[0]) and os.read(told, len(machine.READY)) == machine.READY
    except BlockingIOError:
        return True
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        for each in (lock, told, telling, console):
            if each >= 0:
                os.close(each)


def nudge(folder: Path) -> None:
    """Ask the node's machine to do what its record says now."""
    found = processes.machine(folder)
    if found is not None:
        processes.send(found, signal.SIGTERM)
        processes.send(found, signal.SIGCONT)
