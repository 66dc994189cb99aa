"""Makes items of the one model of osquery's rows, as agents would tell them. Pure.

Values come as text, as numbers or not at all; what cannot be read is left out of the item, and a row without a name is
none. Each mapper takes a row and gives the item's name and the item.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cloudmon.channel.osquery.values import MIB, Item, Row, known, mib, real, text, two_digits, whole

Named = tuple[str, Item]

MOST_NAME = 4_096
MOST_ITEMS = 20_000
MOST_PROCESSES = 2_000
COMMAND = 200

STATES = {"R": "running", "S": "running", "I": "running", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie"}
ACTIVE = {"active": "running", "activating": "running", "reloading": "running", "failed": "failed"}
ENABLED = frozenset(("enabled", "enabled-runtime", "alias"))
LOCKED = {"locked": True, "not_set": True, "active": False, "empty": False}

_TOKEN = re.compile(r"cm[1o]1?\.[A-Za-z0-9_.:-]{8,}")
_VERSION = re.compile(r"[0-9][0-9.]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"[0-7]{1,6}")


class Spent(NamedTuple):
    """What a process had used of processors when it was seen last."""

    since: int
    cpu_ms: int
    at: float


# --- rows -------------------------------------------------------------------------------------------------------------


def package(row: Row) -> Named | None:
    name, version, keeper = text(row, "name", MOST_NAME), text(row, "version"), text(row, "manager")
    if not name or not version or keeper not in ("dpkg", "rpm"):
        return None
    return name, {"version": version, "arch": text(row, "arch"), "manager": keeper}


def account(row: Row) -> Named | None:
    name = text(row, "username", MOST_NAME)
    if not name:
        return None
    groups = sorted({group for group in text(row, "other_groups", 65_536).split(",") if group})
    keys = sorted({one for one in map(_fingerprint, text(row, "keys", 1_048_576).split()) if one})
    item = known({
        "uid": whole(row, "uid"), "gid": whole(row, "gid"),
        "home": text(row, "directory"), "locked": LOCKED.get(text(row, "password_status")),
    })  # fmt: skip
    return name, {**item, "shell": text(row, "shell"), "groups": groups, "keys": keys}


def service(row: Row) -> Named | None:
    name = text(row, "id", MOST_NAME)
    if not name.endswith(".service") or name == ".service":
        return None
    enabled = text(row, "unit_file_state")
    state = {"state": ACTIVE.get(text(row, "active_state"), "stopped")}
    return name.removesuffix(".service"), {**state, **({"enabled": enabled in ENABLED} if enabled else {})}


def file(row: Row) -> Named | None:
    """Its owner stands as a number here: names are the accounts' business, see :func:`owned`."""
    path, sha256, mode = text(row, "path", MOST_NAME), text(row, "sha256"), text(row, "mode")
    if not path:
        return None
    digest = sha256 if _SHA256.fullmatch(sha256) else None
    mode = f"{int(mode, 8) & 0o7777:04o}" if _MODE.fullmatch(mode) else ""
    return path, known({"size": whole(row, "size"), "mode": mode, "owner": text(row, "uid"), "sha256": digest})


def load(row: Row) -> Named | None:
    averages = {name: two_digits(real(row, name)) for name in ("one", "five", "fifteen")}
    item = known({**averages, "cpus": whole(row, "cpus", 1)})
    return ("now", item) if item else None


