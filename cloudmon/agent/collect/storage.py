"""Disks: how full they are, and what they read and wrote."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from .. import rooted
from ..rooted import Root

QUOTA = "/etc/cloudmon-quota-mib"
MOST_FILES = 50_000
MOST_ITEMS = 256
KINDS = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs", "ntfs3", "overlay",
     "reiserfs", "vfat", "xfs", "zfs"}
)  # fmt: skip
"""Filesystems that hold data of this machine. Those of the net are left out: asking a dead server never ends."""

_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of ``/proc/mounts``."""

    device: str
    point: str
    kind: str


def mounts(raw: bytes) -> list[Mount]:
    """Spaces and the like are written as octal numbers there; they are undone."""
    found = []
    for line in raw.split(b"\n"):
        words = [rooted.text(_OCTAL.sub(_plain, word)) for word in line.split(b" ")]
        if len(words) >= 4 and words[1].startswith("/"):
            found.append(Mount(words[0], words[1], words[2]))
    return found


def _plain(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8) & 255])


def real(found: list[Mount]) -> list[Mount]:
    """Those that hold data, each device once: where it was mounted at the shortest path."""
    chosen: dict[str, Mount] = {}
    for mount in found:
        if mount.kind not in KINDS or (mount.kind == "overlay" and mount.point != "/"):
            continue
        key = mount.device if mount.device.startswith("/") or mount.kind == "zfs" else mount.point
        if key not in chosen or len(mount.point) < len(chosen[key].point):
            chosen[key] = mount
    return sorted(chosen.values(), key=lambda mount: mount.point)[:MOST_ITEMS]


def disks(root: Root) -> dict[str, Any]:
    """By mount point. Under a root: ``/``, measured against its quota when it has one."""
    if root:
        return {"/": _rooted(root)}
    told = {}
    with open("/proc/mounts", "rb") as file:
        found = real(mounts(file.read()))
    for mount in found:
        try:
            item = _filled(mount.point)
        except OSError:
            continue
        if item["total_mib"]:
            told[mount.point] = item
    return told


def _filled(path: str) -> dict[str, Any]:
    found = os.statvfs(path)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    open_to_all = used + found.f_bavail * found.f_frsize
    return {
        "total_mib": found.f_blocks * found.f_frsize // (1024 * 1024),
        "used_mib": used // (1024 * 1024),
        "used_share": round(used / open_to_all, 3) if open_to_all else 0.0,
    }


def _rooted(root: Root) -> dict[str, Any]:
    try:
        quota = int(root.read(QUOTA, 64))
    except FileNotFoundError:
        return _filled(root.path)
    except ValueError as wrong:
        raise OSError(f"{QUOTA} holds no whole number of MiB") from wrong
    if quota <= 0:
        raise OSError(f"{QUOTA} holds no whole number of MiB")
    used_mib = occupied(root.path) / (1024 * 1024)
    return {"total_mib": quota, "used_mib": round(used_mib, 1), "used_share": round(used_mib / quota, 3)}


def occupied(path: str) -> int:
    """Bytes that the files below a folder take, counted as far as they are written. OSError when there are too many."""
    total = seen = 0
    rest = [path]
    while rest:
        try:
            entries = list(os.scandir(rest.pop()))
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > MOST_FILES:
                raise OSError(f"more than {MOST_FILES:,} files: what they take is not counted")
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                rest.append(entry.path)
            else:
                total += min(found.st_size, found.st_blocks * 512) or found.st_size
    return total


def diskstats(raw: bytes) -> dict[str, dict[str, Any]]:
    """``/proc/diskstats``: counted since the kernel booted."""
    found = {}
    for line in raw.split(b"\n"):
        words = line.split()
        if len(words) < 14 or not all(map(rooted.counts, words[3:14])):
            continue
        reads, read_sectors, writes, written_sectors = int(words[3]), int(words[5]), int(words[7]), int(words[9])
        found[rooted.text(words[2])] = {
            "read_mib": round(read_sectors / 2048, 1),
            "write_mib": round(written_sectors / 2048, 1),
            "reads": reads,
            "writes": writes,
        }
    return found


def disk_io() -> dict[str, Any]:
    """Whole disks that were ever used; parts of them and memory that looks like a disk are left out."""
    with open("/proc/diskstats", "rb") as file:
        found = diskstats(file.read())
    told = {}
    for name, item in found.items():
        if name.startswith(("loop", "ram", "zram", "fd", "sr")) or not (item["reads"] or item["writes"]):
            continue
        if os.path.isdir("/sys/block") and not os.path.isdir(f"/sys/block/{name.replace('/', '!')}"):
            continue
        told[name] = item
    return dict(list(told.items())[:MOST_ITEMS])
