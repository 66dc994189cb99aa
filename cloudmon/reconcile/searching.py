"""What was found bad in one member of a set is looked for at once in the others: once in each, so many at a time.

What is found there is a finding of its own, and is treated as such.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from cloudmon.model.actions import Intent, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, Timer, TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet, ControlKind
from cloudmon.reconcile import commands
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.picture import Inside
from cloudmon.reconcile.plan import Step

RULE = "malware"
"""Name of the rule whose findings are searched for, in whatever policy."""
MOST_AT_ONCE = 100
"""Members that are asked in one tick; the others are in the next ones."""


class Bad(NamedTuple):
    """Something that was found in a member."""

    ordinal: int
    item: str
    signature: str
    """Its name; empty where the finding does not tell."""
    at: dt.datetime


class Sight(NamedTuple):
    """What a search is decided from."""

    findings: Iterable[Finding]
    """Open ones."""
    recent: Iterable[Intent]
    """Actions of late: what was put away before anybody could look at its finding."""
    sets: Mapping[str, ApplianceSet]
    by_set: Mapping[str, Sequence[Member]]
    timers: Mapping[tuple[str, int], Mapping[TimerKind, dt.datetime]]
    commands: Mapping[ApplianceId, Sequence[Intent]]
    """Open ones, by appliance."""
    inside: Inside
    taken: Collection[ApplianceId]
    """Appliances for which something was decided already."""
    case: Callable[[Member], Case]
    now: dt.datetime


def due(sight: Sight) -> Iterator[Step | Change]:
    """The looks that are due, and what is to be forgotten because nothing is bad any more."""
    found: dict[str, dict[Bad, None]] = defaultdict(dict)
    for uid, bad in _every(sight):
        found[uid][bad] = None
    yield from _forgotten(sight, found)
    left = MOST_AT_ONCE
    for uid, every in found.items():
        aset = sight.sets.get(uid)
        if aset is None or aset.retiring_since is not None:
            continue
        hit, newest = {bad.ordinal for bad in every}, max(bad.at for bad in every)
        for member in sight.by_set.get(uid, ()):
            if not left:
                return
            if member.ordinal in hit:
                continue
            searched = sight.timers.get((uid, member.ordinal), {}).get(TimerKind.SEARCHED)
            # Most were asked already; what is new to the others is only gone through for the few that are asked now.
            if searched is not None and newest <= searched:
                continue
            step = _asked(member, aset, every, searched, sight)
            if step is not None:
                left -= 1
                yield step


def _asked(
    member: Member, aset: ApplianceSet, every: Iterable[Bad], searched: dt.datetime | None, sight: Sight
) -> Step | None:
    if member.state is not ApplianceState.RUNNING or Verb.SCAN.value not in sight.inside.takes(member.id):
        return None
    # Something is done to it already, or nothing is to be done to it.
    if member.id in sight.taken or sight.commands.get(member.id):
        return None
    if aset.control(ControlKind.PAUSE, member.ordinal, sight.now):
        return None
    news = [bad for bad in every if searched is None or bad.at > searched]
    names = {bad.signature for bad in news}
    only = {"signature": next(iter(names))} if len(names) == 1 and "" not in names else {}
    first = news[0]
    where = f"{aset.name}/{first.ordinal} ({first.item})"
    others = f" and {len(news) - 1} more" if len(news) > 1 else ""
    why = f"{first.signature or 'malware'} was found in {where}{others}; looked for in its set"
    step = commands.opened(sight.case(member), Verb.SCAN, only, Origin.OBSERVATION, why)
    newest = max(bad.at for bad in news)
    place = (member.set_uid, member.ordinal, TimerKind.SEARCHED)
    # Of two instants the store keeps the earlier.
    before = (TimerClear(*place),) if searched is not None else ()
    timers = (*step.change.timers, *before, Timer(*place, newest))
    return replace(step, change=replace(step.change, timers=timers))


def _forgotten(sight: Sight, found: Container[str]) -> Iterator[Change]:
    searched: dict[str, set[int]] = defaultdict(set)
    for (uid, ordinal), kinds in sight.timers.items():
        if TimerKind.SEARCHED in kinds and uid not in found:
            searched[uid].add(ordinal)
    for uid, ordinals in searched.items():
        for member in sight.by_set.get(uid, ()):
            if member.ordinal in ordinals:
                clear = TimerClear(uid, member.ordinal, TimerKind.SEARCHED)
                yield Change(tenant=member.tenant, appliance=member.id, timers=(clear,))


def _every(sight: Sight) -> Iterator[tuple[str, Bad]]:
    for finding in sight.findings:
        if finding.kind is FindingKind.DETECTED:
            who, _, key = finding.subject.partition(":")
            uid, _, ordinal = who.partition("/")
            bad = _bad(int(ordinal), key, finding.evidence, finding.opened_at) if ordinal.isdecimal() else None
            if bad is not None:
                yield uid, bad
    for intent in sight.recent:
        if intent.verb is Verb.QUARANTINE and intent.origin is Origin.OBSERVATION:
            uid, number = intent.appliance
            bad = _bad(number, str(intent.evidence.get("rule", "")), intent.evidence, intent.created_at)
            if bad is not None:
                yield uid, bad


def _bad(ordinal: int, key: str, evidence: Mapping[str, object], otherwise: dt.datetime) -> Bad | None:
    """Both say since when it was seen: by that a finding and what was done about it are one."""
    _, _, rest = key.partition("/")
    rule, _, item = rest.partition("/")
    if rule != RULE or not item:
        return None
    facts, since = evidence.get("facts"), evidence.get("since")
    told = facts.items() if isinstance(facts, Mapping) else ()
    signature = next((value for path, value in told if path.endswith(".signature") and isinstance(value, str)), "")
    return Bad(ordinal, item, signature, dt.datetime.fromisoformat(since) if isinstance(since, str) else otherwise)
