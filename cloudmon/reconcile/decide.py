"""One appliance, one decision: a ladder of early returns from values only.

The rungs are in the order in which they win. Each returns a step, a change of the row alone, a reason to wait, or
None when nothing is due.
"""

from __future__ import annotations

from cloudmon.model.actions import ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Power
from cloudmon.model.changes import Change, FindingEnd, IncarnationUpdate, TimerKind
from cloudmon.model.findings import FindingKind
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.sets import ControlKind
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import commands, launch, power, requests, setbacks
from cloudmon.reconcile.case import STOPPED_STATES, Case
from cloudmon.reconcile.launch import Market
from cloudmon.reconcile.picture import Condition
from cloudmon.reconcile.plan import Generation, Step, Waiting

Decision = Step | Change | Waiting | Generation | None

_NODE_STATES = frozenset({ApplianceState.RUNNING, ApplianceState.ISOLATED, ApplianceState.FAULTED, *STOPPED_STATES})

_LOST = frozenset({ApplianceState.REQUESTED, *STOPPED_STATES})
"""States that a node which was lost, or turned off, leaves its appliance in."""

_LIFE = frozenset({Verb.LAUNCH, Verb.TERMINATE})
"""What gives an appliance its node or takes it: not begun anew for one that is to retire."""

KEEPING_TRIES = 3
"""Tries of a snapshot that the cloud does not answer, before it is done without."""
_UNLISTED = "its node is not in the cloud's listing"


def decide(case: Case, market: Market, request: Request | None, *, open_incarnations: bool) -> Decision:
    """What is due for one appliance.

    Arguments:
        case: the appliance now; its facts are settled.
        market: what may be launched where.
        request: the accepted request whose turn this appliance has now, or None.
        open_incarnations: whether any incarnation of it is still opening or ending.
    """
    member, aset, now = case.member, case.aset, case.now
    # Its time is over: retirement comes before everything else.
    surplus = member.ordinal > aset.spec.count
    if member.state is ApplianceState.RETIRING and not open_incarnations:
        return _retired(case)
    if aset.retiring_since is not None or surplus or member.state is ApplianceState.RETIRING:
        why = aset.retired_reason if aset.retiring_since is not None else "the set was made smaller"
        retirement = _retire(case, why, open_incarnations=open_incarnations)
        # Its end is held back; what is under way comes to its own all the same.
        if isinstance(retirement, Waiting) and case.intent is not None and case.intent.verb not in _LIFE:
            return _pursue(case, market)
        return retirement
    # Wanted again before its retirement had come to its end.
    if member.state is ApplianceState.RETIRED:
        return _wanted_again(case)
    # The node before it is on its way out, and ``endings`` sees to that: it is given time to leave its place.
    if case.intent is not None and case.intent.verb is Verb.TERMINATE:
        due = case.intent.created_at + cases.seconds(aset.spec.healing.verify_s)
        if now < due:
            return Waiting(case.subject, "waits for the end of its former node", due)
    # An action is under way: try it again, give it up, or let it be.
    elif case.intent is not None:
        return _pursue(case, market)
    # Somebody asked for this appliance by name, and it is its turn.
    if request is not None:
        return _asked(case, request)
    if aset.spec.lease.start is not None and now < aset.spec.lease.start:
        return Waiting(case.subject, "its lease has not begun", aset.spec.lease.start, lasts=True)
    if case.control(ControlKind.PAUSE):
        return _paused(case)
    # What was given back to it was lost again and again: no more of that until somebody wants it.
    if member.state in _LOST and member.wanted is Power.RUNNING and setbacks.spent(aset.spec.healing, member.rung):
        return _spent(case)
    if member.retry_at is not None and now < member.retry_at:
        return Waiting(case.subject, "waits before the next try", member.retry_at) if _wants(case) else None
    # No node: launch one, unless it is wanted off.
    if member.state is ApplianceState.REQUESTED:
        if member.wanted is Power.ISOLATED:
            return power.afresh(case)
        if member.wanted is not Power.RUNNING:
            return None
        return launch.launch(case, market)
    # A node in a cloud that cannot be seen: nothing is decided about it.
    if case.view is None or not case.view.healthy:
        return Waiting(case.subject, f"cloud {member.cloud} is not seen", None) if _wants(case) else None
    # Wanted in another state of power than it is.
    if member.state in _NODE_STATES and member.wanted is not Power.RUNNING:
        return _power_down(case, Origin.REQUEST, "is wanted " + member.wanted.value)
    if case.control(ControlKind.MAINTENANCE):
        return _maintained(case)
    if member.state in STOPPED_STATES or member.state is ApplianceState.ISOLATED:
        return _power_up(case)
    if member.state is ApplianceState.FAULTED:
        return _heal(case)
    # On its way between two states without our asking: a fault once it stays so for too long.
    if TimerKind.FAULT in case.timers:
        due = case.timers[TimerKind.FAULT] + cases.seconds(aset.spec.template.boot_timeout_s)
        return Waiting(case.subject, "its node is on its way between two states", due)
    return None


