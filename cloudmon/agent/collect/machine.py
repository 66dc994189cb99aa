"""The system itself: what it is called, since when it runs, load and memory."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
from typing import Any

from .. import rooted, surroundings
from ..clock import Clock
from ..rooted import Root
from . import processes


def os_release(raw: bytes) -> dict[str, str]:
    """``/etc/os-release``, names in capitals."""
    found: dict[str, str] = {}
    for line in rooted.text(raw).split("\n"):
        name, equals, value = line.strip().partition("=")
        if not equals or not name.replace("_", "").isalnum():
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        found[name] = words[0] if words else ""
    return found


def host(root: Root) -> dict[str, Any]:
    """Name, system, kernel. What an appliance's root does not say is left out."""
    told: dict[str, Any] = {
        "kernel": platform.release(),
        "arch": platform.machine(),
        "python": platform.python_version(),
    }
    name = "" if root else platform.node()
    if root:
        try:
            name = rooted.text(root.read("/etc/hostname", 4096)).strip()
        except OSError:
            name = ""
    if name:
        told["name"] = name
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            found = os_release(root.read(path, 65536))
        except OSError:
            continue
        if found.get("ID"):
            told["os"] = found["ID"]
        if found.get("VERSION_ID"):
            told["os_version"] = found["VERSION_ID"]
        break
    return told


def boot(root: Root, clock: Clock) -> tuple[str, float]:
    """Id of this boot and its instant. Under a root, a boot is what its environment says, else the agent's session."""
    kernel = rooted.text(_proc("/proc/sys/kernel/random/boot_id")).strip()
    if not root:
        return kernel, round(clock.now() - clock.since_boot())
    named = surroundings.boot_id()
    if named:
        # The agent is among the first that a boot starts.
        return named, round(clock.now())
    leader = os.getsid(0)
    found = processes.read(leader)
    started = found.started if found is not None else 0
    own = hashlib.sha256(f"{kernel} {leader} {started} {root.path}".encode()).hexdigest()[:32]
    return own, round(clock.now() - clock.since_boot() + started / processes.TICKS)


def load() -> dict[str, Any]:
    one, five, fifteen = (float(word) for word in _proc("/proc/loadavg").split()[:3])
    return {
        "one": _two_digits(one),
        "five": _two_digits(five),
        "fifteen": _two_digits(fifteen),
        "cpus": os.cpu_count() or 1,
    }


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def meminfo(raw: bytes) -> dict[str, int]:
    """``/proc/meminfo`` in KiB."""
    found = {}
    for line in raw.split(b"\n"):
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and rooted.counts(words[0]):
            found[rooted.text(name)] = int(words[0])
    return found


def memory() -> dict[str, Any]:
    """In MiB; what is used is told in steps of half a percent."""
    found = meminfo(_proc("/proc/meminfo"))
    told: dict[str, Any] = {}
    for total, left, names in (
        ("MemTotal", "MemAvailable", ("total_mib", "available_mib")),
        ("SwapTotal", "SwapFree", ("swap_total_mib", "swap_used_mib")),
    ):
        if total not in found or left not in found:
            continue
        whole = found[total] // 1024
        step = max(1, whole // 200)
        part = (found[left] if total == "MemTotal" else found[total] - found[left]) // 1024
        told[names[0]] = whole
        told[names[1]] = part // step * step
    return told


def _proc(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(262_144)
