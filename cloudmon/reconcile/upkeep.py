"""What keeps appliances up to date: the roll-outs that are due, and the restarts and reboots that are owed.

It comes after everything that is due for nodes and because of rules: whoever has something else to do waits.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from cloudmon.model.actions import OPEN_INTENTS, Intent, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.commands import unfetched
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.updates import Version
from cloudmon.reconcile import commands, decide, replacing, rollouts
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.decide import Decision
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import Estate
from cloudmon.reconcile.plan import Step, Waiting
from cloudmon.reconcile.rollouts import Phase, Seen, State
from cloudmon.reconcile.sights import GONE, ROLLOUT, Rollout, Sight, alarm, laid

MOST_NAMED = 10
"""Members that an incident names one by one."""
_CHANGED = (*rollouts.TOUCHED, Phase.OUT)


def keys(estate: Estate, now: dt.datetime) -> list[str]:
    """Of all roll-outs and maintenance windows whose earlier intents are needed to decide."""
    rolling = (*_rollouts(estate), *replacing.current(estate))
    return [one.key for one in rolling] + [window_key(aset, now) for aset in _owing(estate, now)]


def due(sight: Sight) -> Iterator[Decision]:
    """What is to be done and written, and what waits."""
    estate = sight.estate
    yield from replacing.forgotten(sight)
    if not (estate.inside.upkeep or estate.made) and not any(ROLLOUT in one.evidence for one in estate.findings):
        return
    current = [*_rollouts(estate), *replacing.current(estate)]
    standing = {one.key: replacing.phases(one, sight) if one.replaces else phases(one, sight) for one in current}
    yield from _over(sight, current, standing)
    taken = set(sight.taken)
    rolling: set[str] = set()
    for rollout in current:
        # One roll-out of a set at a time.
        if rollout.aset.uid in rolling:
            continue
        roll = replacing.roll if rollout.replaces else _roll
        for decision in roll(rollout, standing[rollout.key], sight, taken):
            if isinstance(decision, Step):
                taken.add(decision.intent.appliance)
                rolling.add(rollout.aset.uid)
            yield decision
        if any(one in (Phase.OUT, Phase.SETTLING) for one, _ in standing[rollout.key].values()):
            rolling.add(rollout.aset.uid)
    for aset in _owing(sight.estate, sight.moment.now):
        if aset.uid not in rolling:
            yield from _pay(aset, sight, taken)


# --- roll-outs --------------------------------------------------------------------------------------------------


def _rollouts(estate: Estate) -> list[Rollout]:
    """Those in which something may be due: somebody is outdated, was updated lately, or an incident is open."""
    lately = {one.appliance.set_uid for one in estate.recent if one.verb in (Verb.APP_UPDATE, Verb.APP_INSTALL)}
    lately |= {finding.subject.partition("/")[0] for finding in estate.findings if ROLLOUT in finding.evidence}
    found: dict[tuple[str, str, str], int] = {}
    for appliance, kept in estate.inside.upkeep.items():
        for version in kept.versions:
            if version.target and (version.outdated or appliance.set_uid in lately):
                place = (appliance.set_uid, version.application, version.target)
                found[place] = min(found.get(place, appliance.ordinal), appliance.ordinal)
    rolls = []
    for (uid, application, target), _ in sorted(found.items(), key=lambda one: (one[0][:2], one[1])):
        aset = estate.sets.get(uid)
        updates = aset.spec.template.updates if aset is not None and aset.retiring_since is None else None
        if aset is not None and updates is not None and not replacing.replaces(aset):
            rolls.append(Rollout(aset, updates, application, target))
    return rolls


def phases(rollout: Rollout, sight: Sight) -> dict[int, tuple[Phase, str]]:
    """Where each member stands that the roll-out is about, and what holds it where something does."""
    asked, now = sight.asked.get(rollout.key, ()), sight.moment.now
    told = rollouts.by_ordinal(asked)
    found: dict[int, tuple[Phase, str]] = {}
    for member in sight.members.get(rollout.aset.uid, ()):
        version = _version(member, rollout, sight)
        intents = told.get(member.ordinal, ())
        if member.state in GONE or not (intents or (version is not None and version.target == rollout.target)):
            continue
        held = _held(member, sight, _verb(version)) or rollouts.passed_over(member, asked, now)
        seen = Seen(member.incarnation, version, intents, alarm(member, sight.estate.findings), held)
        found[member.ordinal] = (rollouts.phase(seen, rollout.updates, now), held)
    return found


def _held(member: Member, sight: Sight, verb: Verb) -> str:
    """Why nothing can be done to one member now; empty when it can."""
    aset, now = sight.estate.sets[member.set_uid], sight.moment.now
    if member.state is not ApplianceState.RUNNING or member.wanted is not Power.RUNNING:
        return f"is {member.state}"
    by_hand = laid(aset, member.ordinal, now)
    if by_hand:
        return by_hand
    busy = sight.busy(member)
    if busy:
        return busy
    if verb.value not in sight.estate.inside.takes(member.id):
        return f"its agent takes no {verb}"
    case = sight.case(member)
    if case.intent is not None:
        return f"{case.intent.verb} is on its way"
    nothing = Market(sight.estate.estate, {})
    if decide.decide(case, nothing, None, open_incarnations=member.id in sight.opening) is not None:
        return "its node has something to do"
    return ""


def _out(aset: ApplianceSet, sight: Sight, apart: str) -> int:
    """Members that are out of service, or may be, for another reason than the roll-out ``apart``."""
    away = {
        one.ordinal
        for one in sight.members.get(aset.uid, ())
        if one.wanted is Power.RUNNING and one.state is not ApplianceState.RUNNING and one.state not in GONE
    }
    for appliance, intents in sight.under_way.items():
        if appliance.set_uid == aset.uid and any(one.request_id != apart for one in intents):
            away.add(appliance.ordinal)
    return len(away)


def _roll(
    rollout: Rollout, standing: Mapping[int, tuple[Phase, str]], sight: Sight, taken: Collection[ApplianceId]
) -> Iterator[Decision]:
    aset, key = rollout.aset, rollout.key
    failed = any(one.evidence.get(ROLLOUT) == key for one in sight.estate.findings)
    told = rollouts.by_ordinal(sight.asked.get(key, ()))
    stay = [n for n, (one, _) in standing.items() if one in _CHANGED and not rollouts.before(told.get(n, ()))]
    held = {n for n, (_, why) in standing.items() if why or ApplianceId(aset.uid, n) in taken}.union(stay)
    found = rollouts.decide(
        rollout.updates,
        {n: one for n, (one, _) in standing.items()},
        failed=failed,
        out=_out(aset, sight, key),
        held=held,
    )
    members = {one.ordinal: one for one in sight.members.get(aset.uid, ())}
    if found.state is State.FAILED and not failed and found.broken is not None:
        verb = _verb(_version(members[found.broken], rollout, sight))
        yield _stopped(rollout, found.broken, verb, stay, sight.moment.now)
    for ordinal in found.update:
        version = _version(members[ordinal], rollout, sight)
        have = version.have if version is not None else ""
        why = f"roll-out of {rollout.application} {rollout.target}: has {have or 'none'}"
        evidence = {ROLLOUT: key, rollouts.FROM: have}
        yield _step(sight.case(members[ordinal]), rollout, rollout.target, why, evidence, _verb(version))
    for ordinal in found.undo:
        before = rollouts.before(told[ordinal])
        why = f"roll-out of {rollout.application} {rollout.target} failed: back to {before}"
        back = {ROLLOUT: key, rollouts.UNDO: True}
        yield _step(sight.case(members[ordinal]), rollout, before, why, back, Verb.APP_UPDATE)
    for ordinal, (phase, why) in standing.items():
        if phase is Phase.HELD and found.state is not State.FAILED:
            yield Waiting(f"{aset.uid}/{ordinal}", f"{rollout.application} {rollout.target} is to come: {why}", None)


def _version(member: Member, rollout: Rollout, sight: Sight) -> Version | None:
    kept = sight.estate.inside.kept(member)
    return kept.of(rollout.application) if kept is not None else None


def _verb(version: Version | None) -> Verb:
    """What brings an application to its version: what is not there cannot be updated."""
    return Verb.APP_INSTALL if version is not None and version.absent else Verb.APP_UPDATE


def _step(case: Case, rollout: Rollout, version: str, why: str, evidence: Mapping[str, object], verb: Verb) -> Step:
    told = {"application": rollout.application, "version": version, "restart": "yes"}
    step = commands.opened(case, verb, told, Origin.WANTED, why, rollout.key)
    intent = replace(step.intent, evidence={**step.intent.evidence, **evidence})
    return replace(step, intent=intent, change=replace(step.change, opens_intent=intent))


def _stopped(rollout: Rollout, ordinal: int, verb: Verb, stay: Sequence[int], now: dt.datetime) -> Change:
    """It failed: nothing more is updated, and an open incident says so for as long as somebody is behind, with the
    command that puts it right by ``verb``, and who will ``stay`` as it is for want of an earlier version."""
    aset, what = rollout.aset, f"{rollout.application} {rollout.target}"
    then = "what was updated goes back" if rollout.updates.on_failure == "roll-back" else "nothing is taken back"
    if stay and rollout.updates.on_failure == "roll-back":
        named = ", ".join(f"{n}" for n in stay[:MOST_NAMED]) + (", …" if len(stay) > MOST_NAMED else "")
        then += f", but for {named}: there was no earlier version, and what was installed stays"
    message = (
        f"{aset.name}/{ordinal}: the roll-out of {what} stopped, since this one did not become well with it; {then}; "
        f"name another version, or put it right by hand: cloudmon act {aset.name}/{ordinal} {verb} "
        f'application={rollout.application} version={rollout.target} restart=yes --reason "by hand"'
    )
    evidence = {ROLLOUT: rollout.key, "generation": aset.generation, "application": rollout.application}
    subject = f"{aset.uid}/{ordinal}:rollout/{rollout.application}"
    finding = Finding(FindingKind.INCIDENT, subject, aset.tenant, "critical", message, evidence, now)
    return Change(
        tenant=aset.tenant,
        appliance=ApplianceId(aset.uid, ordinal),
        findings=(finding,),
        log=(LogEntry(aset.uid, now, "incident.opened", f"{ordinal}", {"message": message}),),
    )


def _over(
    sight: Sight, current: Sequence[Rollout], standing: Mapping[str, Mapping[int, tuple[Phase, str]]]
) -> Iterator[Change]:
    """Incidents of roll-outs that are over: everybody is well at the wanted version, or something else is wanted."""
    known = {one.key: one for one in current}
    for finding in sight.estate.findings:
        key = finding.evidence.get(ROLLOUT)
        if key is None:
            continue
        aset = sight.estate.sets.get(finding.subject.partition("/")[0])
        if replacing.WANTED in finding.evidence:
            other = replacing.over(finding, aset)
        else:
            other = aset is None or aset.generation != finding.evidence.get("generation")
        told = standing.get(str(key), {})
        well = str(key) in known and all(one in (Phase.CURRENT, Phase.DONE) for one, _ in told.values())
        if other or (well and len(told) == _living(aset, sight)):
            yield Change(tenant=finding.tenant, findings=(FindingEnd(finding.kind, finding.subject),))


def _living(aset: ApplianceSet | None, sight: Sight) -> int:
    return sum(1 for one in sight.members.get(aset.uid, ()) if one.state not in GONE) if aset is not None else 0


# --- restarts and reboots ---------------------------------------------------------------------------------------


def window_key(aset: ApplianceSet, now: dt.datetime) -> str:
    """What all that is done in one maintenance window has as its request."""
    window = aset.spec.maintenance.open(now) if aset.spec.maintenance is not None else None
    told = f"{aset.uid}\0{window[0].isoformat() if window is not None else ''}"
    return "window-" + hashlib.sha256(told.encode()).hexdigest()[:24]


def _owing(estate: Estate, now: dt.datetime) -> list[ApplianceSet]:
    """Sets whose window is open, and of which somebody owes a restart."""
    uids = {appliance.set_uid for appliance, kept in estate.inside.upkeep.items() if kept.owes}
    found = (estate.sets.get(uid) for uid in sorted(uids))
    return [
        aset
        for aset in found
        if aset is not None
        and aset.retiring_since is None
        and aset.spec.maintenance is not None
        and aset.spec.maintenance.open(now) is not None
    ]


def _pay(aset: ApplianceSet, sight: Sight, taken: Collection[ApplianceId]) -> Iterator[Decision]:
    """A restart of what runs replaced files, then a reboot where one is due: each once in a window, or until somebody
    fetched it."""
    key = window_key(aset, sight.moment.now)
    asked = sight.asked.get(key, ())
    tried = {(one.appliance, one.incarnation, _what(one)) for one in asked if not unfetched(one)}
    room = aset.spec.healing.batch - _out(aset, sight, "") - _down(aset, sight)
    room -= sum(1 for one in asked if one.state in OPEN_INTENTS and one.verb is Verb.REBOOT)
    for member in sight.members.get(aset.uid, ()):
        kept = sight.estate.inside.kept(member)
        if kept is None or not kept.owes or member.id in taken:
            continue
        # What was stopped or suspended by an order starts with what is there then.
        due = (one for one in kept.versions if one.restart_due and one.state != "stopped")
        owed = [f"{Verb.APP_RESTART} {one.application}" for one in due]
        owed += [str(Verb.REBOOT)] if kept.reboot_due else []
        left = next((one for one in owed if (member.id, member.incarnation, one) not in tried), None)
        held = _held(member, sight, Verb.APP_RESTART) or rollouts.passed_over(member, asked, sight.moment.now)
        if left is None or held:
            continue
        if room <= 0:
            yield Waiting(f"{aset.uid}/{member.ordinal}", f"owes {left}; others are out of service", None)
            continue
        case, room = sight.case(member), room - 1
        if left == Verb.REBOOT:
            yield decide.step(case, Verb.REBOOT, Origin.WANTED, "owes a reboot; its window is open", request_id=key)
        else:
            told = {"application": left.partition(" ")[2]}
            why = f"{told['application']} runs files that were replaced; its window is open"
            yield commands.opened(case, Verb.APP_RESTART, told, Origin.WANTED, why, key)


def _what(intent: Intent) -> str:
    return f"{intent.verb} {intent.arguments.get('application', '')}".strip()


def _down(aset: ApplianceSet, sight: Sight) -> int:
    """Members whose node runs and whose application does not."""
    found = (sight.estate.inside.kept(one) for one in sight.members.get(aset.uid, ()))
    return sum(1 for kept in found if kept is not None and any(one.state == "down" for one in kept.versions))
