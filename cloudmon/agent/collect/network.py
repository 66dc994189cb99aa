"""Interfaces: their addresses, and what went through them."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from typing import Any

from .. import rooted

SIOCGIFADDR = 0x8915
MOST_ITEMS = 256


def counters(raw: bytes) -> dict[str, dict[str, Any]]:
    """``/proc/net/dev``: counted since the kernel booted."""
    found = {}
    for line in raw.split(b"\n"):
        name, colon, rest = line.rpartition(b":")
        words = rest.split()
        if not colon or len(words) < 16 or not all(map(rooted.counts, words[:16])):
            continue
        found[rooted.text(name.strip())] = {
            "received_mib": round(int(words[0]) / 1048576, 1),
            "sent_mib": round(int(words[8]) / 1048576, 1),
            "received_packets": int(words[1]),
            "sent_packets": int(words[9]),
        }
    return found


def addresses6(raw: bytes) -> dict[str, list[str]]:
    """``/proc/net/if_inet6``."""
    found: dict[str, list[str]] = {}
    for line in raw.split(b"\n"):
        words = line.split()
        if len(words) != 6 or len(words[0]) != 32:
            continue
        try:
            address = ipaddress.IPv6Address(int(words[0], 16))
        except ValueError:
            continue
        found.setdefault(rooted.text(words[5]), []).append(str(address))
    return found


def section() -> dict[str, Any]:
    """Every interface but the one that leads back to the machine itself."""
    with open("/proc/net/dev", "rb") as file:
        told = counters(file.read())
    told.pop("lo", None)
    told = dict(list(told.items())[:MOST_ITEMS])
    found: dict[str, list[str]] = {}
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", "rb") as file:
        found = addresses6(file.read())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for name, item in told.items():
            own = found.get(name, [])
            with contextlib.suppress(OSError):
                reply = fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                own = [*own, socket.inet_ntoa(reply[20:24])]
            item["addresses"] = sorted(own)
    return told
