"""What the monitor may ask for. Nothing else is done, and nothing is done by a shell."""

from __future__ import annotations

import os
from typing import Any, Callable

from . import ending, programs, rooted
from .clock import Clock
from .collect import processes
from .collect.processes import Table
from .config import Application, Config
from .controls import Controls, Outcome
from .granting import Granting
from .installing import Installer
from .malware.quarantine import Quarantine
from .malware.watch import Watch
from .upgrade import Upgrade

RESTART_S = 120.0
"""Seconds that an application has to come up after it was installed or updated."""

ALLOWED = {
    "report_now": ((), ()),
    "app_install": ((), ("application", "package", "version", "restart")),
    "app_update": ((), ("application", "package", "version", "restart")),
    "app_remove": ((), ("application", "package")),
    "app_restart": (("application",), ()),
    "app_stop": (("application",), ()),
    "app_suspend": (("application",), ()),
    "app_resume": (("application",), ()),
    "job_run": (("job",), ()),
    "process_end": (("pid", "name"), ()),
    "account_grant": (("user", "key"), ("rights",)),
    "account_revoke": (("user",), ("only_made",)),
    "scan": ((), ("path", "signature")),
    "quarantine": (("path",), ()),
    "agent_upgrade": ((), ()),
}
"""By verb: the arguments that it needs, and those it may have."""
LONGEST = {"key": 16_384, "path": 4_096}
"""Characters of an argument that may be longer than others: several keys, one a line."""


def fault(verb: str, arguments: dict[str, Any]) -> str:
    """What is wrong with a command, in a sentence; empty when nothing is."""
    if verb not in ALLOWED:
        return f"this agent knows no {verb[:64]!r}"
    needed, possible = ALLOWED[verb]
    for name in needed:
        if not arguments.get(name):
            return f"{verb} needs {' and '.join(needed)}"
    for name, value in arguments.items():
        if name not in needed and name not in possible:
            return f"{verb} has no argument {name[:64]!r}"
        if not isinstance(value, str) or len(value) > LONGEST.get(name, 256) or "\0" in value:
            return f"{verb}: {name} must be a short text"
        if name == "path" and not value.startswith("/"):
            return f"{verb}: path must begin with /"
    if verb in {"app_install", "app_update", "app_remove"}:
        if not arguments.get("application") and not arguments.get("package"):
            return f"{verb} needs application or package"
    if verb == "process_end":
        pid = arguments["pid"]
        if not (pid.isascii() and pid.isdigit() and len(pid) < 10):
            return "process_end: pid must be a number"
    return ""


def lane(verb: str, arguments: dict[str, Any]) -> str:
    """What a command must have for itself while it runs; ``*``: everything, nothing: nothing."""
    if verb == "agent_upgrade":
        return "*"
    if verb.startswith("app_"):
        return f"application {arguments.get('application') or arguments.get('package')}"
    if verb == "job_run":
        return f"job {arguments.get('job')}"
    if verb in {"scan", "quarantine"}:
        return verb
    return "accounts" if verb.startswith("account_") else ""


