"""Roll-outs of what members are made of: those launched with another image, or other user data, are replaced.

The same canaries, batches and ends as for versions (:mod:`cloudmon.reconcile.rollouts`); where one member stands says
:mod:`cloudmon.reconcile.images`. That one is watched until it is well is a timer of it; that a roll-out failed is its
open incident; all else follows from what nodes were asked for with.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from cloudmon.model.actions import ActionClass, LogEntry, Origin
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import Change, Timer, TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet, NextGeneration, Template
from cloudmon.model.updates import Made, Updates
from cloudmon.reconcile import decide, images, rollouts
from cloudmon.reconcile.decide import Decision
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import Estate, Making
from cloudmon.reconcile.plan import Generation, Step, Waiting
from cloudmon.reconcile.rollouts import Phase, State
from cloudmon.reconcile.sights import GONE, ROLLOUT, Rollout, Sight, laid

AUTHOR = "cloudmon"
"""Of a generation that takes a set back to the template that it had before."""
METHOD = "replace"
WANTED = "wanted"
"""In the evidence of an incident: the key of what is wanted as long as it is open."""
_NOTHING = Making({}, ())
_JUDGED = frozenset({Phase.DONE, Phase.CURRENT})


# --- which there are, and where they stand ----------------------------------------------------------------------


def replaces(aset: ApplianceSet) -> bool:
    """Whether members of a set are replaced for another image."""
    updates = aset.spec.template.updates
    return updates is not None and updates.method == METHOD and aset.retiring_since is None


def rollout(aset: ApplianceSet) -> Rollout:
    """Of what a set's members are made of."""
    return Rollout(aset, aset.spec.template.updates or Updates(), "", "")


def in_question(estate: Estate, makes: Iterable[tuple[str, Made]]) -> list[str]:
    """Uids of sets in whose roll-out something may be due: somebody is outdated, or is watched, or it failed.

    Arguments:
        estate: with the sets as they are wanted.
        makes: by set uid, what nodes of members were asked for with.
    """
    found = {uid: aset for uid, aset in estate.sets.items() if replaces(aset)}
    hashes: dict[str, str] = {}
    behind = set()
    for uid, made in makes:
        if uid in found and uid not in behind:
            template = found[uid].spec.template
            hashed = hashes.setdefault(uid, template.user_data_hash())
            if images.outdated(made, template, hashed):
                behind.add(uid)
    watched = {timer.set_uid for timer in estate.timers if timer.kind is TimerKind.REPLACED}
    failed = {finding.subject.partition("/")[0] for finding in estate.findings if ROLLOUT in finding.evidence}
    return sorted(uid for uid in behind | watched | failed if uid in found)


def current(estate: Estate) -> list[Rollout]:
    """Those in which something may be due."""
    sets = (estate.sets.get(uid) for uid in sorted(estate.made))
    return [rollout(aset) for aset in sets if aset is not None and replaces(aset)]


def over(finding: Finding, aset: ApplianceSet | None) -> bool:
    """Whether something else is wanted than when the incident of a failed roll-out was opened."""
    if aset is None or not replaces(aset):
        return True
    return rollouts.key_of_image(aset.uid, aset.spec.template) != finding.evidence.get(WANTED)


def phases(rollout: Rollout, sight: Sight) -> dict[int, tuple[Phase, str]]:
    """Where each living member stands, and what holds it where something does."""
    aset, now, estate = rollout.aset, sight.moment.now, sight.estate
    members = [one for one in sight.members.get(aset.uid, ()) if one.state not in GONE]
    watched = {one.ordinal: now if _excused(one, sight) else since for one, since in _timed(members, sight)}
    known = images.Known(
        aset, estate.made.get(aset.uid, _NOTHING).members,
        rollouts.by_ordinal(sight.asked.get(rollout.key, ())),
        watched, estate.findings, aset.spec.template.user_data_hash(),
    )  # fmt: skip
    found: dict[int, tuple[Phase, str]] = {}
    for member in members:
        made = known.made.get(member.ordinal)
        held = _held(member, sight) if images.outdated(made, aset.spec.template, known.user_data) else ""
        seen = images.seen(member, known, estate.inside.kept(member), held)
        found[member.ordinal] = (images.phase(seen, aset, now), held)
    return found


def _timed(members: Iterable[Member], sight: Sight) -> Iterator[tuple[Member, dt.datetime]]:
    """Those that are watched, and since when."""
    for member in members:
        since = sight.timers.get((member.set_uid, member.ordinal), {}).get(TimerKind.REPLACED)
        if since is not None:
            yield member, since


