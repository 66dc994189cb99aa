"""What updates and restarts are decided from, of one appliance: how its applications stand, and what it owes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from cloudmon.detection import facts, versions
from cloudmon.detection.facts import Subject
from cloudmon.model.sets import Application
from cloudmon.model.updates import Upkeep, Version

_STATES = frozenset({"up", "down", "stopped"})


def of(subject: Subject, now: dt.datetime) -> Upkeep | None:
    """None when nothing that still counts was heard from it."""
    sections = facts.known(subject, now).sections
    if not sections:
        return None
    told, packages = sections.get("applications", {}), sections.get("packages")
    boot = sections.get("system", {}).get("boot")
    due = boot.get("reboot_due") if isinstance(boot, Mapping) else None
    return Upkeep(
        subject.member.incarnation,
        tuple(_version(name, one, told.get(name), packages) for name, one in subject.template.applications.items()),
        due if isinstance(due, bool) else None,
    )


def _version(name: str, declared: Application, told: object, packages: Mapping[str, object] | None) -> Version:
    said = told if isinstance(told, Mapping) else {}
    state, since, due = said.get("state"), said.get("since"), said.get("restart_due")
    found: versions.Standing = {}
    if declared.package and declared.version and packages is not None:
        found = versions.standing(declared.version, packages, declared.package, told)
    outdated = found.get("outdated")
    return Version(
        name,
        wanted=declared.version if declared.package else "",
        have=str(found.get("have") or ""),
        target=str(found.get("target") or ""),
        outdated=outdated if isinstance(outdated, bool) else None,
        state=state if isinstance(state, str) and state in _STATES else "",
        since=_instant(since),
        restart_due=due if isinstance(due, bool) else None,
    )


def _instant(told: object) -> dt.datetime | None:
    if not isinstance(told, int | float) or isinstance(told, bool):
        return None
    try:
        return dt.datetime.fromtimestamp(told, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return None
