"""What simulated guests of one template have in common, made once and shared by all of them: frozen by custom, since
whoever changes a section of his own makes a copy of that one."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cloudmon.agent import config
from cloudmon.agent.config import Application, Config
from cloudmon.agent.states import Section, Sections
from cloudmon.model import versions
from cloudmon.model.versions import Wish

NEWEST = "2.0-1"
"""Version of packages that are wanted in none, and the newest one of those that are wanted so."""
OLD = "0.0.1-1"
"""One that is older than anybody wants."""
EPOCH_S = 600
"""Guests that boot within so many seconds of each other say that their programs began at the same instant."""
KNOWN = 256
FIRST_PID = 300

_PACKAGES = ("adduser", "apt", "base-files", "bash", "coreutils", "cron", "curl", "dash", "debianutils", "diffutils",
             "dpkg", "findutils", "gpgv", "grep", "gzip", "hostname", "init", "iproute2", "iputils-ping", "kmod",
             "libc6", "libssl3", "login", "logrotate", "mount", "nftables", "openssh-server", "passwd", "perl-base",
             "procps", "python3", "rsyslog", "sed", "systemd", "tar", "tzdata", "udev", "zlib1g")  # fmt: skip
_SERVICES = ("cron", "rsyslog", "ssh", "systemd-journald", "systemd-logind", "systemd-udevd")
_DAEMONS = ("daemon", "bin", "sys", "www-data", "nobody", "sshd")


class Stock(NamedTuple):
    """A machine as it is when all is well."""

    sections: Sections
    """All but ``system``, which is each guest's own."""
    candidates: Mapping[str, str]
    """The version that the package manager offers, by package that is wanted in some version."""


@functools.lru_cache(maxsize=KNOWN)
def configuration(canonical: bytes) -> Config:
    """A configuration, taken apart once for all who are told the same."""
    return config.parse(json.loads(canonical), starts_at_boot=True)


def of(wanted: Config, booted_at: float) -> Stock:
    """What a machine with these applications has when it has just booted."""
    named = tuple(sorted((name, _key(one)) for name, one in wanted.applications.items()))
    return _made(named, wanted.files, int(booted_at // EPOCH_S) * EPOCH_S)


_Key = tuple[str, str, str, str, bool]


def _key(one: Application) -> _Key:
    return one.match, one.service, one.package, one.version, bool(one.probe)


@functools.lru_cache(maxsize=KNOWN)
def _made(named: tuple[tuple[str, _Key], ...], files: tuple[str, ...], since: int) -> Stock:
    packages: Section = {name: package(NEWEST) for name in _PACKAGES}
    processes: Section = {
        str(pid): process(name, f"/usr/sbin/{name}", since) for pid, name in enumerate(("init", *_SERVICES), 1)
    }
    services: Section = {name: {"state": "running", "enabled": True} for name in _SERVICES}
    applications: Section = {}
    candidates: dict[str, str] = {}
    for place, (name, (match, service, of_package, version, probed)) in enumerate(named):
        pid = FIRST_PID + place
        processes[str(pid)] = process(name, match or f"/usr/bin/{name}", since)
        if service:
            services[service] = {"state": "running", "enabled": True}
        if of_package:
            packages[of_package] = package(good(version))
        if of_package and version:
            candidates[of_package] = good(version)
        applications[name] = application(since, pid, candidates.get(of_package, ""), probed=probed)
    sections: Sections = {
        "packages": packages,
        "files": {path: _file(path) for path in files},
        "accounts": {"root": account(0, "root", "/bin/bash"), **_daemons()},
        "services": services,
        "processes": processes,
        "applications": applications,
        "malware": {},
        "load": load(1),
        "memory": {"now": {"total_mib": 2048, "available_mib": 1400, "swap_total_mib": 0, "swap_used_mib": 0}},
        "disks": {"/": disk(0.3), "/var": disk(0.2)},
        "disk_io": {"vda": {"read_mib": 120, "write_mib": 40, "reads": 9000, "writes": 3000}},
        "network": {"eth0": {"received_mib": 10, "sent_mib": 5, "received_packets": 9000, "sent_packets": 7000}},
    }
    return Stock(sections, candidates)


def good(version: str) -> str:
    """The version of a package that satisfies who wants it in ``version``."""
    try:
        wanted = versions.parse(version)
    except ValueError:
        return NEWEST
    return wanted.version if wanted.wish in (Wish.PINNED, Wish.LEAST) else NEWEST


def package(version: str) -> dict[str, Any]:
    return {"version": version, "arch": "amd64", "manager": "dpkg"}


def process(name: str, command: str, since: float) -> dict[str, Any]:
    return {"name": name[:15], "user": "root", "command": command, "state": "S", "since": int(since), "rss_mib": 8}


def application(since: float, pid: int, candidate: str, *, probed: bool, restarts: int = 0) -> dict[str, Any]:
    """One that is up."""
    told: dict[str, Any] = {"state": "up", "since": int(since), "restarts": restarts, "pid": pid}
    if candidate:
        told["candidate"] = candidate
    if probed:
        told["probe"] = {"ok": True, "error": ""}
    return told


def account(uid: int, name: str, shell: str) -> dict[str, Any]:
    home = "/root" if uid == 0 else f"/home/{name}"
    return {"uid": uid, "gid": uid, "home": home, "shell": shell, "groups": [], "keys": [], "locked": True}


def disk(share: float) -> dict[str, Any]:
    return {"total_mib": 20_480, "used_mib": round(20_480 * share), "used_share": share}


@functools.cache
def load(tenths: int) -> Section:
    """A load of so many tenths."""
    return {"now": {"one": tenths / 10, "five": 0.1, "fifteen": 0.1, "cpus": 2}}


def _daemons() -> Section:
    return {name: account(uid, name, "/usr/sbin/nologin") for uid, name in enumerate(_DAEMONS, 1)}


def _file(path: str) -> dict[str, Any]:
    digest = hashlib.sha256(path.encode()).hexdigest()
    return {"sha256": digest, "size": len(path), "mode": "0644", "owner": "root"}
