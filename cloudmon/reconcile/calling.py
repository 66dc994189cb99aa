"""Rungs of a rule's ladder that tell somebody: taken at once and whatever the node does, so that no trouble with it, no
breaker and nobody's pause keeps it from being known. The next rung follows without waiting."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from cloudmon.model.actions import LogEntry
from cloudmon.model.appliances import Member
from cloudmon.model.changes import Change, Telling
from cloudmon.model.findings import FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Symptom
from cloudmon.reconcile import remedies
from cloudmon.reconcile.picture import CloudView, Inside

EVERYBODY = "*"
"""All notifiers: whom a rung means that names nobody."""


def called(
    inside: Inside, members: Iterable[Member], views: Mapping[str, CloudView], now: dt.datetime
) -> tuple[list[Change], Inside]:
    """What is to be written so that somebody is told, and the insides with those rungs behind them.

    Arguments:
        inside: what was found.
        members: those it is about, and any others.
        views: the clouds as they were seen last: what cannot be done is no rung.
        now: the instant of the turn.
    """
    telling = {
        appliance
        for appliance, symptoms in inside.symptoms.items()
        if any(remedy.verb == remedies.NOTIFY for symptom in symptoms for remedy in symptom.rule.then)
    }
    if not telling:
        return [], inside
    changes: list[Change] = []
    symptoms: dict[ApplianceId, Sequence[Symptom]] = dict(inside.symptoms)
    for member in members:
        if member.id not in telling:
            continue
        takes, view = inside.takes(member.id), views.get(member.cloud)
        after = []
        for symptom in symptoms[member.id]:
            told = _told(symptom, member, view, now, takes=takes)
            if told is not None:
                change, symptom = told  # noqa: PLW2901  # the same, a rung further
                changes.append(change)
            after.append(symptom)
        symptoms[member.id] = tuple(after)
    return changes, replace(inside, symptoms=symptoms)


def _told(
    symptom: Symptom, member: Member, view: CloudView | None, now: dt.datetime, *, takes: Container[str]
) -> tuple[Change, Symptom] | None:
    """The change that takes all rungs that tell and are next, and the symptom after them; None when there are none."""
    state = symptom.state
    if state.retry_at is not None and now < state.retry_at:
        return None  # what was done has time to show itself
    able = [remedy for remedy in symptom.rule.then if remedies.able(remedy, view, takes=takes)]
    rung = state.rung
    while rung < len(able) and able[rung].verb == remedies.NOTIFY:
        rung += 1
    if rung == state.rung:
        return None
    to = [remedy.arguments.get("to", EVERYBODY) for remedy in able[state.rung : rung]]
    subject = f"{member.set_uid}/{member.ordinal}:{symptom.key}"
    climbed = replace(state, rung=rung)
    body = {"rule": symptom.key, "to": to, "message": symptom.message}
    change = Change(
        tenant=member.tenant,
        appliance=member.id,
        rules=(climbed,),
        tells=tuple(Telling(FindingKind.DETECTED, subject, one) for one in dict.fromkeys(to)),
        log=(LogEntry(member.set_uid, now, "finding.told", f"{member.ordinal}", body),),
    )
    return change, replace(symptom, state=climbed)
