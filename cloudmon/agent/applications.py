"""Declared applications: which processes they are, whether they are up, how often they came back by themselves."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from . import ending, programs
from .clock import Clock
from .collect import debt, processes, services
from .collect.processes import Process, Table
from .config import Application
from .place import Place
from .probes import Prober
from .rooted import Root

STORE = "applications.json"


class Seen:
    """What is known of one application."""

    def __init__(self) -> None:
        self.state = "unknown"
        self.since = 0
        self.restarts = 0
        self.pid = 0
        """Its main process, the last one that was seen; its ``started`` makes it one process."""
        self.started = 0
        self.own = (0, 0)
        """Pid and start of the process that the agent started for it."""
        self.suspended = False
        """Held asleep by a command, which is to be stopped by an order."""
        self.halted = False
        """Stopped by a command, and left so until it is started again, by whomever."""
        self.ordered = False
        """Whether a command is at work on it: a new process is then no restart by itself."""
        self.running = False
        """Whether its main process was there at the last look."""

    def stored(self) -> dict[str, Any]:
        return {
            "state": self.state, "since": self.since, "restarts": self.restarts, "pid": self.pid,
            "started": self.started, "own": list(self.own), "suspended": self.suspended,
            "halted": self.halted,
        }  # fmt: skip


def restored(told: dict[str, Any]) -> Seen:
    """ValueError, TypeError or KeyError for what was not stored by us."""
    seen = Seen()
    seen.state = str(told["state"])
    seen.since, seen.restarts = int(told["since"]), int(told["restarts"])
    seen.pid, seen.started = int(told["pid"]), int(told["started"])
    seen.own = (int(told["own"][0]), int(told["own"][1]))
    seen.suspended = bool(told["suspended"])
    seen.halted = bool(told.get("halted", False))
    return seen


class Applications:
    """Looks at them. Commands of other threads go through :mod:`controls`."""

    def __init__(self, place: Place, root: Root, clock: Clock, table: Table, prober: Prober) -> None:
        self.root = root
        self.clock = clock
        self.table = table
        self.prober = prober
        self._place = place
        self._lock = threading.RLock()
        self._declared: dict[str, Application] = {}
        self._seen: dict[str, Seen] = {}
        self._boot = ""
        self._news = ""
        self._stored: dict[str, Any] = {}

    def wake(self, boot: str) -> None:
        """Take up what was known before the agent was restarted in the same boot."""
        self._boot = boot
        found = self._place.load(STORE)
        if found.get("boot") != boot or not isinstance(found.get("applications"), dict):
            return
        for name, told in found["applications"].items():
            with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
                self._seen[name] = restored(told)

    def declare(self, wanted: dict[str, Application]) -> None:
        with self._lock:
            self._declared = dict(wanted)
            self._seen = {name: self._seen.get(name) or Seen() for name in wanted}
        self.prober.declare({name: wanted[name].probe for name in wanted if wanted[name].probe})

    def declared(self, name: str) -> Application | None:
        with self._lock:
            return self._declared.get(name)

    def names(self) -> list[str]:
        with self._lock:
            return list(self._declared)

    def seen(self, name: str) -> Seen:
        """KeyError when it is not declared any more."""
        with self._lock:
            return self._seen[name]

    def news(self) -> str:
        """What looks have found since this was asked the last time: ``fault`` when an application went down or lost its
        process, ``change`` when anything else is new, else nothing."""
        with self._lock:
            found, self._news = self._news, ""
            return found

    def look(self) -> None:
        """Look at each. Whoever acts on one looks too, so that its new state is known at once."""
        table: dict[int, Process] | None = None
        with self._lock:
            for name, application in self._declared.items():
                seen = self._seen[name]
                main = self._main(seen)
                if main is None:
                    if table is None:
                        table = self.table.scan()
                    main = self.main(application, table)
                word = self._take(application, seen, main)
                self._news = "fault" if "fault" in (word, self._news) else word or self._news
            self._keep()

    def main(self, application: Application, table: dict[int, Process]) -> Process | None:
        """Its main process, looked for among all."""
        found = self.found(application, table)
        return min(found, key=lambda process: (process.started, process.pid), default=None)

    def found(self, application: Application, table: dict[int, Process]) -> list[Process]:
        """The processes it is known by: its service's, those whose command line it declares, the one we started."""
        program = services.systemctl(self.root) if application.service else None
        if program is not None:
            pid = _main_pid(program, application.service)
            return [table[pid]] if pid in table and table[pid].alive else []
        with self._lock:
            seen = self._seen.get(application.name)
        found = []
        if seen is not None and seen.own[0] in table:
            own = table[seen.own[0]]
            if own.started == seen.own[1] and own.alive:
                found.append(own)
        if application.match:
            # Neither the agent nor who started it, whose command line may well name the application, nor what it runs.
            apart = processes.lineage(table, os.getpid()) | processes.below(table, programs.CURRENT.pids())
            for process in table.values():
                if process.alive and process.pid not in apart and application.match in self.table.command(process):
                    found.append(process)
        return found

    def all_of(self, application: Application, table: dict[int, Process] | None = None) -> list[Process]:
        """Its processes and all that they started, among those of ``table`` or of a look of now."""
        table = self.table.scan() if table is None else table
        tops = {process.pid for process in self.found(application, table)}
        apart = processes.lineage(table, os.getpid())
        return [table[pid] for pid in sorted(processes.below(table, tops) - apart)]

    def section(self, versions: dict[str, Any], candidates: dict[str, str]) -> dict[str, Any]:
        """As the protocol has it; ``versions`` is the section of packages, ``candidates`` what is offered of them."""
        told: dict[str, Any] = {}
        table: dict[int, Process] | None = None
        with self._lock:
            for name, application in self._declared.items():
                seen = self._seen[name]
                item: dict[str, Any] = {"state": seen.state, "since": seen.since, "restarts": seen.restarts}
                if seen.running:
                    item["pid"] = seen.pid
                package = versions.get(application.package) if application.package else None
                if package is not None:
                    item["version"] = package["version"]
                if application.package in candidates:
                    item["candidate"] = candidates[application.package]
                if seen.running:
                    table = self.table.scan() if table is None else table
                    due = debt.runs_replaced((one.pid for one in self.all_of(application, table)), self.root.path)
                    item.update({} if due is None else {"restart_due": due})
                answer = self.prober.answer(name)
                if answer is not None:
                    item["probe"] = {"ok": answer.ok, "error": answer.error}
                told[name] = item
        return told

    def ordered(self, name: str, at_work: bool) -> None:
        """A command begins or ends its work on an application."""
        with self._lock:
            if name in self._seen:
                self._seen[name].ordered = at_work

    def started(self, name: str, process: Process) -> None:
        """The agent started this process for it."""
        with self._lock:
            if name in self._seen:
                self._seen[name].own = (process.pid, process.started)
                self._keep()

    def suspended(self, name: str, asleep: bool) -> None:
        with self._lock:
            if name in self._seen:
                self._seen[name].suspended = asleep
                self._keep()

    def halted(self, name: str, stopped: bool) -> None:
        """Somebody ordered that it is stopped, or that it is not any more."""
        with self._lock:
            if name in self._seen:
                self._seen[name].halted = stopped
                self._keep()

    def _main(self, seen: Seen) -> Process | None:
        """The main process of the last look, when it is still there."""
        if not seen.pid:
            return None
        now = processes.read(seen.pid)
        if now is None or now.started != seen.started:
            return None
        if now.alive:
            return now
        if now.parent == os.getpid():
            ending.collect(now.pid)
        return None

    def _take(self, application: Application, seen: Seen, main: Process | None) -> str:
        """Take over what was found; ``fault``, ``change`` or nothing."""
        before = (seen.state, seen.running, seen.pid, seen.started, seen.restarts)
        other = main is not None and (main.pid, main.started) != (seen.pid, seen.started)
        if main is not None and other:
            if seen.pid and not seen.ordered:
                seen.restarts += 1
            seen.pid, seen.started = main.pid, main.started
            seen.suspended = False
        if main is not None and not seen.ordered:
            seen.halted = False
        lost = (seen.running and main is None) or (other and before[1])
        seen.running = main is not None
        state = self._state(application, seen, main)
        if state != seen.state or not seen.since:
            seen.state, seen.since = state, int(self.clock.now())
        if (seen.state, seen.running, seen.pid, seen.started, seen.restarts) == before:
            return ""
        # One that was never up has not fallen: it may be about to be started.
        fallen = lost or (seen.state == "down" and before[0] == "up")
        return "fault" if fallen and not seen.ordered else "change"

    def _state(self, application: Application, seen: Seen, main: Process | None) -> str:
        probed = self.prober.declared(application.name)
        answer = self.prober.answer(application.name)
        # Asleep because somebody ordered it: whatever its probe says, it has not fallen.
        if main is not None and seen.suspended and main.state in {"T", "t"}:
            return "stopped"
        # Stopped because somebody ordered it: it has not fallen. One that answers all the same was started elsewhere.
        if main is None and seen.halted and not (answer is not None and answer.ok):
            return "stopped"
        # Its process is what it is known by, and is not there.
        if main is None and (application.match or (application.service and services.systemctl(self.root))):
            return "down"
        # Whoever asks it knows best.
        if probed:
            return "unknown" if answer is None else "up" if answer.ok else "down"
        if main is not None:
            return "up"
        # What we start and cannot find is not there; of one that only others start nothing is known.
        return "down" if application.start else "unknown"

    def _keep(self) -> None:
        told = {name: seen.stored() for name, seen in self._seen.items()}
        if told != self._stored:
            self._place.keep({"boot": self._boot, "applications": told}, STORE, durable=False)
            self._stored = told


def _main_pid(program: str, service: str) -> int:
    ran = programs.run([program, "show", "--property=MainPID", "--value", "--", service], timeout_s=10)
    word = ran.output.strip()
    return int(word) if ran.exit == 0 and word.isdigit() else 0