class Verbs:
    """Performs them, on whatever thread."""

    def __init__(  # noqa: PLR0913  # one thing each, named by the caller
        self,
        controls: Controls,
        installer: Installer,
        granting: Granting,
        upgrade: Upgrade,
        table: Table,
        clock: Clock,
        config: Callable[[], Config],
        watch: Watch,
        quarantine: Quarantine,
    ) -> None:
        self._controls = controls
        self._installer = installer
        self._granting = granting
        self._upgrade = upgrade
        self._table = table
        self._clock = clock
        self._config = config
        self._watch = watch
        self._quarantine = quarantine

    def perform(self, verb: str, arguments: dict[str, str], until: float) -> Outcome:
        """``until`` is an instant of the monotonic clock. Commands with a :func:`fault` are not for here."""
        if verb == "report_now":
            return Outcome(True)  # every result goes with a report
        if verb == "agent_upgrade":
            return self._upgrade.prepare()
        if verb == "process_end":
            return self._process_end(int(arguments["pid"]), arguments["name"], until)
        if verb == "account_grant":
            return self._granting.grant(arguments["user"], arguments["key"], arguments.get("rights", ""), until)
        if verb == "account_revoke":
            only_made = arguments.get("only_made") == "yes"
            return self._granting.revoke(arguments["user"], until, only_made=only_made)
        if verb == "scan":
            return self._watch.scan(arguments.get("path", ""), arguments.get("signature", ""), until)
        if verb == "quarantine":
            return self._quarantine.put_away(arguments["path"], until)
        if verb == "job_run":
            return self._job(arguments["job"], until)
        name = arguments.get("application", "")
        application = self._config().applications.get(name)
        if name and application is None:
            return Outcome(False, f"no application {name[:64]!r} is declared here")
        if verb in {"app_install", "app_update", "app_remove"}:
            return self._package(verb, application, arguments, until)
        if application is None:
            return Outcome(False, f"{verb} needs application")
        return self._application(verb, application, until)

    def _application(self, verb: str, application: Application, until: float) -> Outcome:
        if verb == "app_restart":
            return self._controls.restart(application, until)
        if verb == "app_stop":
            return self._controls.stop(application, until)
        if verb == "app_suspend":
            return self._controls.suspend(application)
        return self._controls.resume(application)

    def _package(self, verb: str, application: Application | None, arguments: dict[str, str], until: float) -> Outcome:
        name = arguments.get("package") or (application.package if application is not None else "")
        if not name:
            return Outcome(False, f"{arguments.get('application', '')} declares no package")
        if verb == "app_remove":
            return self._installer.remove(name, until)
        put = self._installer.install if verb == "app_install" else self._installer.update
        done = put(name, arguments.get("version", ""), until)
        if not done.ok or application is None or arguments.get("restart") != "yes":
            return done
        return self._restarted(application, done, until)

    def _restarted(self, application: Application, put: Outcome, until: float) -> Outcome:
        """Installed or updated, and started again so that what is installed is what runs."""
        done = self._controls.restart(application, min(until, self._clock.monotonic() + RESTART_S))
        output = "\n".join(filter(None, (put.output, done.output)))
        error = "" if done.ok else f"{application.package} is installed, but {done.error}"
        return done._replace(error=error, output=output)

    def _job(self, name: str, until: float) -> Outcome:
        job = self._config().jobs.get(name)
        if job is None:
            return Outcome(False, f"no job {name[:64]!r} is declared here")
        left_s = min(job.timeout_s, max(1.0, until - self._clock.monotonic()))
        root = self._controls.root
        ran = programs.run(programs.words(job.argv, root), timeout_s=left_s, root=root)
        output = rooted.text(ran.output)
        if ran.error:
            return Outcome(False, ran.error, ran.exit, output)
        return Outcome(ran.exit == 0, "" if ran.exit == 0 else f"the job ended with {ran.exit}", ran.exit, output)

    def _process_end(self, pid: int, name: str, until: float) -> Outcome:
        process = processes.read(pid)
        if process is None or not process.alive or not self._table.has(process):
            return Outcome(False, f"no process {pid} is there")
        if process.name != name:
            return Outcome(False, f"process {pid} is called {process.name}, not {name[:64]}")
        if pid in processes.lineage(self._table.scan(), os.getpid()) or pid in {1, os.getpid()}:
            return Outcome(False, f"process {pid} is the agent's own or stands above it, and is not ended")
        try:
            left = ending.end(
                [process], self._clock, patience_s=min(5.0, max(0.5, until - self._clock.monotonic() - 5))
            )
        except PermissionError:
            return Outcome(False, f"the agent may not end process {pid}")
        return Outcome(False, f"process {pid} does not end") if left else Outcome(True)
