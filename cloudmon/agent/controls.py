"""What is done to applications: start, stop, suspend, resume. Each waits until it is seen to be so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, NamedTuple

from . import ending, programs, rooted
from .applications import Applications
from .collect import processes, services
from .collect.processes import Process
from .config import Application
from .log import Log
from .place import Place

PATIENCE_S = 10.0
"""Between asking processes to end and making them."""
STEADY_S = 1.0
"""An application that nobody can ask counts as up when it has run so long."""
HEARD_S = 2.0
MOST_LOG = 1024 * 1024


class Outcome(NamedTuple):
    """What was done came to this."""

    ok: bool
    error: str = ""
    """One sentence; empty when ``ok``."""
    exit: int | None = None
    output: str = ""


class Controls:
    """Acts on applications. ``until`` is an instant of the monotonic clock."""

    def __init__(self, place: Place, applications: Applications, log: Log) -> None:
        self._place = place
        self._applications = applications
        self.root = applications.root
        self._clock = applications.clock
        self._log = log
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._turns: dict[str, threading.RLock] = {}

    def restart(self, application: Application, until: float) -> Outcome:
        with self._turn(application):
            self._applications.halted(application.name, False)
            return self._restart(application, until)

    def start(self, application: Application, until: float) -> Outcome:
        """Of an application that is up already: nothing is done, and that is well."""
        with self._turn(application):
            self._applications.halted(application.name, False)
            return self._start(application, until)

    def stop(self, application: Application, until: float) -> Outcome:
        """It stays stopped, and is told as such, until somebody starts it."""
        with self._turn(application):
            self._applications.halted(application.name, True)
            outcome = self._stop(application, until)
            if not outcome.ok:
                self._applications.halted(application.name, False)
            return outcome

    def suspend(self, application: Application) -> Outcome:
        """Hold all its processes asleep."""
        with self._turn(application):
            return self._signal(application, signal.SIGSTOP, asleep=True)

    def resume(self, application: Application) -> Outcome:
        with self._turn(application):
            return self._signal(application, signal.SIGCONT, asleep=False)

    def tidy(self) -> None:
        """Take note of applications of ours that have ended, and keep their logs small."""
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                self._children.pop(pid, None)
        with contextlib.suppress(OSError):
            folder = self._place.folder("applications")
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.path.getsize(path) > MOST_LOG:
                    os.truncate(path, 0)

    def _turn(self, application: Application) -> threading.RLock:
        """One thing at a time is done to an application, whoever asks."""
        return self._turns.setdefault(application.name, threading.RLock())

    def _restart(self, application: Application, until: float) -> Outcome:
        program = self._systemctl(application)
        if program is not None:
            with self._at_work(application):
                ran = self._run([program, "restart", "--", application.service], until)
                return ran if not ran.ok else self._until_up(application, until, None)
        if not application.start:
            return Outcome(False, f"{application.name} declares neither a service that runs here nor a start command")
        stopped = self._stop(application, until)
        return stopped if not stopped.ok else self._start(application, until)

    def _start(self, application: Application, until: float) -> Outcome:
        with self._at_work(application):
            if self._applications.all_of(application):
                up = self._until_up(application, until, None, is_there=True)
                # One that fell while it was waited for is started after all.
                if up.ok or self._applications.all_of(application):
                    return up
            program = self._systemctl(application)
            if program is not None:
                ran = self._run([program, "start", "--", application.service], until)
                return ran if not ran.ok else self._until_up(application, until, None)
            return self._launch(application, until)

    def _stop(self, application: Application, until: float) -> Outcome:
        with self._at_work(application):
            return self._halt(application, until)

    @contextlib.contextmanager
    def _at_work(self, application: Application) -> Iterator[None]:
        """What happens to the application meanwhile, it does not do by itself."""
        self._applications.ordered(application.name, True)
        try:
            yield
        finally:
            self._applications.look()
            self._applications.ordered(application.name, False)

    def _systemctl(self, application: Application) -> str | None:
        return services.systemctl(self.root) if application.service else None

    def _run(self, argv: list[str], until: float) -> Outcome:
        ran = programs.run(argv, timeout_s=max(1.0, until - self._clock.monotonic()), root=self.root)
        output = rooted.text(ran.output)
        if ran.error:
            return Outcome(False, ran.error, ran.exit, output)
        if ran.exit != 0:
            return Outcome(False, f"{os.path.basename(argv[0])} ended with {ran.exit}", ran.exit, output)
        return Outcome(True, "", ran.exit, output)

    def _launch(self, application: Application, until: float) -> Outcome:
        """Start it by its own command, whose output goes to a file of the agent's."""
        path = os.path.join(self._place.folder("applications"), f"{application.name}.log")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as output:
            try:
                child = self._child(application, output)
            except (OSError, ValueError) as wrong:
                return Outcome(False, f"{application.name} could not be started: {wrong}")
        self._children[child.pid] = child
        process = processes.read(child.pid)
        if process is not None:
            self._applications.started(application.name, process)
        outcome = self._until_up(application, until, child)
        if outcome.ok:
            return outcome
        return outcome._replace(exit=child.poll(), output=rooted.text(_tail(path)))

    def _child(self, application: Application, output: IO[bytes]) -> subprocess.Popen[bytes]:
        argv = programs.words(application.start, self.root)
        return programs.start(argv, output=output, root=self.root, extra={"CLOUDMON_APPLICATION": application.name})

    def _until_up(
        self, application: Application, until: float, child: subprocess.Popen[bytes] | None, *, is_there: bool = False
    ) -> Outcome:
        """Wait until it is seen to be up: by its probe, or by having run for a while. One that ``is_there`` already is
        not waited for once it has gone."""
        since: float | None = None
        wrong = "it is not up"
        while True:
            answer = self._applications.prober.now(application.name)
            there = bool(self._applications.found(application, self._applications.table.scan()))
            if is_there and not there:
                return Outcome(False, f"{application.name} ended while it was waited for")
            ended = child is not None and child.poll() is not None
            if answer is not None and answer.ok and (there or not application.match):
                return Outcome(True)
            if answer is None and there:
                since = self._clock.monotonic() if since is None else since
                if self._clock.monotonic() - since >= STEADY_S:
                    return Outcome(True)
            elif not there:
                since = None
                wrong = "its process is not there"
            if answer is not None and not answer.ok:
                wrong = f"its probe says: {answer.error}"
            # A command that ended well may have left the application behind; one that failed has not.
            if child is not None and ended and not there and child.returncode:
                return Outcome(False, f"{application.name} ended at once with {child.returncode}")
            if self._clock.monotonic() >= until:
                return Outcome(False, f"{application.name} did not come up in time: {wrong}")
            self._clock.rest(ending.STEP_S)

    def _halt(self, application: Application, until: float) -> Outcome:
        program = self._systemctl(application)
        if program is not None:
            # Whom a service leaves behind on purpose is for its unit to say.
            return self._run([program, "stop", "--", application.service], until)
        there = self._applications.all_of(application)
        ran = Outcome(True)
        if application.stop and there:
            if any(process.state in {"T", "t"} for process in there):
                for process in there:
                    ending.send(process, signal.SIGCONT)
            ran = self._run(programs.words(application.stop, self.root), until)
            ending.gone(there, self._clock, within_s=min(PATIENCE_S, max(0.0, until - self._clock.monotonic())))
        left = self._end([*there, *self._applications.all_of(application)], until)
        if left:
            return Outcome(False, f"{application.name} did not end: {len(left)} of its processes are left", ran.exit)
        # However its own command ended, nothing is left of it.
        return Outcome(True, "", ran.exit, ran.output)

    def _end(self, meant: list[Process], until: float) -> list[Process]:
        left = {(process.pid, process.started): process for process in meant if ending.same(process)}
        patience_s = min(PATIENCE_S, max(0.5, until - self._clock.monotonic() - 5))
        try:
            return ending.end(left.values(), self._clock, patience_s=patience_s)
        except PermissionError:
            return list(left.values())

    def _signal(self, application: Application, number: int, *, asleep: bool) -> Outcome:
        there = self._applications.all_of(application)
        if not there:
            return Outcome(False, f"no process of {application.name} is there")
        # Noted first: a look in between must not take it for fallen.
        self._applications.suspended(application.name, asleep)
        try:
            reached = [process for process in there if ending.send(process, number)]
        except PermissionError:
            self._applications.suspended(application.name, not asleep)
            return Outcome(False, f"the agent may not signal the processes of {application.name}")
        # A signal takes its time; that it was heard is to be seen in the next report.
        until = self._clock.monotonic() + HEARD_S
        while self._clock.monotonic() < until and any(_asleep(process) is (not asleep) for process in reached):
            self._clock.rest(ending.STEP_S / 10)
        self._applications.look()
        if not reached:
            return Outcome(False, f"the processes of {application.name} were gone")
        return Outcome(True, "", None, f"{len(reached)} processes")


def _asleep(process: Process) -> bool | None:
    now = processes.read(process.pid)
    return None if now is None else now.state in {"T", "t"}


def _tail(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 4096))
            return file.read(4096)
    except OSError:
        return b""
