"""Processes, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, NamedTuple

from .. import rooted
from ..clock import Clock
from ..rooted import Root

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_COMMAND = 200
MOST_ITEMS = 2000
SETTLED_S = 5.0
"""A process younger than this may yet become another program; older ones rarely do."""

STATES = {"R": "running", "S": "running", "I": "running", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie"}
"""Sleeping and running are one: which of the two a process is at the instant that somebody looks says nothing."""


_TOKEN = re.compile(r"cm1\.[A-Za-z0-9_.:-]+")


class Process(NamedTuple):
    """One line of ``/proc/<pid>/stat``, as far as it matters."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    cpu_ticks: int
    started: int
    """In ticks since the kernel booted: pid and this name one process, however often pids are used again."""
    rss_mib: int

    @property
    def alive(self) -> bool:
        return self.state not in {"Z", "X", "x"}


def parse(raw: bytes) -> Process:
    """ValueError for what is no such line. A process may call itself anything, brackets and line ends included."""
    head, opened, rest = raw.partition(b"(")
    name, closed, tail = rest.rpartition(b")")
    words = tail.split()
    if not opened or not closed or len(words) < 22 or any(len(word) > 20 for word in (head.strip(), *words)):
        raise ValueError("not a line of /proc/<pid>/stat")
    return Process(
        pid=int(head),
        name=rooted.text(name),
        state=words[0].decode("ascii", "replace"),
        parent=int(words[1]),
        session=int(words[3]),
        cpu_ticks=int(words[11]) + int(words[12]),
        started=int(words[19]),
        rss_mib=significant(int(words[21]) * PAGE / (1024 * 1024)),
    )


def significant(value: float) -> int:
    """Rounded to two digits: what changes in the third has no meaning to anybody."""
    whole = round(value)
    return int(float(f"{whole:.2g}"))


def command_of(raw: bytes) -> str:
    """A command line as people write it, an enrolment token in it left out."""
    line = rooted.text(raw.replace(b"\0", b" ")).strip()
    return _TOKEN.sub("cm1.(hidden)", line) if "cm1." in line else line


def read(pid: int) -> Process | None:
    """A process as it is now; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return parse(file.read())
    except (OSError, ValueError):
        return None


class Table:
    """The appliance's processes. Under a root: those of the agent's own session, or below the process that leads it."""

    def __init__(self, root: Root, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._session = os.getsid(0)
        self._commands: dict[tuple[int, int], tuple[str, str, int]] = {}
        self._cpu: dict[tuple[int, int], tuple[int, float]] = {}

    def scan(self) -> dict[int, Process]:
        """All that are there now, kernel threads left out."""
        found: dict[int, Process] = {}
        for word in os.listdir("/proc"):
            if word.isdigit():
                process = read(int(word))
                if process is not None and process.parent != 2 and process.pid != 2:
                    found[process.pid] = process
        return self._ours(found) if self._root else found

    def _ours(self, found: dict[int, Process]) -> dict[int, Process]:
        ours: dict[int, bool] = {0: False, 1: False}
        for pid in found:
            way = []
            at = pid
            while at not in ours and at in found and at not in way:
                way.append(at)
                if found[at].session == self._session or at == self._session:
                    ours[at] = True
                    break
                at = found[at].parent
            answer = ours.get(at, False)
            for step in way:
                ours[step] = answer
        return {pid: process for pid, process in found.items() if ours[pid]}

    def has(self, process: Process) -> bool:
        """Whether this very process is one of the appliance's, now."""
        found = self.scan().get(process.pid) if self._root else read(process.pid)
        return found is not None and found.started == process.started

    def command(self, process: Process) -> str:
        """Its whole command line."""
        return self._told(process)[0]

    def _told(self, process: Process) -> tuple[str, str, int]:
        """Command line, name and user id, remembered for those who have settled."""
        key = (process.pid, process.started)
        known = self._commands.get(key)
        if known is not None and known[1] == process.name:
            return known
        command, owner = "", -1
        with contextlib.suppress(OSError):
            owner = os.stat(f"/proc/{process.pid}").st_uid
            with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                command = command_of(file.read(65536))
        told = (command, process.name, owner)
        if self._clock.since_boot() - process.started / TICKS > SETTLED_S:
            self._commands[key] = told
        return told

    def section(self, names: dict[int, str], booted_at: float) -> dict[str, Any]:
        """As the protocol has it; ``names`` are the appliance's users by their number."""
        found = self.scan()
        now = self._clock.since_boot()
        told: dict[str, Any] = {}
        cpu: dict[tuple[int, int], tuple[int, float]] = {}
        for pid in sorted(found)[:MOST_ITEMS]:
            process = found[pid]
            command, _, owner = self._told(process)
            if not process.alive and process.parent == os.getpid():
                continue  # ours, ended, and about to be collected
            key = (pid, process.started)
            ticks, at = self._cpu.get(key, (0, process.started / TICKS))
            cpu[key] = (process.cpu_ticks, now)
            item = {
                "name": process.name,
                "user": names.get(owner, str(owner)),
                "command": command[:MOST_COMMAND],
                "state": STATES.get(process.state, "other"),
                "since": int(booted_at + process.started / TICKS),
                "cpu": round(max(0, process.cpu_ticks - ticks) / TICKS / max(now - at, 1.0), 2),
                "rss_mib": process.rss_mib,
            }
            told[str(pid)] = item
        self._cpu = cpu
        for known in list(self._commands):
            if known not in cpu:
                self._commands.pop(known, None)
        return told


def below(found: dict[int, Process], tops: set[int]) -> set[int]:
    """The processes of ``tops`` and all that they started."""
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    reached: set[int] = set()
    rest = [pid for pid in tops if pid in found]
    while rest:
        pid = rest.pop()
        if pid not in reached:
            reached.add(pid)
            rest.extend(children.get(pid, ()))
    return reached


def lineage(found: dict[int, Process], pid: int) -> set[int]:
    """A process and all above it."""
    way: set[int] = set()
    while pid in found and pid not in way:
        way.add(pid)
        pid = found[pid].parent
    return way
