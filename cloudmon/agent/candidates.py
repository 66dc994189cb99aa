"""The newest versions that the package manager offers, of packages that are wanted in some version."""

from __future__ import annotations

from . import programs, rooted
from .clock import Clock
from .collect import packages
from .installing import CACHE, LISTS, NAME, Installer
from .place import Place
from .rooted import Root

DNF_AGAIN_S = 3600.0
"""dnf's lists have no file that always tells when they are new, so it is asked again after so long."""
ASK_S = 60.0


class Candidates:
    """Asked anew only when the manager's lists, or what is installed, changed."""

    def __init__(self, place: Place, root: Root, clock: Clock) -> None:
        self._installer = Installer(place, root, clock)
        self._root = root
        self._clock = clock
        self._known: tuple[object, dict[str, str]] = ((), {})

    def signature(self) -> tuple[tuple[int, ...], ...]:
        """What changes when other versions may be offered."""
        return tuple(self._root.signature(path) for path in (LISTS, CACHE))

    def of(self, names: list[str]) -> dict[str, str]:
        """By package; those of which nothing is known are left out. apk is not asked."""
        asked = [name for name in names if NAME.fullmatch(name)]
        if not asked:
            return {}
        dnf = not self._root.exists(packages.DPKG)
        turn = int(self._clock.monotonic() / DNF_AGAIN_S) if dnf else 0
        paths = packages.RPM if dnf else (packages.DPKG,)
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
        program = programs.find("dnf") if any(self._root.exists(path) for path in packages.RPM) else None
        if program is None:
            return {}
        root = ["--installroot", self._root.path] if self._root else []
        words = ["-q", "-C", *root, "repoquery", "--latest-limit=1", "--qf", "%{name}\\t%{evr}\\n", *names]
        return dnf_evr(programs.run([program, *words], timeout_s=ASK_S).output)


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
