"""All that is seen of the appliance, section by section. One that fails is left out: what is not known is absent."""

from __future__ import annotations

from typing import Any, Callable

from . import granting, states, version
from .applications import Applications
from .candidates import Candidates
from .clock import Clock
from .collect import debt, machine, network, services, storage
from .collect.accounts import Accounts
from .collect.files import Files
from .collect.packages import Packages
from .collect.processes import Table
from .config import Config
from .log import Log
from .malware.finds import Finds
from .place import Place
from .rooted import Root

BOOT = "boot.json"


class Eyes:
    """Looks, thoroughly or only at what is cheap to look at."""

    def __init__(  # noqa: PLR0913  # what it looks with
        self, place: Place, root: Root, clock: Clock, log: Log, applications: Applications, table: Table, finds: Finds
    ) -> None:
        self._place = place
        self._root = root
        self._clock = clock
        self._log = log
        self._applications = applications
        self._table = table
        self._finds = finds
        self._packages = Packages(root)
        self._accounts = Accounts(root, lambda: granting.made(place))
        self._files = Files(root)
        self._candidates = Candidates(place, root, clock)
        self._reboot = debt.Reboot(root, clock)
        self._kept: states.Sections = {}
        self._cheap: tuple[object, ...] = ()
        self.boot = ""
        self.booted_at = 0.0
        self._kernel_at = 0.0

    def arrive(self) -> None:
        """Find out which boot this is. Its instant, once found, stays: clocks that move must not move it."""
        self.boot, self.booted_at = machine.boot(self._root, self._clock)
        self._kernel_at = round(self._clock.now() - self._clock.since_boot())
        told = self._place.load(BOOT)
        if told.get("id") == self.boot and all(
            isinstance(told.get(word), (int, float)) for word in ("at", "kernel_at")
        ):
            self.booted_at, self._kernel_at = told["at"], told["kernel_at"]
        else:
            self._place.store({"id": self.boot, "at": self.booted_at, "kernel_at": self._kernel_at}, BOOT)

    def sections(self, config: Config, interval_s: float) -> states.Sections:
        """The whole state as it is now. A section that is as it was is the same object as the last time."""
        names = self._accounts.names()
        self._cheap = self._glance(config)
        found: states.Sections = {}
        self._put(found, "system", lambda: self._system(interval_s))
        self._put(found, "packages", self._packages.section)
        self._put(found, "accounts", self._accounts.section)
        self._put(found, "services", lambda: services.section(self._root), expected=False)
        if config.files:
            self._put(found, "files", lambda: self._files.section(list(config.files), names))
        self._put(found, "load", lambda: {"now": machine.load()})
        self._put(found, "memory", lambda: {"now": machine.memory()})
        self._put(found, "disks", lambda: storage.disks(self._root))
        self._put(found, "disk_io", storage.disk_io)
        self._put(found, "network", network.section)
        self._put(found, "processes", lambda: self._table.section(names, self._kernel_at))
        if config.applications:
            versions = found.get("packages", {})
            self._put(found, "applications", lambda: self._applications.section(versions, self._offered(config)))
        malware = self._finds.section() if config.malware is not None else None
        if malware is not None:
            self._put(found, "malware", lambda: malware)
        self._kept = found
        return found

    def changed(self, config: Config) -> bool:
        """A cheap look at what seldom changes: whether it has since the last thorough one."""
        return self._glance(config) != self._cheap

    def _glance(self, config: Config) -> tuple[object, ...]:
        return (
            config.hash,
            self._accounts.signature(),
            self._packages.signature(),
            self._files.signature(list(config.files)),
            self._candidates.signature() if _wanted(config) else (),
            self._finds.signature() if config.malware is not None else (),
        )

    def _offered(self, config: Config) -> dict[str, str]:
        """What the package manager offers of what is wanted in some version. Nothing, where it cannot be asked."""
        try:
            return self._candidates.of(_wanted(config))
        except OSError as wrong:
            self._log.once("candidates cannot be told", str(wrong)[:300])
            return {}

    def _put(
        self, found: states.Sections, name: str, look: Callable[[], dict[str, Any]], *, expected: bool = True
    ) -> None:
        """``expected``: that it is not known is worth a line."""
        try:
            section = look()
            if section is self._kept.get(name):
                found[name] = section
                return
            # Text that cannot be written down is as good as unknown, and better found here.
            states.canonical(section)
        except Exception as wrong:
            if expected:
                self._log.once(f"{name} cannot be told", f"{type(wrong).__name__}: {wrong}"[:300])
            return
        self._log.well(f"{name} cannot be told")
        before = self._kept.get(name)
        found[name] = before if before is not None and states.same(before, section) else section

    def _system(self, interval_s: float) -> dict[str, Any]:
        boot: dict[str, Any] = {"id": self.boot, "at": self.booted_at}
        due = self._reboot.due()
        if due is not None:
            boot["reboot_due"] = due
        return {
            "host": machine.host(self._root),
            "boot": boot,
            "agent": {"version": version.VERSION, "interval_s": round(interval_s)},
        }


def _wanted(config: Config) -> list[str]:
    """Packages that are wanted in some version."""
    return sorted({one.package for one in config.applications.values() if one.package and one.version})
