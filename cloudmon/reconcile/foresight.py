"""The estate as it will be once changes are written: for a plan that is asked for and not carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cloudmon.model.actions import OPEN_INTENTS
from cloudmon.model.appliances import IncarnationState
from cloudmon.model.changes import Change, FindingEnd, TimerClear
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile.picture import Estate

_OPEN = frozenset({IncarnationState.OPENING, IncarnationState.ENDING})


def written(estate: Estate, changes: Sequence[Change]) -> Estate:
    """``estate`` with what ``changes`` say of members, open incarnations, open intents, timers and findings.

    For changes that follow from facts: what opens an intent or an incarnation is a step, and no part of them.
    """
    members = {member.id: member for member in estate.members}
    rows = {(ApplianceId(row.set_uid, row.ordinal), row.number): row for row in estate.incarnations}
    intents = {intent.id: intent for intent in estate.intents}
    timers = {(timer.set_uid, timer.ordinal, timer.kind): timer for timer in estate.timers}
    findings = {(finding.kind, finding.subject): finding for finding in estate.findings}
    for change in changes:
        values: dict[str, Any] = dict(change.member)
        if change.appliance in members:
            members[change.appliance] = members[change.appliance]._replace(**values)
        for update in change.incarnations:
            row = rows.get((change.appliance, update.number)) if change.appliance is not None else None
            if row is not None:
                values = dict(update.values)
                rows[ApplianceId(row.set_uid, row.ordinal), row.number] = replace(row, **values)
        for moved in change.intents:
            intent = intents.get(moved.id)
            if intent is not None:
                values = dict(moved.values)
                intents[moved.id] = replace(intent, state=moved.state, **values)
        for timer in change.timers:
            if isinstance(timer, TimerClear):
                timers.pop((timer.set_uid, timer.ordinal, timer.kind), None)
            else:
                timers.setdefault((timer.set_uid, timer.ordinal, timer.kind), timer)
        for finding in change.findings:
            _found(findings, finding)
    return replace(
        estate,
        members=list(members.values()),
        incarnations=[row for row in rows.values() if row.state in _OPEN],
        intents=[intent for intent in intents.values() if intent.state in OPEN_INTENTS],
        timers=list(timers.values()),
        findings=list(findings.values()),
    )


def _found(findings: dict[tuple[FindingKind, str], Finding], finding: Finding | FindingEnd) -> None:
    """One that is open already stays open since then."""
    key = (finding.kind, finding.subject)
    if isinstance(finding, FindingEnd):
        findings.pop(key, None)
        return
    before = findings.get(key, finding)
    findings[key] = replace(finding, opened_at=before.opened_at)