def _wants(case: Case) -> bool:
    """Whether something would be due if nothing held it back."""
    return case.member.state.value != case.member.wanted.value and case.member.state is not ApplianceState.RETIRED


def _paused(case: Case) -> Waiting | None:
    control = case.aset.control(ControlKind.PAUSE, case.member.ordinal, case.now)
    if control is None or not _wants(case):
        return None
    return Waiting(case.subject, f"is paused by {control.owner}: {control.reason}", control.until, lasts=True)


def _maintained(case: Case) -> Waiting | None:
    control = case.aset.control(ControlKind.MAINTENANCE, case.member.ordinal, case.now)
    if control is None or not _wants(case):
        return None
    return Waiting(case.subject, "is in maintenance", control.until, lasts=True)


# --- the end ----------------------------------------------------------------------------------------------------


def _retire(case: Case, why: str, *, open_incarnations: bool) -> Decision:
    member = case.member
    if member.state is ApplianceState.RETIRED:
        return None
    protect = case.aset.control(ControlKind.PROTECT, member.ordinal, case.now)
    if protect is not None and member.state is not ApplianceState.RETIRING:
        return Waiting(
            case.subject, f"is to be retired ({why}), but is protected by {protect.owner}: {protect.reason}",
            protect.until, lasts=True,
        )  # fmt: skip
    # What is ending already is pursued by ``endings``.
    if member.state is ApplianceState.RETIRING or (member.state is ApplianceState.REQUESTED and open_incarnations):
        return Waiting(case.subject, "waits until the cloud shows no node of it", None)
    # It never had a node, or lost it.
    if member.state is ApplianceState.REQUESTED:
        return _retired(case)
    return end(case, ApplianceState.RETIRING, why, Origin.WANTED, ActionClass.RETIREMENT)


def _retired(case: Case) -> Change:
    member = case.member
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={"state": ApplianceState.RETIRED, "since": case.now, "node_id": "", "retry_at": None},
        history=cases.history(case, ApplianceState.RETIRED, Cause.COMMANDED, "all that was there has ended"),
        intents=cases.close_intent(case.intent, IntentState.FAILED, case.now, "the appliance was retired"),
        timers=cases.clear(case, *TimerKind),
        findings=(FindingEnd(FindingKind.FAULT, case.subject), FindingEnd(FindingKind.INCIDENT, case.subject)),
        log=(cases.log(case, "appliance.retired", f"{member.ordinal}"),),
    )


def _wanted_again(case: Case) -> Change:
    """The set grew again while this one was on its way out: it begins anew, its incarnations go on counting."""
    member, reason = case.member, "is wanted again"
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={
            "state": ApplianceState.REQUESTED, "since": case.now, "wanted": Power.RUNNING, "node_id": "", "rung": 0,
            "attempts": 0, "retry_at": None,
        },
        history=cases.history(case, ApplianceState.REQUESTED, Cause.COMMANDED, reason),
        log=(cases.log(case, "appliance.wanted", f"{member.ordinal}", reason=reason),),
    )  # fmt: skip