def _excused(member: Member, sight: Sight) -> bool:
    """Whether no time passes for one that is to become well: nobody looks, or somebody keeps the monitor off it."""
    view = sight.case(member).view
    unseen = bool(member.cloud) and (view is None or not view.healthy)
    return (
        sight.moment.first_tick
        or unseen
        or bool(laid(sight.estate.sets[member.set_uid], member.ordinal, sight.moment.now))
    )


def _held(member: Member, sight: Sight) -> str:
    """Why one that is outdated cannot be replaced now; empty when it can."""
    kept = images.kept_back(member, sight.estate.sets[member.set_uid], sight.moment.now)
    if kept:
        return kept
    busy = sight.busy(member)
    if busy:
        return busy
    case = sight.case(member)
    if case.view is None or not case.view.healthy:
        return f"cloud {member.cloud} is not seen"
    if case.view.suspicious:
        return f"the view of its cloud is doubted: {case.view.suspicious}"
    if case.node is None:
        return "its node is not in the cloud's listing"
    if case.intent is not None:
        return f"{case.intent.verb} is on its way"
    # One that is down already loses nothing; whatever else is due for a node that runs comes first.
    nothing, opening = Market(sight.estate.estate, {}), member.id in sight.opening
    if member.state is ApplianceState.RUNNING and decide.decide(case, nothing, None, open_incarnations=opening):
        return "its node has something to do"
    return ""


# --- what is due ------------------------------------------------------------------------------------------------


def roll(
    rollout: Rollout, standing: Mapping[int, tuple[Phase, str]], sight: Sight, taken: Collection[ApplianceId]
) -> Iterator[Decision]:
    """Whose turn it is, what waits, and what becomes of a failure."""
    aset, key = rollout.aset, rollout.key
    members = {one.ordinal: one for one in sight.members.get(aset.uid, ())}
    failed = any(one.evidence.get(ROLLOUT) == key for one in sight.estate.findings)
    found = decision(
        rollout.updates,
        {n: one for n, (one, _) in standing.items()},
        members,
        failed=failed,
        held={n for n, (_, why) in standing.items() if why or ApplianceId(aset.uid, n) in taken},
        busy={one.ordinal for one, intents in sight.under_way.items() if one.set_uid == aset.uid and intents},
    )
    yield from _watched(rollout, standing, sight)
    if found.broken is not None and not failed:
        yield from _stopped(rollout, found.broken, sight)
    what, stopped = images.wanted(aset.spec.template), found.state is State.FAILED
    waits = f"the roll-out of {what} failed" if stopped else f"its turn in the roll-out of {what}"
    made = sight.estate.made.get(aset.uid, _NOTHING).members
    for ordinal, (stands, held) in standing.items():
        if stands not in (Phase.BEHIND, Phase.HELD):
            continue
        image = aset.spec.template.image(made[ordinal].cloud)
        why = f"was launched with {images.told(made[ordinal], aset.spec.template)}; {image} is wanted"
        if ordinal in found.update:
            yield _replaced(members[ordinal], why, rollout, sight)
        else:
            # Whose turn it is comes before it: there it is known how long that takes.
            lasts = stopped or not held or bool(images.kept_back(members[ordinal], aset, sight.moment.now))
            reason = waits if stopped else held or waits
            yield Waiting(f"{aset.uid}/{ordinal}", reason, None, why, lasts=lasts)


def decision(  # one thing each, named by the caller
    updates: Updates,
    stands: Mapping[int, Phase],
    members: Mapping[int, Member],
    *,
    failed: bool,
    held: Collection[int] = (),
    busy: Collection[int] = (),
) -> rollouts.Decision:
    """Whose turn it is: first those that are out of service already, which costs nobody anything more.

    Arguments:
        updates: how the roll-out goes.
        stands: where each of the set's living members stands, by ordinal.
        members: of the set.
        failed: whether it has failed before: an incident says so.
        held: ordinals that nothing can be done to now.
        busy: ordinals in which a command is under way.
    """
    down = {n for n in stands if members[n].wanted is Power.RUNNING and members[n].state is not ApplianceState.RUNNING}
    own = (Phase.OUT, Phase.SETTLING, Phase.BEHIND)
    out = sum(1 for n, stand in stands.items() if (stand not in own or n in held) and (n in down or n in busy))
    first = {n for n in down if stands[n] is Phase.BEHIND}
    # Nothing is taken back member by member: the set goes back as a whole.
    ahead = replace(updates, on_failure="stop")
    return rollouts.decide(ahead, stands, failed=failed, out=out, held=held, first=first)


def _replaced(member: Member, why: str, rollout: Rollout, sight: Sight) -> Decision:
    case = sight.case(member)
    step = decide.end(
        case, ApplianceState.REQUESTED, why, Origin.WANTED, ActionClass.DESTRUCTIVE, request_id=rollout.key
    )
    if not isinstance(step, Step):
        return step
    made = sight.estate.made[member.set_uid].members[member.ordinal]
    evidence = {**step.intent.evidence, ROLLOUT: rollout.key, rollouts.FROM: made._asdict()}
    intent = replace(step.intent, evidence=evidence)
    timers = (*step.change.timers, *_anew(member, sight))
    return replace(step, intent=intent, change=replace(step.change, opens_intent=intent, timers=timers))


