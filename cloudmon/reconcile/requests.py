"""What people ask for: whether it can be done, whose turn it is, and when it is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import Change, Expect, FindingEnd
from cloudmon.model.commands import OFFERED, STANDING, fault
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Agent
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet, Control, ControlKind, NextGeneration
from cloudmon.reconcile import setbacks
from cloudmon.reconcile.picture import CloudView

POWER: Mapping[RequestVerb, Power] = {
    RequestVerb.START: Power.RUNNING,
    RequestVerb.RESUME: Power.RUNNING,
    RequestVerb.STOP: Power.STOPPED,
    RequestVerb.SUSPEND: Power.SUSPENDED,
    RequestVerb.ISOLATE: Power.ISOLATED,
    RequestVerb.REJOIN: Power.RUNNING,
}
ROLLING = frozenset({RequestVerb.SNAPSHOT, RequestVerb.REBOOT, RequestVerb.REPLACE, RequestVerb.COMMAND})
CONTROLS: Mapping[RequestVerb, ControlKind] = {
    RequestVerb.PAUSE: ControlKind.PAUSE,
    RequestVerb.PROTECT: ControlKind.PROTECT,
    RequestVerb.MAINTAIN: ControlKind.MAINTENANCE,
}
CONFIRMED_FOR_S = 3_600
"""Seconds for which a confirmation lets pass what a breaker holds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a request now: its next state, and what is written with it."""

    state: RequestState
    outcome: str = ""
    changes: tuple[Change, ...] = ()
    control: Control | None = None
    release: ControlKind | None = None
    set_values: Mapping[str, object] | None = None
    log_kind: str = ""
    generation: NextGeneration | None = None
    """What a set becomes with it; ``changes`` may be about members that it adds."""


def refused(why: str) -> Answer:
    return Answer(RequestState.REFUSED, why)


def split(target: str) -> tuple[str, int | None]:
    """Name and ordinal of ``storefront/3``; None stands for all (``storefront``, ``storefront/*``)."""
    name, _, ordinal = target.partition("/")
    return name, int(ordinal) if ordinal.isdecimal() else None


def ended(request: Request, aset: ApplianceSet, now: dt.datetime) -> Answer:
    """The answer to a request about a set that has ended."""
    at = (aset.retired_at or now).isoformat(timespec="seconds")
    late = "too late: " if request.verb is RequestVerb.EXTEND else ""
    return refused(f"{late}{aset.name} ended at {at}, because {aset.retired_reason}")


def answer(request: Request, aset: ApplianceSet | None, members: Sequence[Member], now: dt.datetime) -> Answer:
    """Whether a request about a set or its appliances can be done, and what is written at once.

    Arguments:
        request: a pending one.
        aset: the active set that its target names, or None.
        members: that set's members.
        now: the instant of the tick.
    """
    name, ordinal = split(request.target)
    if aset is None:
        return refused(f"there is no active set named {name}; `cloudmon sets list` shows those that are")
    # A slip of the pen must not mean all of them.
    if ordinal is None and request.target not in (name, f"{name}/*"):
        return refused(f"{request.target} names no appliance; {name}/1 is one, {name}/* are all")
    covered = [member for member in members if ordinal in (None, member.ordinal)]
    living = [m for m in covered if m.state not in (ApplianceState.RETIRED, ApplianceState.RETIRING)]
    if ordinal is not None and not covered:
        return refused(f"{request.target} names no living appliance; {aset.name} has {aset.spec.count}")
    if request.verb in CONTROLS:
        return _control(request, aset, ordinal, now)
    if request.verb is RequestVerb.RELEASE:
        kind = request.arguments.get("kind", "")
        if kind not in {found.value for found in ControlKind}:
            return refused(f"{kind!r} is no control; release one of pause, protect, maintenance")
        there = any(control.kind == kind and control.ordinal == ordinal for control in aset.controls)
        outcome = f"{kind} of {request.target} is released" if there else f"no {kind} lies on {request.target}"
        return Answer(RequestState.DONE, outcome, release=ControlKind(kind))
    if request.verb is RequestVerb.EXTEND:
        return _extend(request, aset, now)
    if request.verb is RequestVerb.RETIRE:
        return _retire(request, aset, ordinal, now)
    if aset.retiring_since is not None:
        return refused(f"{aset.name} is being retired since {aset.retiring_since.isoformat(timespec='seconds')}")
    if not living:
        return refused(f"{request.target} names no living appliance; {aset.name} has {aset.spec.count}")
    if request.verb in POWER:
        return _power(request, aset, living, now)
    if request.verb in ROLLING:
        return _rolling(request, aset, living, ordinal, now)
    return refused(f"{request.verb} cannot be asked of a set")


def _control(request: Request, aset: ApplianceSet, ordinal: int | None, now: dt.datetime) -> Answer:
    until_text = request.arguments.get("until", "")
    until = dt.datetime.fromisoformat(until_text) if until_text else None
    if until is not None and until <= now:
        return refused(f"it would end at {until_text}, which has passed")
    kind = CONTROLS[request.verb]
    control = Control(0, kind, aset.uid, ordinal, request.author, request.reason, now, until)
    shown = f"until {until.isoformat(timespec='seconds')}" if until else "until it is released"
    return Answer(RequestState.DONE, f"{kind} on {request.target} {shown}", control=control)


def _extend(request: Request, aset: ApplianceSet, now: dt.datetime) -> Answer:
    # Works until the last moment, grace included; then the end has been decided and stays decided.
    if aset.retiring_since is not None:
        since = aset.retiring_since.isoformat(timespec="seconds")
        return refused(f"too late: {aset.name} is being retired since {since}, because {aset.retired_reason}")
    if aset.lease_end is None:
        return refused(f"{aset.name} has no end that could be extended")
    if "by_s" in request.arguments:
        end = aset.lease_end + dt.timedelta(seconds=int(request.arguments["by_s"]))
    else:
        end = dt.datetime.fromisoformat(request.arguments["until"])
    if end <= now:
        return refused(f"the new end {end.isoformat(timespec='seconds')} has passed; name a later one")
    values: dict[str, object] = {"lease_end": end, "warned_s": ()}
    outcome = f"{aset.name} now ends at {end.isoformat(timespec='seconds')}"
    return Answer(RequestState.DONE, outcome, set_values=values, log_kind="lease.extended")


def _retire(request: Request, aset: ApplianceSet, ordinal: int | None, now: dt.datetime) -> Answer:
    if ordinal is not None:
        return refused(f"one appliance is not retired by itself; make {aset.name} smaller, or replace {request.target}")
    protect = next((c for c in aset.controls if c.kind is ControlKind.PROTECT and c.ordinal is None), None)
    if protect is not None and (protect.until is None or now < protect.until):
        return refused(f"{aset.name} is protected by {protect.owner} ({protect.reason}); release it first")
    if aset.retiring_since is not None:
        return Answer(RequestState.ACCEPTED)
    reason = f"asked by {request.author}: {request.reason}"
    values: dict[str, object] = {"retiring_since": now, "retired_reason": reason}
    return Answer(RequestState.ACCEPTED, set_values=values, log_kind="set.retiring")


def _power(request: Request, aset: ApplianceSet, living: Sequence[Member], now: dt.datetime) -> Answer:
    wanted = POWER[request.verb]
    if request.verb is RequestVerb.REJOIN:
        living = [member for member in living if _isolated(member)]
        if not living:
            return refused(f"{request.target} is not isolated")
    if request.verb is RequestVerb.ISOLATE:
        # It is a node that is isolated, and not the one that comes after it.
        living = [member for member in living if member.state is not ApplianceState.REQUESTED]
        if not living:
            return refused(f"{request.target} has no node to isolate; stop it, and it is not given one")
    return Answer(
        RequestState.ACCEPTED,
        changes=tuple(
            _wanted(request, aset, member, wanted, now)
            for member in living
            if member.wanted is not wanted or (member.state.value != wanted.value and setbacks.any_of(member))
        ),
    )


def _isolated(member: Member) -> bool:
    """Whether it is, or is to be; also in place of what its cloud cannot do."""
    return ApplianceState.ISOLATED.value in (member.state.value, member.wanted.value)


def _wanted(request: Request, aset: ApplianceSet, member: Member, wanted: Power, now: dt.datetime) -> Change:
    """It is wanted so by a person: what failed before does not count any more, and nothing waits for it."""
    given_up = member.state is ApplianceState.REQUESTED and wanted is not Power.RUNNING
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=Expect(member.state, member.incarnation),
        member={"wanted": wanted, **setbacks.FORGOTTEN},
        # Nobody waits any more for a node that it could not be given.
        findings=(FindingEnd(FindingKind.INCIDENT, f"{aset.uid}/{member.ordinal}"),) if given_up else (),
        log=(
            LogEntry(
                aset.uid, now, "appliance.wanted", f"{member.ordinal}",
                {"wanted": wanted.value, "author": request.author, "reason": request.reason},
            ),
        ),
    )  # fmt: skip


def _rolling(
    request: Request, aset: ApplianceSet, living: Sequence[Member], ordinal: int | None, now: dt.datetime
) -> Answer:
    wrong = _wrong_command(request) if request.verb is RequestVerb.COMMAND else ""
    if wrong:
        return refused(wrong)
    protected = [m for m in living if aset.control(ControlKind.PROTECT, m.ordinal, now)]
    if request.verb is RequestVerb.REPLACE and protected:
        return refused(f"{aset.name}/{protected[0].ordinal} is protected; release it first")
    # A new node for one that has none is what it waits for already, unless failures of before hold it back.
    again: tuple[Change, ...] = ()
    if request.verb is RequestVerb.REPLACE:
        again = tuple(_wanted(request, aset, m, m.wanted, now) for m in living if _waits_for_node(m))
    if ordinal is not None and again:
        outcome = f"{request.target} has no node to replace; its next one is due at once"
        return Answer(RequestState.DONE, outcome, changes=again)
    absent = [m for m in living if not m.node_id]
    if ordinal is not None and absent:
        return refused(f"{request.target} has no node to {asked_for(request)}; it is {absent[0].state}")
    if all(_spared(request, m) for m in living):
        return refused(f"{request.target} is wanted {living[0].wanted}; start it instead")
    return Answer(RequestState.ACCEPTED, changes=again)


def asked_for(request: Request) -> str:
    """What a request asks for, in a word."""
    return request.arguments.get("verb", "") if request.verb is RequestVerb.COMMAND else request.verb.value


def command_arguments(request: Request) -> dict[str, str]:
    """What a command is told: all that its request says but the verb itself."""
    return {name: value for name, value in request.arguments.items() if name != "verb"}


def _wrong_command(request: Request) -> str:
    verb = asked_for(request)
    if verb in STANDING:
        return "accounts are granted to whole sets; `cloudmon accounts grant` does it"
    if verb not in OFFERED:
        return f"{verb!r} is nothing that an agent does; it does {', '.join(OFFERED)}"
    return fault(Verb(verb), command_arguments(request))


def cannot(request: Request, members: Iterable[Member], agents: Iterable[Agent]) -> str:
    """Why a command cannot be given, as a sentence: an agent that it is for does not perform it. Else empty."""
    name, ordinal = split(request.target)
    present = {member.id: member.incarnation for member in members if ordinal in (None, member.ordinal)}
    for agent in agents:
        if agent.revoked_at is not None or present.get(agent.appliance) != agent.incarnation:
            continue
        if not agent.performs(asked_for(request)):
            known = ", ".join(agent.abilities or ()) or "nothing"
            who = f"{name}/{agent.appliance.ordinal} has {agent.version}"
            return f"{who}, which cannot do {asked_for(request)}; what it can do: {known}"
    return ""


def walless(request: Request, members: Iterable[Member], views: Mapping[str, CloudView]) -> str:
    """Why a member cannot be isolated, as a sentence: its cloud has no firewall that we know of. Else empty."""
    name, ordinal = split(request.target)
    for member in members:
        there = member.node_id or member.state is ApplianceState.LAUNCHING
        view = views.get(member.cloud) if ordinal in (None, member.ordinal) and there else None
        if view is not None and view.healthy and "isolate_node" not in view.verbs:
            return f"{name}/{member.ordinal} is on cloud {member.cloud}, which cannot isolate nodes; suspend or stop it"
    return ""


def _waits_for_node(member: Member) -> bool:
    return member.state is ApplianceState.REQUESTED and member.wanted is Power.RUNNING


# --- turns and progress -----------------------------------------------------------------------------------------


def turns(request: Request, aset: ApplianceSet, members: Sequence[Member], intents: Iterable[Intent]) -> frozenset[int]:
    """Ordinals whose turn it is in a rolling request: so many that no more than a batch is out of service at once.

    Nothing more has its turn once a member failed.
    """
    _, ordinal = split(request.target)
    touched: dict[int, Intent] = {intent.appliance.ordinal: intent for intent in intents}
    if any(intent.state in (IntentState.FAILED, IntentState.INCIDENT) for intent in touched.values()):
        return frozenset()
    covered = [m for m in members if ordinal in (None, m.ordinal) and m.state is not ApplianceState.RETIRED]
    out = sum(1 for m in members if m.state not in (ApplianceState.RUNNING, ApplianceState.RETIRED))
    out += sum(1 for m in members if m.state is ApplianceState.RUNNING and _under_way(touched.get(m.ordinal)))
    todo = sorted(m.ordinal for m in covered if m.ordinal not in touched and m.node_id and not _spared(request, m))
    if ordinal is not None:
        return frozenset(todo)
    # What is out of service already and still to be done costs nobody anything more.
    running = {m.ordinal for m in covered if m.state is ApplianceState.RUNNING}
    down = [ordinal for ordinal in todo if ordinal not in running]
    room = max(0, aset.spec.healing.batch - out)
    well = [ordinal for ordinal in todo if ordinal in running]
    return frozenset([*down[: aset.spec.healing.batch], *well[:room]])


def all_turns(
    accepted: Iterable[Request],
    sets: Iterable[ApplianceSet],
    members: Mapping[str, Sequence[Member]],
    asked: Mapping[str, Sequence[Intent]],
) -> dict[tuple[str, int], Request]:
    """By set and ordinal: the request whose turn it is there, the older where there are two."""
    rolling = [request for request in accepted if request.verb in ROLLING]
    found: dict[tuple[str, int], Request] = {}
    named = {(aset.tenant, aset.name): aset for aset in sets} if rolling else {}
    for request in rolling:
        aset = named.get((request.tenant, split(request.target)[0]))
        if aset is not None:
            for ordinal in turns(request, aset, members[aset.uid], asked.get(request.id, ())):
                found.setdefault((aset.uid, ordinal), request)
    return found


def _spared(request: Request, member: Member) -> bool:
    """Whether there is nothing to do for a member that is wanted off: no machine, or none that runs."""
    off = member.wanted is not Power.RUNNING
    return off and (request.verb in (RequestVerb.REBOOT, RequestVerb.COMMAND) or not member.node_id)


def _under_way(intent: Intent | None) -> bool:
    return intent is not None and intent.state in OPEN_INTENTS


def progress(request: Request, members: Sequence[Member], intents: Iterable[Intent]) -> Answer | None:
    """Whether an accepted request has come to its end; None while it goes on."""
    _, ordinal = split(request.target)
    covered = [m for m in members if ordinal in (None, m.ordinal)]
    living = [m for m in covered if m.state not in (ApplianceState.RETIRED, ApplianceState.RETIRING)]
    if request.verb is RequestVerb.RETIRE:
        if all(m.state is ApplianceState.RETIRED for m in covered):
            return Answer(
                RequestState.DONE, f"{request.target.removesuffix('/*')} has ended: no cloud shows a node of it"
            )
        return None
    if not living:
        return Answer(RequestState.FAILED, f"{request.target} was retired before it was done")
    asked = list(intents)
    failed = [i for i in asked if i.state in (IntentState.FAILED, IntentState.INCIDENT)]
    if failed:
        ordinal = failed[0].appliance.ordinal
        how = "failed" if failed[0].state is IntentState.FAILED else "does not come to its end and is tried on"
        why = failed[0].error or "it was accepted, and shows no effect"
        return Answer(RequestState.FAILED, f"{asked_for(request)} of {ordinal} {how}: {why}")
    if request.verb in POWER:
        return _power_progress(request, living, whole=ordinal is None)
    touched = {i.appliance.ordinal for i in asked}
    done = {i.appliance.ordinal for i in asked if i.state is IntentState.DONE}
    # One that is wanted off has nothing to come back to.
    left = [m for m in living if m.ordinal in touched or not _spared(request, m)]
    if all(m.ordinal in done and (m.state is ApplianceState.RUNNING or m.wanted is not Power.RUNNING) for m in left):
        off = [m for m in left if not m.node_id] if request.verb is RequestVerb.REPLACE else []
        return Answer(RequestState.DONE, f"{asked_for(request)} of {_appliances(left)} done{_to_come(off, left)}")
    return None


def _to_come(off: Sequence[Member], replaced: Sequence[Member]) -> str:
    """What is said of those that were replaced while they are wanted off."""
    if not off:
        return ""
    of = "" if len(off) == len(replaced) else f" of {len(off)}"
    return f":{of} the node is ended, and the next one is launched when it is started"


def _power_progress(request: Request, living: Sequence[Member], *, whole: bool) -> Answer | None:
    wanted = POWER[request.verb]
    if request.verb is RequestVerb.ISOLATE:
        return _isolation_progress(living, whole=whole)
    if request.verb is RequestVerb.REJOIN:
        # Others of the set may be wanted off, which they stay.
        living = [m for m in living if m.wanted is wanted or _isolated(m)]
    # Somebody asked for something else since.
    if any(m.wanted is not wanted for m in living):
        return Answer(RequestState.FAILED, "overtaken by a later request")
    reached = {ApplianceState.RUNNING}
    if wanted is not Power.RUNNING:
        # Off is off, and one that has no node is as off as can be.
        reached = {ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.REQUESTED}
    if wanted is Power.SUSPENDED:
        reached.add(ApplianceState.ISOLATED)
    if not all(m.state in reached for m in living):
        return None
    stopped = sum(1 for m in living if m.state is ApplianceState.STOPPED)
    frozen = sum(1 for m in living if m.state is ApplianceState.SUSPENDED)
    isolated = sum(1 for m in living if m.state is ApplianceState.ISOLATED)
    if wanted is Power.SUSPENDED and isolated:
        what = f"{isolated} isolated, which their cloud can and to suspend or stop it cannot"
        return Answer(RequestState.DONE, f"{_appliances(living)} out of service; {what}")
    if wanted is Power.SUSPENDED and stopped:
        return Answer(RequestState.DONE, f"{_appliances(living)} off; {stopped} stopped, not suspended")
    if wanted is Power.STOPPED and frozen:
        return Answer(RequestState.DONE, f"{_appliances(living)} off; {frozen} suspended, which it stays")
    return Answer(RequestState.DONE, f"{_appliances(living)} {wanted}")


def _isolation_progress(living: Sequence[Member], *, whole: bool) -> Answer | None:
    """Of a whole set those are isolated that had a node; one that was named is, or it failed."""
    meant = [m for m in living if m.wanted is Power.ISOLATED]
    if not meant or (len(meant) < len(living) and not whole):
        return Answer(RequestState.FAILED, "its node was lost, or somebody asked for something else since")
    isolated = sum(1 for m in meant if m.state is ApplianceState.ISOLATED)
    off = sum(1 for m in meant if m.state in (ApplianceState.STOPPED, ApplianceState.SUSPENDED))
    if isolated + off < len(meant):
        return None
    others = len(living) - len(meant)
    left = f"; {others} without a node then, or asked for something else since, not isolated" if others else ""
    said = (
        f"{_appliances(meant)} isolated"
        if not off
        else f"{_appliances(meant)}: {isolated} isolated, the others are off"
    )
    return Answer(RequestState.DONE, said + left)


def _appliances(members: Sequence[Member]) -> str:
    return f"{len(members)} appliance{'s' if len(members) != 1 else ''}"
