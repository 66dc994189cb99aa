"""Measurements in processes of their own, so that none inherits the memory, the caches or the imports of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "cloudmon"
"""The ``cloudmon`` of this environment."""

# What pip installs is compiled once. Were it not here, each start would be charged with compiling all of cloudmon.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took from its start to its end."""

    wall_s: float
    cpu_s: float
    """Of all its threads, in user and kernel."""
    peak_mib: float
    """Largest resident memory. Not less than that of the process which started it, so that one must be small."""
    code: int
    said: str
    """Its standard output."""


def cost(command: Sequence[str | Path], *, allowed: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end. RuntimeError with its complaint when it exits otherwise than ``allowed``."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        code = process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if code not in allowed:
            raise RuntimeError(f"{' '.join(map(str, command))} exited with {code}:\n{err.read().decode()}")
        said = out.read().decode()
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code, said)


def ask(module: str, part: str, **arguments: object) -> dict[str, Any]:
    """What ``part`` of a benchmark says, run in a process of its own."""
    found = cost([sys.executable, "-m", f"tests.benchmarks.{module}", part, json.dumps(arguments)])
    said: dict[str, Any] = json.loads(found.said.splitlines()[-1])
    return said


def answer(parts: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Be the process that :func:`ask` started."""
    said = parts[sys.argv[1]](**json.loads(sys.argv[2]))
    sys.stdout.write(json.dumps(said) + "\n")


@contextmanager
def running(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A process that runs beside the block, and is ended with it; its standard output can be read."""
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def cpu_s(pid: int) -> float:
    """Processor time that a living process has taken, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int | str = "self") -> float:
    """Largest resident memory that a living process ever had."""
    return _memory_mib(pid, "VmHWM")


def resident_mib(pid: int | str = "self") -> float:
    """Resident memory of a living process now."""
    return _memory_mib(pid, "VmRSS")


def _memory_mib(pid: int | str, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell {name} of {pid}")
