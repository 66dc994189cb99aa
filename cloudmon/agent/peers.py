"""The directory of the set, for the applications of the appliance: a file that anybody here may read, and, where it is
wanted, names in the hosts file."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
from typing import Any

from . import place
from .rooted import Root

FOLDER, FILE, HOSTS = "/var/lib/cloudmon", "/var/lib/cloudmon/peers.json", "/etc/hosts"
BEGIN, END = "# peers of this machine, kept by cloudmon: begin", "# peers of this machine, kept by cloudmon: end"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}/[0-9]{1,9}", re.ASCII)
MOST_HOSTS = 1024 * 1024


def keep(root: Root, told: dict[str, Any]) -> None:
    """Let the files say what the monitor told; an empty directory leaves nothing of them. OSError."""
    path = root.inside(FILE)
    if told:
        os.makedirs(root.inside(FOLDER), mode=0o755, exist_ok=True)
        _put(path, json.dumps(told, sort_keys=True, indent=1).encode() + b"\n")
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    _keep_hosts(root, lines(told) if told.get("hosts") is True else [])


def lines(told: dict[str, Any]) -> list[str]:
    """Lines of a hosts file: ``10.0.0.3 storefront-3``, by the private address, else by the public one."""
    found = []
    members = told.get("members")
    for name, one in sorted(members.items()) if isinstance(members, dict) else []:
        if not NAME.fullmatch(name) or not isinstance(one, dict):
            continue
        for kind in ("private", "public"):
            addresses = [address for address in _list(one.get(kind)) if _is_address(address)]
            if addresses:
                found += [f"{address} {name.replace('/', '-')}" for address in addresses]
                break
    return found


def _keep_hosts(root: Root, wanted: list[str]) -> None:
    """Exchange what stands between our two lines, and leave everything else as it is."""
    path = root.inside(HOSTS)
    try:
        before = root.read(HOSTS, MOST_HOSTS).decode("latin-1")
    except FileNotFoundError:
        before = ""
    if not wanted and BEGIN not in before:
        return
    kept, inside = [], False
    for line in before.splitlines():
        if line in {BEGIN, END}:
            inside = line == BEGIN
        elif not inside:
            kept.append(line)
    after = "".join(f"{line}\n" for line in [*kept, *([BEGIN, *wanted, END] if wanted else [])])
    _put(path, after.encode("latin-1"))


def _put(path: str, content: bytes) -> None:
    """Nothing is written where it says so already."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read() == content:
            return
    place.write(path, content, mode=0o644, durable=False)


def _list(told: object) -> list[str]:
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
