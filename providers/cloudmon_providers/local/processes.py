"""The processes of a node, as the kernel tells them. Standard library only: machines use it, and who looks at them.

A number of a process is given again, so a process here is a number and the instant of its start, and a signal goes to
exactly that one or to nobody. Which processes are a node's is never taken from a file alone:

- its environment says so: ``CLOUDMON_NODE``, which every process of a node inherits;
- or one of its ancestors is the node's;
- or it is in the machine's session, and its directory, program or files are the node's;
- or the machine noted it, while it lived, as one of its own that had thrown its environment away.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MARK = "CLOUDMON_NODE"
"""Variable that names the node."""
PROC = Path("/proc")
_PASS_S = 0.005
_END_S = 3.0
"""How long killed processes may take to go: longer only where one hangs in the kernel."""


class Process(NamedTuple):
    """A process at one instant."""

    pid: int
    start: int
    """In ticks since the kernel's boot: with the number it names one process for ever."""
    parent: int
    session: int
    state: str
    """The kernel's letter: ``T`` stopped, ``Z`` ended and not yet waited for …"""

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.start

    @property
    def lives(self) -> bool:
        return self.state not in "ZXx"


def read(pid: int) -> Process | None:
    """The process of this number now; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in brackets and may hold anything, brackets too.
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0])


def everyone() -> dict[int, Process]:
    """Every process of this machine by number."""
    found = (read(int(entry.name)) for entry in os.scandir(PROC) if entry.name.isdecimal())
    return {process.pid: process for process in found if process is not None}


def machine(folder: Path) -> Process | None:
    """The process that a node's directory names as its machine; None when that one has gone, whoever has its number."""
    for key in _keys(folder / "run" / "pid"):
        found = read(key[0])
        if found is not None and found.key == key and found.lives:
            return found
    return None


def of_node(folder: Path, node_id: str) -> list[Process]:
    """Every living process of the node in this directory, but for the one that asks."""
    processes = everyone()
    own = {pid for pid, process in processes.items() if process.lives and _marked(pid, node_id)}
    noted = {*_keys(folder / "run" / "pid"), *_keys(folder / "run" / "kin")}
    own |= {pid for pid, process in processes.items() if process.key in noted}
    own |= set(_of_session(folder, processes))
    family = {pid for pid in processes if _descends(pid, own, processes)}
    family.discard(os.getpid())
    return [processes[pid] for pid in sorted(family) if processes[pid].lives]


def unmarked(processes: Iterable[Process], node_id: str) -> list[Process]:
    """Those of a node's processes that only their ancestors tell."""
    return [process for process in processes if not _marked(process.pid, node_id)]


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False when it has gone, or is not ours to signal."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The handle is held on whoever has the number now: only then is it told whether that is still the one meant.
        now = read(process.pid)
        if now is None or now.key != process.key:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def kill(folder: Path, node_id: str) -> bool:
    """End every process of a node at once; True when none is left."""
    deadline = time.monotonic() + _END_S
    while living := of_node(folder, node_id):
        for process in living:
            send(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_PASS_S)
    return True


def freeze(folder: Path, node_id: str) -> bool:
    """Stop every process of a node; True when two looks in a row found none that runs, since one may have forked."""
    deadline = time.monotonic() + _END_S
    quiet = 0
    while quiet < 2:
        running = [process for process in of_node(folder, node_id) if process.state not in "Tt"]
        for process in running:
            send(process, signal.SIGSTOP)
        quiet = 0 if running else quiet + 1
        if time.monotonic() > deadline:
            return False
        if running:
            time.sleep(_PASS_S)
    return True


def thaw(folder: Path, node_id: str) -> None:
    """Let every process of a node go on."""
    for process in of_node(folder, node_id):
        send(process, signal.SIGCONT)


def note(process: Process) -> str:
    """A line that names the process, for ``run/pid`` and ``run/kin``."""
    return f"{process.pid} {process.start}\n"


def _keys(path: Path) -> Iterator[tuple[int, int]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) == 2 and all(word.isdecimal() for word in words):
            yield int(words[0]), int(words[1])


def _marked(pid: int, node_id: str) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={node_id}".encode() in environment.split(b"\0")


def _of_session(folder: Path, processes: dict[int, Process]) -> Iterator[int]:
    """Processes of the machine's session. Its number may be another session's by now, so each needs a trace too."""
    for number, start in _keys(folder / "run" / "pid"):
        leader = processes.get(number)
        if leader is not None and leader.start != start:
            continue
        for pid, process in processes.items():
            if process.session == number and process.start >= start and _traced(pid, folder):
                yield pid


def _traced(pid: int, folder: Path) -> bool:
    """Whether its directory, program or one of its first three files is the node's."""
    home = os.path.realpath(folder) + os.sep
    for name in ("cwd", "exe", "fd/0", "fd/1", "fd/2"):
        try:
            if f"{(PROC / str(pid) / name).readlink()}{os.sep}".startswith(home):
                return True
        except OSError:
            continue
    return False


def _descends(pid: int, ancestors: set[int], processes: dict[int, Process]) -> bool:
    """Whether the process or one of its ancestors is among these."""
    while pid in processes:
        if pid in ancestors:
            return True
        pid = processes[pid].parent
    return False
