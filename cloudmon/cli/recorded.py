"""Recorded facts: what a file says of one appliance, in place of an appliance that says it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from cloudmon.detection.facts import Subject
from cloudmon.errors import RequestRefused
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.guests import GuestState
from cloudmon.model.probes import ProbeResult
from cloudmon.model.sets import Template
from cloudmon.settings import Settings

PROBES = "probes"
"""Beside the sections: what the monitor's probes came to, by name."""
_NUMBER = (int, float)
_OF_PROBE: Mapping[str, tuple[type, ...]] = {
    "ok": (bool,), "error": (str,), "address": (str,), "state_s": _NUMBER, "certificate_left_s": _NUMBER,
}  # fmt: skip


def subject(settings: Settings, target: str | None, path: Path, now: dt.datetime) -> Subject:
    """An appliance of a set of the settings that runs well, and of which just now became known what the file holds.

    Arguments:
        settings: whose sets, templates and policies count.
        target: a set, or one of its appliances; None where there is but one set.
        path: JSON: the sections of a report, by name; and "probes".
        now: when all of that was told.

    Raises RequestRefused with what is wrong.
    """
    specs = {spec.name: spec for spec in settings.specs()}
    name, _, ordinal = (target or "").partition("/")
    if not name and len(specs) == 1:
        (name,) = specs
    if name not in specs:
        known = ", ".join(specs) or "none"
        raise RequestRefused(f"say whose policies count: a set of the settings ({known})")
    member = Member(
        set_uid=name, ordinal=int(ordinal) if ordinal.isdecimal() else 1, tenant=specs[name].tenant,
        state=ApplianceState.RUNNING, since=now - dt.timedelta(days=1), wanted=Power.RUNNING, incarnation=1, token="",
        cloud="", location="", node_id="", rung=0, attempts=0, retry_at=None,
    )  # fmt: skip
    sections, probes = _told(path)
    state = GuestState(
        member.id,
        member.incarnation,
        boot="recorded",
        seq=1,
        hash="",
        reported_at=now,
        received_at=now,
        sections=sections,
    )
    template = specs[name].template
    answers = {probe: _answer(path, probe, said, template, now) for probe, said in probes.items()}
    return Subject(member, name, template, state=state, accounts=specs[name].accounts, probes=answers)


def _told(path: Path) -> tuple[Mapping[str, Mapping[str, object]], Mapping[str, Mapping[str, Any]]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestRefused(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RequestRefused(f"{path}: is no JSON: {error}") from error
    found = told.get("sections", told) if isinstance(told, dict) else None
    if not _tables(found):
        raise RequestRefused(
            f'{path}: holds no sections; a report\'s are an object of objects, such as {{"memory": {{…}}}}'
        )
    probes = told.get(PROBES, {})
    if not _tables(probes):
        raise RequestRefused(f'{path}: {PROBES} is no object of objects, such as {{"site": {{"ok": false}}}}')
    return {name: section for name, section in found.items() if name != PROBES}, probes


def _tables(found: object) -> TypeGuard[dict[str, dict[str, Any]]]:
    return isinstance(found, dict) and all(isinstance(one, dict) for one in found.values())


def _answer(path: Path, name: str, said: Mapping[str, Any], template: Template, now: dt.datetime) -> ProbeResult:
    where = f"{path}: {PROBES}.{name}"
    if name not in template.probes:
        known = ", ".join(template.probes) or "none"
        raise RequestRefused(f"{where}: template {template.name} has no such probe; it has {known}")
    for key, value in said.items():
        if type(value) not in _OF_PROBE.get(key, ()):  # JSON's true is no number
            known = ", ".join(_OF_PROBE)
            raise RequestRefused(f"{where}.{key} = {json.dumps(value)}: is not what a probe comes to ({known})")
    if "ok" not in said:
        raise RequestRefused(f"{where}: does not say whether it was ok")
    left_s = said.get("certificate_left_s")
    return ProbeResult(
        incarnation=1,
        ok=said["ok"],
        error=said.get("error", ""),
        at=now,
        since=now - dt.timedelta(seconds=said.get("state_s", 0)),
        address=said.get("address", ""),
        interval_s=template.probes[name].interval_s,
        certificate_until=None if left_s is None else now + dt.timedelta(seconds=left_s),
    )