def _anew(member: Member, sight: Sight) -> tuple[TimerClear, Timer]:
    """Of two instants the earlier would be kept."""
    place = (member.set_uid, member.ordinal, TimerKind.REPLACED)
    return TimerClear(*place), Timer(*place, sight.moment.now)


def _watched(rollout: Rollout, standing: Mapping[int, tuple[Phase, str]], sight: Sight) -> Iterator[Change]:
    """The watch over one ends once it is well. Over one that no time passes for it begins anew, now and then."""
    often = dt.timedelta(seconds=(rollout.updates.healthy_s + rollout.updates.patience_s) / 2)
    for member, since in _timed(sight.members.get(rollout.aset.uid, ()), sight):
        old = sight.moment.first_tick or sight.moment.now >= since + often
        if standing.get(member.ordinal, (None, ""))[0] in _JUDGED:
            clear = TimerClear(member.set_uid, member.ordinal, TimerKind.REPLACED)
            yield Change(tenant=member.tenant, appliance=member.id, timers=(clear,))
        elif old and _excused(member, sight):
            yield Change(tenant=member.tenant, appliance=member.id, timers=_anew(member, sight))


def forgotten(sight: Sight) -> Iterator[Change]:
    """Nobody is watched any more where members are not replaced any more."""
    for timer in sight.estate.timers:
        aset = sight.estate.sets.get(timer.set_uid) if timer.kind is TimerKind.REPLACED else None
        if aset is not None and not replaces(aset):
            clear = TimerClear(timer.set_uid, timer.ordinal, timer.kind)
            yield Change(tenant=aset.tenant, appliance=ApplianceId(timer.set_uid, timer.ordinal), timers=(clear,))


# --- failure ----------------------------------------------------------------------------------------------------


def _stopped(rollout: Rollout, ordinal: int, sight: Sight) -> Iterator[Decision]:
    """It failed: nobody else is replaced, and an open incident says so. Where its template wants that, the set goes
    back to the template that the one that failed was launched with before."""
    aset, now = rollout.aset, sight.moment.now
    before, why = _before(rollout, ordinal, sight)
    then = f"the set goes back to {images.wanted(before)}" if before is not None else f"nothing is taken back{why}"
    what = f"the roll-out of {images.wanted(aset.spec.template)}"
    message = (
        f"{aset.name}/{ordinal}: {what} stopped, since this one did not become well with it; {then}; "
        f"name another image, or replace by hand: cloudmon act {aset.name}/{ordinal} replace"
    )
    template = before if before is not None else aset.spec.template
    evidence = {ROLLOUT: rollout.key, WANTED: rollouts.key_of_image(aset.uid, template), "application": ""}
    subject = f"{aset.uid}/{ordinal}:rollout/{aset.generation}"
    finding = Finding(FindingKind.INCIDENT, subject, aset.tenant, "critical", message, evidence, now)
    change = Change(
        tenant=aset.tenant,
        appliance=ApplianceId(aset.uid, ordinal),
        findings=(finding,),
        log=(LogEntry(aset.uid, now, "incident.opened", f"{ordinal}", {"message": message}),),
    )
    if before is None:
        yield change
        return
    spec = replace(aset.spec, template=replace(before, updates=aset.spec.template.updates))
    fresh = NextGeneration(aset.uid, aset.generation, spec, AUTHOR, f"{what} failed at {aset.name}/{ordinal}")
    yield Generation(fresh, change)


def _before(rollout: Rollout, ordinal: int, sight: Sight) -> tuple[Template | None, str]:
    """The template to go back to; None with what keeps from it, as the end of a sentence."""
    aset = rollout.aset
    if rollout.updates.on_failure != "roll-back":
        return None, ""
    if any(one.evidence.get(WANTED) == rollout.key != one.evidence.get(ROLLOUT) for one in sight.estate.findings):
        return None, ", since it was the way back already"
    intents = rollouts.by_ordinal(sight.asked.get(rollout.key, ())).get(ordinal, ())
    was = intents[-1].evidence.get(rollouts.FROM) if intents else None
    if isinstance(was, Mapping):
        made = Made(str(was.get("cloud")), str(was.get("image")), was.get("user_data"))
        for template in sight.estate.made.get(aset.uid, _NOTHING).earlier:
            if images.outdated(made, template, template.user_data_hash()) is False:
                return template, ""
    return None, ", since no generation of the set has what it was launched with before"
