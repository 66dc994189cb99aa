"""Installed packages: what dpkg, rpm and apk have written down."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from typing import Any, Callable

from .. import programs, rooted
from ..rooted import Root

DPKG = "/var/lib/dpkg/status"
APK = "/lib/apk/db/installed"
RPM = (
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/Packages.db",
)
_WANTED = frozenset((b"Package", b"Status", b"Version", b"Architecture"))
MOST_BYTES = 64 * 1024 * 1024
MOST_ITEMS = 20_000
FORMAT = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\n"


class Packages:
    """Read again only when the manager's database has changed."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._kept: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {}
        self._all: dict[str, Any] = {}

    def section(self) -> dict[str, Any]:
        """OSError when there is no package manager that we know, or its database cannot be read."""
        before = {keeper: kept[1] for keeper, kept in self._kept.items()}
        seen: dict[str, dict[str, Any]] = {}
        readers: list[tuple[str, tuple[str, ...], Callable[[str], dict[str, Any]]]] = [
            ("dpkg", (DPKG,), self._dpkg),
            ("apk", (APK,), lambda path: apk(self._root.read(path, MOST_BYTES))),
            ("rpm", RPM, lambda _: self._rpm()),
        ]
        for keeper, paths, reader in readers:
            path = next((path for path in paths if self._root.exists(path)), None)
            if path is None:
                self._kept.pop(keeper, None)
                continue
            now = self._root.signature(path)
            if keeper not in self._kept or self._kept[keeper][0] != now:
                self._kept[keeper] = (now, reader(path))
            seen[keeper] = self._kept[keeper][1]
        if not seen:
            raise OSError("no package manager's database is there")
        if len(before) != len(seen) or any(before.get(keeper) is not found for keeper, found in seen.items()):
            merged: dict[str, Any] = {}
            for found in seen.values():
                merged.update(found)
            self._all = dict(list(merged.items())[:MOST_ITEMS])
        return self._all

    def signature(self) -> tuple[tuple[int, ...], ...]:
        """What changes when a package is installed or removed."""
        return tuple(self._root.signature(path) for path in (DPKG, APK, *RPM))

    def _dpkg(self, path: str) -> dict[str, Any]:
        with rooted.opened(self._root.inside(path)) as lines:
            return dpkg(lines)

    def _rpm(self) -> dict[str, Any]:
        program = programs.find("rpm")
        if program is None:
            raise OSError("rpm is not there to read its database")
        words = [program, *(["--root", self._root.path] if self._root else []), "-qa", "--qf", FORMAT]
        ran = programs.run(words, timeout_s=60, most_output=MOST_BYTES)
        if ran.exit != 0:
            raise OSError(f"rpm ended with {ran.exit}")
        return rpm(ran.output)


def dpkg(lines: Iterable[bytes]) -> dict[str, Any]:
    """What is installed, from the lines of ``/var/lib/dpkg/status``: of a large file, one at a time."""
    found: dict[str, Any] = {}
    fields: dict[bytes, bytes] = {}
    for line in itertools.chain(lines, (b"",)):
        name, colon, value = line.partition(b":")
        if colon and name in _WANTED:
            fields[name] = value.strip()
        elif not line.strip():
            state = fields.get(b"Status", b"").split()
            if fields.get(b"Package") and fields.get(b"Version") and state[-1:] == [b"installed"]:
                arch = sys.intern(rooted.text(fields.get(b"Architecture", b"")))
                package = {"version": rooted.text(fields[b"Version"]), "arch": arch, "manager": "dpkg"}
                put(found, rooted.text(fields[b"Package"]), package)
            fields = {}
    return found


def apk(raw: bytes) -> dict[str, Any]:
    """What is installed, from the text of ``/lib/apk/db/installed``."""
    found: dict[str, Any] = {}
    for stanza in rooted.text(raw).split("\n\n"):
        fields = {line[:1]: line[2:].strip() for line in reversed(stanza.split("\n")) if line[1:2] == ":"}
        if fields.get("P") and fields.get("V"):
            put(found, fields["P"], {"version": fields["V"], "arch": fields.get("A", ""), "manager": "apk"})
    return found


def rpm(raw: bytes) -> dict[str, Any]:
    """What is installed, from what ``rpm -qa`` says in :data:`FORMAT`. Keys of signatures are no packages."""
    found: dict[str, Any] = {}
    for line in rooted.text(raw).split("\n"):
        words = line.split("\t")
        if len(words) == 3 and words[0] and words[1] and words[0] != "gpg-pubkey":
            put(found, words[0], {"version": words[1], "arch": words[2], "manager": "rpm"})
    return found


def put(found: dict[str, Any], name: str, package: dict[str, str]) -> None:
    """One name can be installed for several architectures, or several times: the later ones get longer names."""
    if name in found and found[name]["arch"] != package["arch"]:
        name = f"{name}:{package['arch']}"
    if name in found and found[name]["version"] != package["version"]:
        name = f"{name}={package['version']}"
    found[name] = package


def age_s(path: str, now: float) -> float:
    """Seconds since a file or folder was changed; very many when it is not there."""
    try:
        return now - os.stat(path).st_mtime
    except OSError:
        return 1e12