def end(  # one thing each, named by the caller
    case: Case, state: ApplianceState, why: str, origin: Origin, action_class: ActionClass, request_id: str = ""
) -> Decision:
    """End the current incarnation and leave the appliance in ``state``: retiring, or requested for its next one.

    With a node known the termination is part of it, and held back with it; a launch whose answer was lost is only
    marked as ending, and ended when it is seen, or found absent.
    """
    member = case.member
    cause = Cause.COMMANDED if origin is not Origin.OBSERVATION else case.cause()
    intent = None
    if member.node_id:
        intent = cases.new_intent(
            case, Verb.TERMINATE, origin=origin, reason=why, action_class=action_class, request_id=request_id
        )
    incarnation: dict[str, object] = {"state": IncarnationState.ENDING, "cause": cause}
    if intent is not None:
        incarnation["last_call_at"] = case.now
    values: dict[str, object] = {"state": state, "since": case.now, "node_id": "", "attempts": 0, "retry_at": None}
    # The next one is a rung of its own, the last at most, since it is launched; or, where a person wants it, a new
    # beginning.
    values |= cases.afresh(member)
    limit = case.aset.spec.healing.max_attempts
    values["rung"] = min(member.rung + 1, limit) if origin is Origin.OBSERVATION else 0
    change = Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member=values,
        history=cases.history(case, state, cause, why),
        incarnations=(IncarnationUpdate(member.incarnation, incarnation),),
        opens_intent=intent,
        intents=cases.close_intent(case.intent, IntentState.FAILED, case.now, "overtaken by its end"),
        timers=cases.clear(case, TimerKind.ABSENT, TimerKind.FAULT, TimerKind.STEADY),
        log=(
            *cases.intent_log(case, case.intent, "intent.failed", reason="overtaken by its end"),
            *((cases.recorded(case, intent),) if intent is not None else ()),
        ),
    )
    return change if intent is None else Step(intent, change)


# --- what is under way ------------------------------------------------------------------------------------------


def _pursue(case: Case, market: Market) -> Decision:
    intent = case.intent
    assert intent is not None  # noqa: S101  # the caller looked
    healing = case.aset.spec.healing
    if intent.retry_at is not None and case.now < intent.retry_at:
        return Waiting(case.subject, f"{intent.verb} is tried again: {intent.error}", intent.retry_at)
    if intent.verb is Verb.LAUNCH:
        return launch.pursue(case, market)
    # Accepted, and its effect has time to show itself.
    if intent.state is IntentState.PERFORMED and case.now < intent.created_at + cases.seconds(healing.verify_s):
        return Waiting(case.subject, f"{intent.verb} was accepted and is not seen yet", None)
    # That it showed no effect can only be said of a cloud that is seen.
    if intent.state is IntentState.PERFORMED and case.view is not None and not case.view.healthy:
        return Waiting(case.subject, f"{intent.verb} was accepted, and cloud {case.member.cloud} is not seen", None)
    if intent.id in case.moment.in_flight:
        return Waiting(case.subject, f"{intent.verb} is on its way", None)
    # The same name keeps nothing twice. Whoever waits for it does not wait for long: evidence is worth a few tries.
    if intent.verb is Verb.SNAPSHOT and intent.attempts < KEEPING_TRIES:
        return launch.once_more(case, None)
    if intent.verb is Verb.SNAPSHOT:
        return _not_kept(case, intent)
    # Writing tags twice does no harm.
    if intent.verb is Verb.ADOPT and intent.state is IntentState.RECORDED:
        return launch.once_more(case, None)
    # The cloud only asked for patience: it is certain that nothing was done.
    throttled = intent.state is IntentState.RECORDED and intent.error.startswith("RateLimited:")
    if throttled and intent.attempts < healing.max_attempts:
        return launch.once_more(case, None)
    # Whether it was performed nobody knows, or it showed no effect: give it up and look at the appliance anew.
    reason = (
        "accepted, but showed no effect"
        if intent.state is IntentState.PERFORMED
        else "interrupted; whether it was performed is not known"
    )
    return Change(
        tenant=case.member.tenant,
        appliance=case.member.id,
        expect=cases.expect(case.member),
        member={"attempts": case.member.attempts + 1, "retry_at": case.backoff(case.member.attempts + 1)},
        intents=cases.close_intent(intent, IntentState.FAILED, case.now, reason),
        log=cases.intent_log(case, intent, "intent.failed", reason=reason),
    )