def memory(row: Row) -> Named | None:
    """What is used is told in steps of half a percent, as agents do."""
    told: dict[str, float | None] = {}
    for total, left, names in (
        ("memory_total", "memory_available", ("total_mib", "available_mib")),
        ("swap_total", "swap_free", ("swap_total_mib", "swap_used_mib")),
    ):
        size, free = whole(row, total), whole(row, left)
        if size is None or free is None:
            continue
        step = max(1, size // MIB // 200)
        part = (free if total == "memory_total" else max(0, size - free)) // MIB
        told |= {names[0]: size // MIB, names[1]: part // step * step}
    return ("now", known(told)) if told else None


def interface(row: Row) -> Named | None:
    name = text(row, "interface", MOST_NAME)
    if not name:
        return None
    addresses = {one.partition("%")[0] for one in text(row, "addresses", 65_536).split(",") if one}
    counted = known({
        "received_mib": mib(row, "ibytes", 1), "sent_mib": mib(row, "obytes", 1),
        "received_packets": whole(row, "ipackets"), "sent_packets": whole(row, "opackets"),
    })  # fmt: skip
    return name, {**counted, "addresses": sorted(addresses)}


ROWS: Mapping[str, Callable[[Row], Named | None]] = {
    "packages": package,
    "accounts": account,
    "services": service,
    "files": file,
    "load": load,
    "memory": memory,
    "network": interface,
}
"""Sections whose items are one row each."""


def items(section: str, rows: Iterable[Row]) -> dict[str, Item]:
    """The items of one of :data:`ROWS`."""
    found: dict[str, Item] = {}
    for row in rows:
        named = ROWS[section](row)
        if named is not None:
            found.setdefault(*named)
    return dict(list(found.items())[:MOST_ITEMS])


# --- sections that are more than their rows ---------------------------------------------------------------------------


def disks(rows: Iterable[Row]) -> dict[str, Item]:
    """By mount point, each device once: where it is mounted at the shortest path."""
    chosen: dict[str, tuple[str, Item]] = {}
    for row in rows:
        path, device, kind = text(row, "path", MOST_NAME), text(row, "device", MOST_NAME), text(row, "type")
        size, blocks, free = (whole(row, name) for name in ("blocks_size", "blocks", "blocks_free"))
        open_to_all = whole(row, "blocks_available")
        if not path or not size or not blocks or free is None or (kind == "overlay" and path != "/"):
            continue
        used = max(0, blocks - free)
        reach = used + (free if open_to_all is None else open_to_all)
        item: Item = {
            "total_mib": blocks * size // MIB,
            "used_mib": used * size // MIB,
            "used_share": round(used / reach, 3) if reach else 0.0,
        }
        key = device if device.startswith("/") or kind == "zfs" else path
        if item["total_mib"] and (key not in chosen or len(path) < len(chosen[key][0])):
            chosen[key] = (path, item)
    return dict(sorted(chosen.values())[:256])


def processes(
    rows: Iterable[Row], users: Mapping[int, str], before: Mapping[str, Spent], *, at: float, offset_s: float
) -> tuple[dict[str, Item], dict[str, Spent]]:
    """The processes, and what each had used of processors, to be handed in the next time.

    Arguments:
        users: names of accounts by their number.
        before: what was given the last time.
        at: when it was seen, in unix seconds of the host.
        offset_s: seconds by which the host's clock is ahead.
    """
    found: dict[str, Item] = {}
    spent: dict[str, Spent] = {}
    for row in sorted(rows, key=lambda one: whole(one, "pid") or 0):
        pid, since = whole(row, "pid", 1), whole(row, "start_time", 1)
        if pid is None or len(found) >= MOST_PROCESSES:
            continue
        used = [whole(row, name) for name in ("user_time", "system_time")]
        cpu = None
        if since is not None and used[0] is not None and used[1] is not None:
            spent[str(pid)] = now = Spent(since, used[0] + used[1], at)
            last = before.get(str(pid))
            if last is None or last.since != since:
                last = Spent(since, 0, float(since))
            cpu = round(max(0, now.cpu_ms - last.cpu_ms) / 1_000 / max(at - last.at, 1.0), 2)
        uid, rss = whole(row, "uid"), whole(row, "resident_size")
        found[str(pid)] = {
            **known({
                "name": text(row, "name"), "user": users.get(uid, str(uid)) if uid is not None else None,
                "state": STATES.get(text(row, "state"), "other"), "cpu": cpu,
                "since": None if since is None else since - round(offset_s),
                "rss_mib": None if rss is None else int(float(f"{round(rss / MIB):.2g}")),
            }),
            "command": _TOKEN.sub("(hidden)", text(row, "cmdline", COMMAND)),
        }  # fmt: skip
    return found, spent


def system(
    rows: Sequence[Row], before: Mapping[str, Any], *, at: float, interval_s: int, version: str
) -> dict[str, Item]:
    """Host, boot and agent; a boot's instant, once found, stays, so that no clock that moves makes another boot of it.

    Arguments:
        before: the section as it was.
        at: when it was seen, by the monitor's clock, in unix seconds.
    """
    row = rows[0] if rows else {}
    os_version = _VERSION.match(text(row, "os_version"))
    told: dict[str, Item] = {"agent": {"version": version, "interval_s": interval_s}}
    host = known({
        "name": text(row, "hostname"), "os": text(row, "os"), "kernel": text(row, "kernel"), "arch": text(row, "arch"),
        "os_version": None if os_version is None else os_version[0].rstrip("."),
    })  # fmt: skip
    if host:
        told["host"] = host
    uptime, known_boot = whole(row, "uptime"), before.get("boot")
    if uptime is not None:
        booted_at = round(at - uptime)
        old = known_boot.get("at") if isinstance(known_boot, Mapping) else None
        same = isinstance(old, int | float) and abs(old - booted_at) < SAME_BOOT_S
        told["boot"] = dict(known_boot) if same and known_boot else {"id": f"boot-{booted_at}", "at": booted_at}
    elif isinstance(known_boot, Mapping):
        told["boot"] = dict(known_boot)
    return told


SAME_BOOT_S = 45.0
"""Seconds that two reckonings of one boot's instant may differ; nothing boots twice within them."""


def users(accounts: Mapping[str, Any]) -> dict[int, str]:
    """Names by number, of a section of accounts."""
    found: dict[int, str] = {}
    for name, one in accounts.items():
        uid = one.get("uid") if isinstance(one, Mapping) else None
        if isinstance(uid, int):
            found.setdefault(uid, name)
    return found


def owned(files: Mapping[str, Any], declared: Sequence[str], names: Mapping[int, str]) -> dict[str, Item]:
    """A section of files with names of owners, and with those that are declared and not there."""
    found: dict[str, Item] = {}
    for path in declared:
        one = files.get(path)
        if not isinstance(one, Mapping) or one.get("missing"):
            found[path] = {"missing": True}
            continue
        owner = str(one.get("owner", ""))
        name = names.get(int(owner), owner) if owner.isascii() and owner.isdigit() else owner
        found[path] = {**one, **({"owner": name} if name else {})}
    return found


def _fingerprint(blob: str) -> str:
    """Of a public key in base64; empty for what is none."""
    try:
        key = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if not key:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
