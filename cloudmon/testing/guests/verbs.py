"""What a simulated guest does when it is asked to: the agent's verbs, on a machine that is only told of."""

from __future__ import annotations

import json
from typing import NamedTuple

from cloudmon.agent import version
from cloudmon.agent.controls import Outcome
from cloudmon.model.grants import fingerprint
from cloudmon.testing.guests import stock
from cloudmon.testing.guests.faults import Fault
from cloudmon.testing.guests.machine import Machine

FIRST_UID = 2_000
IN_VAIN = "it did not help this time (simulated)"


class Asked(NamedTuple):
    """One command, at the instant at which it is performed."""

    verb: str
    arguments: dict[str, str]
    at: float


def perform(machine: Machine, asked: Asked) -> Outcome:
    """Do it, on the machine; what it came to. Whoever calls has looked whether it is a command at all."""
    verb, arguments = asked.verb, asked.arguments
    if verb == "report_now":
        return Outcome(True)
    if verb == "agent_upgrade":
        return Outcome(True, "", None, f"cloudmon-agent {version.VERSION}")
    if verb == "job_run":
        return _job(machine, arguments["job"])
    if verb == "process_end":
        return _process_end(machine, arguments["pid"], arguments["name"], asked.at)
    if verb == "scan":
        return _scan(machine, arguments.get("path", ""), arguments.get("signature", ""))
    if verb == "quarantine":
        return _quarantine(machine, arguments["path"])
    if verb == "account_grant":
        return _grant(machine, arguments["user"], arguments["key"], arguments.get("rights", ""))
    if verb == "account_revoke":
        return _revoke(machine, arguments["user"], only_made=arguments.get("only_made") == "yes")
    return _application(machine, asked)


def _application(machine: Machine, asked: Asked) -> Outcome:
    verb, arguments = asked.verb, asked.arguments
    name = arguments.get("application", "")
    one = machine.config.applications.get(name)
    if name and one is None:
        return Outcome(False, f"no application {name[:64]!r} is declared here")
    if verb in ("app_install", "app_update", "app_remove"):
        package = arguments.get("package") or (one.package if one is not None else "")
        if not package:
            return Outcome(False, f"{name} declares no package")
        return _package(machine, asked, package)
    if verb == "app_restart":
        if machine.withstands(Fault.CRASHED) or machine.withstands(Fault.RESTART_LOOP):
            return Outcome(False, IN_VAIN)
        machine.start(name, asked.at)
    elif verb == "app_resume":
        machine.start(name, asked.at)
    else:
        machine.stop(name, asked.at)
    return Outcome(True)


def _package(machine: Machine, asked: Asked, package: str) -> Outcome:
    name = asked.arguments.get("application", "")
    if asked.verb == "app_remove":
        if machine.has("packages", package):
            machine.drop("packages", package)
        return Outcome(True)
    if machine.withstands(Fault.OUTDATED):
        return Outcome(False, IN_VAIN, 100)
    found = machine.install(package, asked.arguments.get("version", ""))
    if asked.arguments.get("restart") == "yes" and name:
        machine.start(name, asked.at)
    elif name and machine.has("applications", name):
        machine.put("applications", name, {**machine.items("applications")[name], "restart_due": True})
    return Outcome(True, "", 0, f"{package} {found}")


def _job(machine: Machine, name: str) -> Outcome:
    if name not in machine.config.jobs:
        return Outcome(False, f"no job {name[:64]!r} is declared here")
    if machine.withstands(Fault.DISK_FULL):
        return Outcome(False, "the job ended with 1", 1)
    machine.put("disks", "/", stock.disk(0.3))
    machine.well_again(Fault.DISK_FULL)
    return Outcome(True, "", 0, "tidied\n")


def _process_end(machine: Machine, pid: str, name: str, at: float) -> Outcome:
    found = machine.items("processes").get(pid)
    if found is None:
        return Outcome(False, f"no process {pid} is there")
    if found["name"] != name:
        return Outcome(False, f"process {pid} is called {found['name']}, not {name[:64]}")
    for application, told in machine.items("applications").items():
        if str(told.get("pid")) == pid:
            machine.fall(application, at)
            return Outcome(True)
    machine.drop("processes", pid)
    return Outcome(True)


def _scan(machine: Machine, path: str, signature: str) -> Outcome:
    bad = machine.items("malware").items()
    found = [
        f"{where} {told['signature']}"
        for where, told in bad
        if where.startswith(path or "/") and signature in ("", told["signature"])
    ]
    return Outcome(True, "", None, "\n".join([f"1000 files looked at by hash; {len(found)} bad", *found]))


def _quarantine(machine: Machine, path: str) -> Outcome:
    found = machine.items("malware").get(path)
    if found is None:
        return Outcome(False, f"{path[:200]} is not there")
    if machine.withstands(Fault.MALWARE):
        return Outcome(False, IN_VAIN)
    machine.drop("malware", path)
    machine.well_again(Fault.MALWARE, path)
    return Outcome(True, "", None, json.dumps({"path": path, **found}))


def _grant(machine: Machine, user: str, keys: str, rights: str) -> Outcome:
    before = machine.items("accounts").get(user)
    if before is not None and not before.get("managed"):
        return Outcome(False, f"{user} is an account that this agent did not make")
    told = stock.account(FIRST_UID + len(machine.items("accounts")), user, "/bin/bash")
    told |= {
        "managed": True,
        "keys": sorted({fingerprint(key) for key in keys.splitlines() if key}),
        "groups": sorted(filter(None, rights.split(","))),
    }
    machine.put("accounts", user, told)
    return Outcome(True)


def _revoke(machine: Machine, user: str, *, only_made: bool) -> Outcome:
    found = machine.items("accounts").get(user)
    if found is None:
        return Outcome(True)
    if only_made and not found.get("managed"):
        return Outcome(False, f"{user} is an account that this agent did not make")
    if machine.withstands(Fault.STRAY_ACCOUNT):
        return Outcome(False, IN_VAIN)
    machine.drop("accounts", user)
    machine.well_again(Fault.STRAY_ACCOUNT, user)
    return Outcome(True)