def _not_kept(case: Case, intent: Intent) -> Change:
    """Nothing is wrong with its node: what comes next does not wait."""
    reason = f"no answer in {intent.attempts} tries: {intent.error}" if intent.error else "no answer"
    return Change(
        tenant=case.member.tenant,
        appliance=case.member.id,
        intents=cases.close_intent(intent, IntentState.FAILED, case.now, reason),
        log=cases.intent_log(case, intent, "intent.failed", reason=reason),
    )


# --- what people ask for ----------------------------------------------------------------------------------------


def _asked(case: Case, request: Request) -> Decision:
    member = case.member
    if not member.node_id:
        return Waiting(case.subject, f"has no node to {requests.asked_for(request)}", None)
    # Its agent is told, and not its cloud.
    if request.verb is RequestVerb.COMMAND:
        verb, told = Verb(requests.asked_for(request)), requests.command_arguments(request)
        return commands.opened(case, verb, told, Origin.REQUEST, _why(request), request.id)
    if case.view is None or not case.view.healthy:
        return Waiting(case.subject, f"cloud {member.cloud} is not seen", None)
    why = _why(request)
    if request.verb is RequestVerb.REBOOT:
        return step(case, Verb.REBOOT, Origin.REQUEST, why, request_id=request.id)
    if request.verb is RequestVerb.SNAPSHOT:
        return step(case, Verb.SNAPSHOT, Origin.REQUEST, why, request_id=request.id)
    if request.verb is RequestVerb.REPLACE:
        if case.control(ControlKind.PROTECT):
            return Waiting(case.subject, "is protected and is not replaced", None, lasts=True)
        return end(case, ApplianceState.REQUESTED, why, Origin.REQUEST, ActionClass.DESTRUCTIVE, request.id)
    return None


def _why(request: Request) -> str:
    return f"asked by {request.author}: {request.reason}"


# --- power ------------------------------------------------------------------------------------------------------


def _power_down(case: Case, origin: Origin, why: str) -> Decision:
    member = case.member
    order = power.down(case)
    if order is None:
        return None
    if member.attempts >= case.aset.spec.healing.max_attempts:
        return _stuck(case, f"{member.attempts} tries to have it {member.wanted} failed", again=True)
    if order.verb is Verb.ISOLATE and "isolate_node" not in power.able(case):
        return _stuck(case, f"cloud {member.cloud} cannot isolate nodes")
    return step(case, order.verb, origin, why + order.remark, fallback=order.fallback)


def _power_up(case: Case) -> Decision:
    member = case.member
    healing = case.aset.spec.healing
    if member.attempts >= healing.max_attempts:
        return _stuck(case, f"{member.attempts} tries to have it running failed", again=True)
    # Starting does not help: as good as faulted.
    hopeless = member.attempts >= 2 and member.state in STOPPED_STATES and "replace" in healing.ladder
    hopeless = hopeless and not case.control(ControlKind.PROTECT)
    if hopeless and case.node is not None and member.rung < healing.max_attempts:
        return end(case, ApplianceState.REQUESTED, "does not start again", Origin.OBSERVATION, ActionClass.DESTRUCTIVE)
    return step(case, power.up(member.state), Origin.WANTED, f"is wanted running and was found {member.state}")


# --- healing ----------------------------------------------------------------------------------------------------


