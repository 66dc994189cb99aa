"""Packages put in, taken out and brought up to date, by the manager that the appliance has: apt, dnf or apk."""

from __future__ import annotations

import os
import re
import threading

from . import programs, rooted
from .clock import Clock
from .collect import packages
from .collect.packages import Packages
from .controls import Outcome
from .place import Place, write
from .rooted import Root

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}(:[a-z0-9]{1,16})?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_^-]{0,127}")
LISTS = "/var/lib/apt/lists"
CACHE = "/var/cache/apt/archives"
STALE_S = 3600.0

_APT_OWN = ("-y", "-q", "-o", "DPkg::Lock::Timeout=60", "-o", "DPkg::Options::=--force-confold")
_DOWN = "downgrade"
_DPKG_ROOT = ("--force-not-root", "--force-bad-path", "--log=/dev/null")


class Installer:
    """One change at a time: package managers lock each other out."""

    def __init__(self, place: Place, root: Root, clock: Clock) -> None:
        self._place = place
        self._root = root
        self._clock = clock
        self._turn = threading.Lock()

    def install(self, name: str, version: str, until: float) -> Outcome:
        return self._change("install", name, version, until)

    def update(self, name: str, version: str, until: float) -> Outcome:
        return self._change("update", name, version, until)

    def remove(self, name: str, until: float) -> Outcome:
        return self._change("remove", name, "", until)

    def _change(self, what: str, name: str, version: str, until: float) -> Outcome:
        if not NAME.fullmatch(name):
            return Outcome(False, f"{name[:64]!r} is no name of a package")
        if version and not VERSION.fullmatch(version):
            return Outcome(False, f"{version[:64]!r} is no version of a package")
        with self._turn:
            before = self._installed(name)
            if what == "update" and before is None:
                return Outcome(False, f"{name} is not installed, so it cannot be updated")
            if what == "remove" and before is None:
                return Outcome(True, "", None, f"{name} was not installed")
            if what != "remove" and version and before == version:
                return Outcome(True, "", None, f"{name} {version} was installed already")
            try:
                commands = self._commands(what, name, version)
            except (LookupError, OSError) as wrong:
                return Outcome(False, str(wrong))
            if not commands:
                return Outcome(False, "no package manager that the agent knows is there")
            ran = programs.Ran(None, b"")
            for argv in commands:
                if _DOWN in argv and self._installed(name) == version:
                    break
                left_s = until - self._clock.monotonic()
                if left_s <= 0:
                    return Outcome(False, "there was no time left to do it")
                ran = programs.run(argv, timeout_s=left_s, extra=self.environment())
                # That lists could not be renewed need not keep anything from being installed.
                if (ran.error or ran.exit) and argv[-1] != "update":
                    break
            return self._judged(what, name, version, ran)

    def _judged(self, what: str, name: str, version: str, ran: programs.Ran) -> Outcome:
        output = rooted.text(ran.output)
        if ran.error:
            return Outcome(False, ran.error, ran.exit, output)
        if ran.exit:
            return Outcome(False, f"the package manager ended with {ran.exit}", ran.exit, output)
        after = self._installed(name)
        if what == "remove" and after is not None:
            return Outcome(False, f"{name} is still installed", ran.exit, output)
        if what != "remove" and after is None:
            return Outcome(False, f"{name} is not installed after all", ran.exit, output)
        if version and after != version:
            return Outcome(False, f"{name} is installed as {after}, not {version}", ran.exit, output)
        return Outcome(True, "", ran.exit, output)

    def _installed(self, name: str) -> str | None:
        """The version that is there now; None when there is none, or nobody knows."""
        try:
            found = Packages(self._root).section()
        except OSError:
            return None
        package = found.get(name) or found.get(name.partition(":")[0])
        return package["version"] if package else None

    def environment(self) -> dict[str, str]:
        """What apt's programs need to know so that they look where the appliance is."""
        if self._root:
            self._configure_apt()
        return {"APT_CONFIG": self._place.at("apt.conf")} if self._root else {}

    def _commands(self, what: str, name: str, version: str) -> list[list[str]]:
        """What to run, in this order, by the manager whose database is there. LookupError with a sentence."""
        if self._root.exists(packages.DPKG):
            return self._apt(what, name, version)
        if self._root.exists(packages.APK):
            return self._apk(what, name, version)
        return self._dnf(what, name, version)

    def _apt(self, what: str, name: str, version: str) -> list[list[str]]:
        if self._root and not self.sources():
            return self._dpkg(what, name, version)
        program = programs.find("apt-get")
        if program is None:
            return []
        if self._root:
            self._configure_apt()
        apt = [program, *_APT_OWN]
        if what == "remove":
            return [[*apt, "remove", "--", name]]
        wanted = f"{name}={version}" if version else name
        words = ["--no-install-recommends", *(["--allow-downgrades"] if version else [])]
        words += ["--only-upgrade"] if what == "update" else []
        commands = [[*apt, *words, "install", "--", wanted]]
        if self._root or packages.age_s(LISTS, self._clock.local()) > STALE_S or version:
            commands.insert(0, [program, "-q", "update"])
        return commands

    def sources(self) -> bool:
        """Whether the appliance's root says where apt finds packages."""
        if self._root.exists("/etc/apt/sources.list"):
            return True
        try:
            return bool(os.listdir(self._root.inside("/etc/apt/sources.list.d")))
        except OSError:
            return False

    def _configure_apt(self) -> None:
        """Everything that apt reads and writes is below the root; nothing of the machine's own settings holds."""
        root = self._root.path
        for folder in (f"{LISTS}/partial", f"{CACHE}/partial", "/var/log/apt", "/etc/apt/preferences.d"):
            os.makedirs(self._root.inside(folder), exist_ok=True)
        options = "".join(f'  "{word}";\n' for word in (f"--root={root}", *_DPKG_ROOT))
        told = (
            f'Dir "{root}";\n'
            f'Dir::State::status "{root}{packages.DPKG}";\n'
            'Dir::Bin::dpkg "/usr/bin/dpkg";\n'
            'Dir::Bin::methods "/usr/lib/apt/methods";\n'
            'APT::Sandbox::User "root";\n'
            f"DPkg::Options {{\n{options}}};\n"
        )
        write(self._place.at("apt.conf"), told.encode(), durable=False)

    def _dpkg(self, what: str, name: str, version: str) -> list[list[str]]:
        """Under a root without sources: files that lie in apt's own folder for them."""
        program = programs.find("dpkg")
        if program is None:
            return []
        dpkg = [program, f"--root={self._root.path}", *_DPKG_ROOT]
        if what == "remove":
            return [[*dpkg, "--remove", "--", name]]
        found = self._archive(name, version)
        if not found:
            raise LookupError(f"no file of {name}{' ' if version else ''}{version} lies in {CACHE}")
        return [[*dpkg, "--force-confold", "--install", "--", found]]

    def newest_archive(self, name: str) -> str:
        """The newest version of a package of which a file lies ready; empty when there is none."""
        words = os.path.basename(self._archive(name, "")).split("_")
        return words[1].replace("%3a", ":") if len(words) > 1 else ""

    def _archive(self, name: str, version: str) -> str:
        """The file of a package, of the newest version unless one is named; empty when there is none."""
        folder = self._root.inside(CACHE)
        best, newest = "", ""
        try:
            files = sorted(os.listdir(folder))
        except OSError:
            return ""
        for file in files:
            words = file[: -len(".deb")].split("_") if file.endswith(".deb") else []
            if len(words) < 2 or words[0] != name.partition(":")[0]:
                continue
            # Versions with an epoch have their colon written as a number in names of files.
            found = words[1].replace("%3a", ":")
            if version and found != version:
                continue
            if not newest or self._newer(found, newest):
                best, newest = os.path.join(folder, file), found
        return best

    def _newer(self, one: str, other: str) -> bool:
        return programs.run(["dpkg", "--compare-versions", one, "gt", other], timeout_s=10).exit == 0

    def _apk(self, what: str, name: str, version: str) -> list[list[str]]:
        program = programs.find("apk")
        if program is None:
            return []
        apk = [program, "--no-interactive", *(["--root", self._root.path] if self._root else [])]
        if what == "remove":
            return [[*apk, "del", name]]
        wanted = f"{name}={version}" if version else name
        return [[*apk, "--update-cache", "add", *(["--upgrade"] if what == "update" else []), wanted]]

    def _dnf(self, what: str, name: str, version: str) -> list[list[str]]:
        program = programs.find("dnf") or programs.find("yum")
        if program is None:
            return []
        dnf = [program, "-y", "-q", *(["--installroot", self._root.path] if self._root else [])]
        if version and what != "remove":
            # dnf's install goes to the named version, up or down; yum's does nothing, and says well, where it is older.
            return [[*dnf, verb, f"{name}-{version}"] for verb in ("install", _DOWN)]
        verb = {"install": "install", "update": "upgrade", "remove": "remove"}[what]
        return [[*dnf, verb, name]]
