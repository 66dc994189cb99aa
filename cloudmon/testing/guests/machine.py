"""The machine of a simulated guest: its state as an agent would see it, what strikes it, and what commands do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudmon.agent import version
from cloudmon.agent.config import Config
from cloudmon.agent.states import Sections
from cloudmon.testing.guests import stock
from cloudmon.testing.guests.faults import IN_MEMORY, Fault, chance

LOOP_S = 20.0
"""Between two starts of an application that falls again and again."""
BAD_SHARE = 0.97
SIGNATURE = "Simulated.Test.File"
STUBBORN = 0.25
"""How many in one withstand the first try to put them right."""
BREATHS = 3
"""Tenths by which a quiet machine's load goes up and down."""


class Machine:
    """One machine. Time is an argument, in unix seconds of its own clock."""

    __slots__ = ("_breath", "_candidates", "_looped_at", "_name", "_next_pid", "_sections", "_seed", "_stubborn",
                 "boot", "config", "faults", "news")  # fmt: skip

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        self._sections: Sections = {}
        self._candidates: Mapping[str, str] = {}
        self._stubborn: frozenset[Fault] = frozenset()
        self._looped_at = 0.0
        self._next_pid = 1_000
        self._breath = 0
        self.boot = ""
        self.config = Config()
        self.faults: dict[Fault, str] = {}
        """What is wrong with it, each with what it is wrong with."""
        self.news = ""
        """Why a report is worth while: ``fault``, ``change`` or nothing."""

    # --- what the agent sees ------------------------------------------------------------------------------------------

    def sections(self, _config: Config, interval_s: float) -> Sections:
        """All of it, as a report tells it. Sections that did not change are the same objects."""
        system = self._sections.get("system")
        if system is not None and system["agent"]["interval_s"] != round(interval_s):
            self._put("system", "agent", {"version": version.VERSION, "interval_s": round(interval_s)})
        return dict(self._sections)

    def breathe(self) -> None:
        """A quiet machine's load is never quite the same."""
        self._breath += 1
        self._sections["load"] = stock.load(1 + int(BREATHS * chance(self._seed, "load", self._breath)))

    # --- boots and orders ---------------------------------------------------------------------------------------------

    def up(self, boot: str, at: float) -> None:
        """It boots: what was wrong in memory only is over, and applications start."""
        self.boot = boot
        if not self._sections:
            self._sections = dict(stock.of(self.config, at).sections)
        self._sections["system"] = {
            "host": {"name": self._name, "os": "debian", "os_version": "12", "kernel": "6.1.0", "arch": "x86_64"},
            "boot": {"id": boot, "at": int(at)},
            "agent": {"version": version.VERSION, "interval_s": 30},
        }
        for fault in IN_MEMORY & self.faults.keys():
            del self.faults[fault]
        for name in self._sections["applications"]:
            self._started(name, at, restarts=0)
        self.news = ""

    def declare(self, config: Config, at: float) -> None:
        """Another configuration is in force: what is installed stays as it is, what is new comes up."""
        fresh = not self.config.hash
        self.config = config
        found = stock.of(config, at)
        self._candidates = found.candidates
        if fresh:
            system = self._sections.get("system")
            self._sections = dict(found.sections)
            if system is not None:
                self._sections["system"] = system
            return
        applications = self._sections["applications"]
        for name in [name for name in applications if name not in config.applications]:
            self._drop("applications", name)
        for name, one in config.applications.items():
            if name not in applications:
                self._started(name, at)
            elif one.package in self._candidates:
                self._put("applications", name, {**applications[name], "candidate": self._candidates[one.package]})
        self.news = self.news or "change"

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def may_suffer(self, fault: Fault) -> bool:
        """Whether there is anything here that it could strike."""
        if fault in (Fault.CRASHED, Fault.RESTART_LOOP):
            return bool(self._sections.get("applications"))
        return bool(self._candidates if fault is Fault.OUTDATED else self.config.hash)

    def strike(self, fault: Fault, at: float) -> None:
        """It happens. What is struck already is struck no harder. ValueError where nothing here could be struck."""
        if not self.may_suffer(fault):
            raise ValueError(f"nothing on {self._name} can be {fault}: its template declares no such thing")
        if fault in self.faults:
            return
        if chance(self._seed, "stubborn", fault) < STUBBORN:
            self._stubborn |= {fault}
        self.faults[fault] = self._struck(fault, at)
        if fault is not Fault.SILENT:
            self.news = "fault"

    def _struck(self, fault: Fault, at: float) -> str:
        if fault is Fault.CRASHED:
            name = self._one_of(self._sections["applications"])
            self._fell(name, at)
            return name
        if fault is Fault.RESTART_LOOP:
            self._looped_at = 0.0
            return self._one_of(self._sections["applications"])
        if fault is Fault.MALWARE:
            path = f"/srv/upload/{int(chance(self._seed, 'path', at) * 9_999):04d}.com"
            told = {"signature": SIGNATURE, "engine": "hash", "sha256": "0" * 64, "size": 68, "mode": "0644",
                    "owner": "root", "found_at": int(at)}  # fmt: skip
            self._put("malware", path, told)
            return path
        if fault is Fault.OUTDATED:
            package = self._one_of(self._candidates)
            self._put("packages", package, stock.package(stock.OLD))
            return package
        if fault is Fault.STRAY_ACCOUNT:
            user = f"mallory{int(chance(self._seed, 'user', at) * 99):02d}"
            self._put("accounts", user, stock.account(1_666, user, "/bin/bash"))
            return user
        if fault is Fault.DISK_FULL:
            self._put("disks", "/", stock.disk(BAD_SHARE))
            return "/"
        return "agent"

    def live(self, at: float) -> float | None:
        """What goes on by itself; when it is to be looked at again."""
        name = self.faults.get(Fault.RESTART_LOOP)
        if name is None:
            return None
        if at >= self._looped_at + LOOP_S:
            self._looped_at = at
            told = self._sections["applications"].get(name, {})
            self._started(name, at, restarts=told.get("restarts", 0) + 1)
            if self.faults.get(Fault.CRASHED) == name:
                del self.faults[Fault.CRASHED]
            self.news = "fault"
        return self._looped_at + LOOP_S

    # --- what commands are made of ------------------------------------------------------------------------------------

    def withstands(self, fault: Fault) -> bool:
        """Whether this try to put it right fails; the next one does not."""
        if fault not in self.faults or fault not in self._stubborn:
            return False
        self._stubborn -= {fault}
        return True

    def well_again(self, fault: Fault, of: str = "") -> None:
        """It is over, if it concerned this."""
        if fault in self.faults and of in ("", self.faults[fault]):
            del self.faults[fault]
        self.news = self.news or "change"

    def has(self, section: str, item: str) -> bool:
        """Whether it has such an item."""
        return item in self._sections.get(section, ())

    def items(self, section: str) -> dict[str, Any]:
        """The items of a section; not to be changed."""
        return self._sections.get(section, {})

    def put(self, section: str, item: str, told: dict[str, Any]) -> None:
        """An item is there, and is so."""
        self._put(section, item, told)
        self.news = self.news or "change"

    def drop(self, section: str, item: str) -> None:
        """An item is there no more."""
        self._drop(section, item)
        self.news = self.news or "change"

    def start(self, name: str, at: float) -> None:
        """An application is started, again if it runs; what was wrong with it is over."""
        self._started(name, at)
        self.well_again(Fault.CRASHED, name)
        self.well_again(Fault.RESTART_LOOP, name)

    def stop(self, name: str, at: float) -> None:
        """An application is stopped or suspended by an order: it has not fallen."""
        self._fell(name, at, "stopped")
        self.well_again(Fault.CRASHED, name)
        self.well_again(Fault.RESTART_LOOP, name)

    def fall(self, name: str, at: float) -> None:
        """An application is down though nobody ordered that."""
        self.faults.setdefault(Fault.CRASHED, name)
        self._fell(name, at)
        self.news = "fault"

    def install(self, package: str, wanted: str) -> str:
        """A package is there in this version, or in what is offered; which one it came to."""
        found = wanted or self._candidates.get(package, stock.NEWEST)
        self.put("packages", package, stock.package(found))
        if found == self._candidates.get(package, found):
            self.well_again(Fault.OUTDATED, package)
        return found

    # --- inside -------------------------------------------------------------------------------------------------------

    def _put(self, section: str, item: str, told: dict[str, Any]) -> None:
        self._sections[section] = {**self._sections.get(section, {}), item: told}

    def _drop(self, section: str, item: str) -> None:
        self._sections[section] = {name: told for name, told in self._sections[section].items() if name != item}

    def _one_of(self, names: Mapping[str, Any]) -> str:
        found = sorted(names)
        return found[int(chance(self._seed, "which") * len(found)) % len(found)]

    def _started(self, name: str, at: float, restarts: int | None = None) -> None:
        one, before = self.config.applications[name], self._sections["applications"].get(name, {})
        self._ended(before)
        pid = self._next_pid = self._next_pid + 1
        self._put("processes", str(pid), stock.process(name, one.match or f"/usr/bin/{name}", at))
        kept = before.get("restarts", 0) if restarts is None else restarts
        candidate = self._candidates.get(one.package, "")
        self._put(
            "applications",
            name,
            stock.application(at, pid, candidate, probed=bool(one.probe), restarts=kept),
        )

    def _fell(self, name: str, at: float, state: str = "down") -> None:
        before = self._sections["applications"].get(name, {})
        self._ended(before)
        kept = {key: value for key, value in before.items() if key in ("restarts", "candidate")}
        told = {**kept, "state": state, "since": int(at)}
        if "probe" in before:
            told["probe"] = {"ok": False, "error": "nobody answers"}
        self._put("applications", name, told)

    def _ended(self, application: dict[str, Any]) -> None:
        pid = str(application.get("pid", ""))
        if pid in self._sections["processes"]:
            self._drop("processes", pid)
