"""Signals to processes, each to the very process that was meant, however often its pid is used again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

from .clock import Clock
from .collect import processes
from .collect.processes import Process

STEP_S = 0.1


def send(process: Process, number: int) -> bool:
    """False when the process is gone. Never to the agent itself or to the first process. PermissionError."""
    if process.pid in {0, 1, os.getpid()}:
        return False
    try:
        held = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel that has no such thing
        held = -1
    try:
        if not same(process):
            return False
        if held >= 0:
            signal.pidfd_send_signal(held, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    else:
        return True
    finally:
        if held >= 0:
            os.close(held)


def same(process: Process) -> bool:
    """Whether this very process still runs."""
    now = processes.read(process.pid)
    return now is not None and now.started == process.started and now.alive


def collect(pid: int) -> None:
    """Take note of the end of a process that we started, so that nothing is left of it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end(meant: Iterable[Process], clock: Clock, *, patience_s: float) -> list[Process]:
    """Ask them to end, and make them after ``patience_s``; those that are there even then. PermissionError."""
    left = list(meant)
    for number, seconds in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        for process in left:
            send(process, number)
            if number == signal.SIGTERM:
                # One that is held asleep would hear it only when it is woken.
                send(process, signal.SIGCONT)
        left = gone(left, clock, within_s=seconds)
        if not left:
            return []
    return left


def gone(meant: Iterable[Process], clock: Clock, *, within_s: float) -> list[Process]:
    """Wait until they are gone; those that are not after ``within_s``."""
    until = clock.monotonic() + within_s
    left = [process for process in meant if _still(process)]
    while left and clock.monotonic() < until:
        clock.rest(STEP_S)
        left = [process for process in left if _still(process)]
    return left


def _still(process: Process) -> bool:
    now = processes.read(process.pid)
    if now is not None and not now.alive and now.parent == os.getpid():
        collect(process.pid)
    return same(process)
