"""Declared applications on an osquery host: what its processes, services and answers say of them. Pure.

The same rules as in an agent, as far as somebody who only looks can tell: nobody there ran a command, so none is
stopped by an order, and a probe that runs a program is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cloudmon.channel.osquery.values import Item, Row, text, whole


class Seen(NamedTuple):
    """What was seen; None where nobody has told yet."""

    services: Mapping[str, Any] | None
    packages: Mapping[str, Any] | None
    matches: Iterable[Row] | None
    probes: Iterable[Row] | None


def section(
    declared: Mapping[str, Mapping[str, Any]], seen: Seen, before: Mapping[str, Any], *, at: float, offset_s: float
) -> dict[str, Item]:
    """The section of applications.

    Arguments:
        declared: the template's applications, as agents are told them.
        before: the section as it was.
        at: when it was seen, by the monitor's clock, in unix seconds.
        offset_s: seconds by which the host's clock is ahead.
    """
    mains = None if seen.matches is None else _mains(seen.matches, offset_s)
    answers = None if seen.probes is None else {text(row, "application"): row for row in seen.probes}
    told: dict[str, Item] = {}
    for name, one in declared.items():
        old = before.get(name)
        old = dict(old) if isinstance(old, Mapping) else {}
        main = None if mains is None else mains.get(name)
        there = _there(one, seen.services, mains, name)
        probe = None if answers is None else _probe(one.get("probe") or {}, answers.get(name))
        state = _state(one, there, probe, str(old.get("state", "unknown")))
        item: Item = {"state": state, "since": old.get("since") if state == old.get("state") else None}
        item["since"] = int(at) if item["since"] is None else item["since"]
        item["restarts"] = _restarts(old, main)
        if main is not None:
            item["pid"] = main[1]
        elif mains is None and "pid" in old:
            item["pid"] = old["pid"]
        package = (seen.packages or {}).get(one.get("package") or "")
        if isinstance(package, Mapping) and "version" in package:
            item["version"] = package["version"]
        if probe is not None:
            item["probe"] = probe
        told[name] = item
    return told


def _there(
    one: Mapping[str, Any], services: Mapping[str, Any] | None, mains: Mapping[str, object] | None, name: str
) -> bool | None:
    """Whether it has a process; None where nobody can tell."""
    if one.get("match"):
        return None if mains is None else name in mains
    if one.get("service") and services:
        found = services.get(str(one["service"]).removesuffix(".service"))
        return isinstance(found, Mapping) and found.get("state") == "running"
    return None


def _state(one: Mapping[str, Any], there: bool | None, probe: Item | None, before: str) -> str:
    # Its process is what it is known by, and is not there.
    if there is False:
        return "down"
    # Whoever asks it knows best.
    if probe is not None:
        return "up" if probe["ok"] else "down"
    if there:
        return "up"
    # What it is known by was not told yet: it stands as it stood.
    return before if one.get("match") or one.get("service") or one.get("probe") else "unknown"


def _probe(probe: Mapping[str, Any], row: Row | None) -> Item | None:
    """What its probe came to; None where osquery cannot ask so, or did not."""
    if row is None:
        return None
    answer = whole(row, "answer")
    if "tcp" in probe:
        return None if answer is None else _came_to(answer > 0, f"nobody listens at port {probe['tcp']}")
    if "http" in probe:
        wanted = probe.get("status", 200)
        if answer is None:
            return _came_to(False, "no answer")
        return _came_to(answer == wanted, f"it answers {answer}, not {wanted}")
    if "file" in probe:
        most = probe.get("max_age_s", 60)
        # A file of the future is as young as can be.
        age = whole(row, "answer", -(2**40))
        return _came_to(age is not None and age <= most, "no such file" if age is None else f"{age} s old")
    return None


def _came_to(ok: bool, error: str) -> Item:
    return {"ok": ok} if ok else {"ok": False, "error": error}


def _mains(rows: Iterable[Row], offset_s: float) -> dict[str, tuple[int, int]]:
    """Start and pid of each application's first process."""
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        name, pid = text(row, "application"), whole(row, "pid", 1)
        if name and pid is not None:
            started = whole(row, "start_time", 1) or 0
            here = (started - round(offset_s), pid)
            found[name] = min(found.get(name, here), here)
    return found


def _restarts(old: Mapping[str, Any], main: tuple[int, int] | None) -> int:
    """How often it came back, or another process took its place."""
    count = old.get("restarts", 0)
    count = count if isinstance(count, int) else 0
    other = main is not None and (old.get("state") == "down" or old.get("pid") not in (None, main[1]))
    return count + other