def _heal(case: Case) -> Decision:
    """The escalation ladder: each rung verified, limited, backed off."""
    member, healing = case.member, case.aset.spec.healing
    due = member.since + cases.seconds(healing.fault_after_s)
    if case.now < due:
        return Waiting(case.subject, "the fault is young", due)
    if not healing.ladder:
        return Waiting(case.subject, "its policy has no ladder", None, lasts=True)
    if member.rung >= healing.max_attempts:
        return _stuck(case, f"{member.rung} actions did not end the fault", again=True)
    # What a cloud cannot do is no rung there.
    able = [rung for rung in healing.ladder if _able(case, rung)]
    if not able:
        return _stuck(case, "nothing on its ladder can be done on this cloud")
    rung = able[min(member.rung, len(able) - 1)]
    why = f"faulted since {member.since.isoformat(timespec='seconds')}: rung {member.rung + 1}, {rung}"
    if rung == "reboot":
        return step(case, Verb.REBOOT, Origin.OBSERVATION, why, climbs=True)
    if rung == "stop-start":
        return step(case, Verb.STOP, Origin.OBSERVATION, why, climbs=True)
    if case.control(ControlKind.PROTECT):
        return Waiting(case.subject, "is protected and is not replaced", None, lasts=True)
    # Neither shown nor denied by its cloud: that it failed once is no proof of anything now.
    if case.node is None:
        return Waiting(case.subject, _UNLISTED, None)
    return end(case, ApplianceState.REQUESTED, why, Origin.OBSERVATION, ActionClass.DESTRUCTIVE)


def _able(case: Case, rung: str) -> bool:
    verbs = power.able(case)
    if rung == "reboot":
        return "reboot_node" in verbs
    if rung == "stop-start":
        return {"stop_node", "start_node"} <= verbs
    return True


def step(  # noqa: PLR0913  # one thing each, named by the caller
    case: Case,
    verb: Verb,
    origin: Origin,
    why: str,
    *,
    climbs: bool = False,
    request_id: str = "",
    fallback: str = "",
) -> Decision:
    """A step that leaves the row's state to what will be seen."""
    member, healing = case.member, case.aset.spec.healing
    # The node is not to be seen in this listing: an order to it would say nothing.
    if case.node is None:
        return Waiting(case.subject, _UNLISTED, None)
    if case.condition is Condition.LEAVING:
        return Waiting(case.subject, "its node is on its way out", None)
    if case.condition is Condition.UNKNOWN and not climbs:
        return Waiting(case.subject, f"its cloud says {case.node.word!r} of its node, which says nothing", None)
    evidence = {"fallback_of": fallback} if fallback else None
    intent = cases.new_intent(case, verb, origin=origin, reason=why, request_id=request_id, evidence=evidence)
    values: dict[str, object] = {}
    if climbs:
        pause = max(healing.verify_s, min(healing.backoff_max_s, healing.backoff_s * 2**member.rung))
        values = {"rung": member.rung + 1, "retry_at": case.later(pause)}
    return Step(
        intent,
        Change(
            tenant=member.tenant,
            appliance=member.id,
            expect=cases.expect(member),
            member=values,
            opens_intent=intent,
            log=(cases.recorded(case, intent),),
        ),
    )


_ASKED_AGAIN = {
    Power.RUNNING: "start", Power.STOPPED: "stop", Power.SUSPENDED: "suspend", Power.ISOLATED: "isolate"
}  # fmt: skip
"""What a person asks for who wants it tried again."""


def _spent(case: Case) -> Decision:
    member, healing = case.member, case.aset.spec.healing
    what = "its node was lost" if member.state is ApplianceState.REQUESTED else f"it was found {member.state}"
    tries = f"{member.rung - 1} tries in a row did not make it run for {healing.steady_s} s"
    return _stuck(case, f"{what} again, and {tries}", again=True)


def _stuck(case: Case, message: str, *, again: bool = False) -> Decision:
    """Nothing more is tried; an open incident says so until the fault ends or somebody acts. ``again``: that it can
    be asked for anew is part of what it says."""
    name = f"{case.aset.name}/{case.member.ordinal}"
    if again:
        message += f"; `cloudmon act {name} {_ASKED_AGAIN[case.member.wanted]}` tries again"
    finding = cases.incident(case, f"{name}: {message}")
    before = case.findings.get((finding.kind, finding.subject))
    # An incident of before, about less than this, goes on as this one.
    if before is not None and before.message == finding.message:
        return Waiting(case.subject, "an incident is open: " + message, None, lasts=True)
    return Change(
        tenant=case.member.tenant,
        appliance=case.member.id,
        findings=(finding,),
        log=(cases.log(case, "incident.opened", f"{case.member.ordinal}", message=message),),
    )
