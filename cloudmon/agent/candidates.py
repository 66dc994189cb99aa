"""The newest versions that the package manager offers, of packages that are wanted in some version."""

from __future__ import annotations

import re

from . import programs, rooted
from .clock import Clock
from .collect import packages
from .installing import CACHE, LISTS, NAME, Installer
from .place import Place
from .rooted import Root

DNF_AGAIN_S = 3600.0
"""dnf's lists have no file that always tells when they are new, so it is asked again after so long."""
ASK_S = 60.0
APK_LISTS = ("/var/cache/apk", "/etc/apk/cache")
_APK_VERSION = r"[0-9]+(?:\.[0-9]+)*[a-z]?(?:_[a-z]+[0-9]*)*(?:~[0-9a-f]+)?(?:-r[0-9]+)?"
_APK_LINE = re.compile(
    rf"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)-(?P<has>{_APK_VERSION}) +(?P<is>[<>=]) (?P<offered>{_APK_VERSION})"
    r"(?: @?[A-Za-z0-9._-]+)?"
)


class Candidates:
    """Asked anew only when the manager's lists, or what is installed, changed."""

    def __init__(self, place: Place, root: Root, clock: Clock) -> None:
        self._installer = Installer(place, root, clock)
        self._root = root
        self._clock = clock
        self._known: tuple[object, dict[str, str]] = ((), {})

    def signature(self) -> tuple[tuple[int, ...], ...]:
        """What changes when other versions may be offered."""
        return tuple(self._root.signature(path) for path in (LISTS, CACHE, *APK_LISTS))

    def of(self, names: list[str]) -> dict[str, str]:
        """By package; those of which nothing is known are left out. apk knows of installed ones only."""
        asked = [name for name in names if NAME.fullmatch(name)]
        if not asked:
            return {}
        own = next((path for path in (packages.DPKG, packages.APK) if self._root.exists(path)), "")
        turn = 0 if own else int(self._clock.monotonic() / DNF_AGAIN_S)
        paths = (own,) if own else packages.RPM
        now = (asked, turn, self.signature(), tuple(self._root.signature(path) for path in paths))
        if self._known[0] != now:
            self._known = (now, self._ask(asked))
        return self._known[1]

    def _ask(self, names: list[str]) -> dict[str, str]:
        if self._root.exists(packages.DPKG):
            if self._root and not self._installer.sources():
                found = {name: self._installer.newest_archive(name) for name in names}
                return {name: version for name, version in found.items() if version}
            program = programs.find("apt-cache")
            if program is None:
                return {}
            extra = self._installer.environment()
            return apt(programs.run([program, "policy", "--", *names], timeout_s=ASK_S, extra=extra).output)
        if self._root.exists(packages.APK):
            return self._ask_apk(names)
        program = programs.find("dnf") if any(self._root.exists(path) for path in packages.RPM) else None
        if program is None:
            return {}
        root = ["--installroot", self._root.path] if self._root else []
        words = ["-q", "-C", *root, "repoquery", "--latest-limit=1", "--qf", "%{name}\\t%{evr}\\n", *names]
        return dnf_evr(programs.run([program, *words], timeout_s=ASK_S).output)

    def _ask_apk(self, names: list[str]) -> dict[str, str]:
        program = programs.find("apk")
        if program is None:
            return {}
        root = ["--root", self._root.path] if self._root else []
        found = apk(programs.run([program, "--no-network", *root, "version", *names], timeout_s=ASK_S).output)
        return {name: version for name, version in found.items() if name in names}


def apt(raw: bytes) -> dict[str, str]:
    """What ``apt-cache policy`` says that would be installed."""
    found, name = {}, ""
    for line in rooted.text(raw).split("\n"):
        if line and not line[0].isspace() and line.endswith(":"):
            name = line[:-1]
        word, colon, value = line.strip().partition(": ")
        if name and colon and word == "Candidate" and value.strip() not in {"", "(none)"}:
            found[name] = value.strip()
    return found


def dnf_evr(raw: bytes) -> dict[str, str]:
    """What ``dnf repoquery`` says, one package a line; an epoch of 0 is none."""
    found = {}
    for line in rooted.text(raw).split("\n"):
        name, tab, version = line.strip().partition("\t")
        if tab and name and version:
            found[name] = version[2:] if version.startswith("0:") else version
    return found


def apk(raw: bytes) -> dict[str, str]:
    """What ``apk version`` says of installed packages: ``name-1.0-r0 < 1.2-r0``.

    Nothing is known of one that no list has (``?``), or that fills its column, where apk 2 may have cut it off.
    One that is newer than all lists is itself the newest.
    """
    found = {}
    for line in rooted.text(raw).split("\n"):
        told = _APK_LINE.fullmatch(line.rstrip())
        if told is not None:
            found[told["name"]] = told["has"] if told["is"] == ">" else told["offered"]
    return found
