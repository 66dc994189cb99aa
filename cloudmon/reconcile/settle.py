"""Facts first: what this tick's view changes in one appliance's row. No action is decided here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState, Cause, IncarnationState, Power
from cloudmon.model.changes import Change, FindingEnd, IncarnationUpdate, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.reconcile import adoption, setbacks
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.case import STOPPED_STATES, Case
from cloudmon.reconcile.picture import Condition

_STATE_OF: Mapping[Condition, ApplianceState] = {
    Condition.RUNS: ApplianceState.RUNNING,
    Condition.OFF: ApplianceState.STOPPED,
    Condition.FROZEN: ApplianceState.SUSPENDED,
    Condition.ISOLATED: ApplianceState.ISOLATED,
}
"""Conditions that are a state by themselves."""

_UP = frozenset({Condition.RUNS, Condition.ISOLATED})
_CONFIRMS: Mapping[Verb, frozenset[Condition]] = {
    Verb.LAUNCH: _UP | {Condition.OFF, Condition.FROZEN},
    Verb.START: _UP,
    Verb.RESUME: _UP,
    Verb.REBOOT: _UP,
    Verb.ADOPT: _UP | {Condition.OFF, Condition.FROZEN, Condition.CHANGES},
    Verb.STOP: frozenset({Condition.OFF}),
    Verb.SUSPEND: frozenset({Condition.FROZEN, Condition.OFF, Condition.ISOLATED}),
}
"""What must be seen for an accepted action to count as done. Termination is confirmed in ``endings``."""
_WALLED: Mapping[Verb, bool] = {Verb.ISOLATE: True, Verb.RELEASE: False}
"""Likewise, what the cloud must say of its node's isolation, whatever else the node does."""


def settle(case: Case) -> Change | None:
    """What the view changes in this appliance's row, or None when it agrees with it."""
    rule = _RULES.get(case.member.state)
    # Requested and retired appliances have no node; a retiring one's node is the matter of ``endings``.
    if rule is None:
        return None
    # No view that can be believed: the row stays what it was.
    if case.view is None or (case.condition is Condition.UNKNOWN and case.node is None):
        return None
    # Seen in a state that says nothing: unknown is no fault by itself, and one that leaves is gone soon. A launch
    # though must come to an end.
    if case.condition in (Condition.UNKNOWN, Condition.LEAVING) and case.member.state is not ApplianceState.LAUNCHING:
        return _seen_again(case)
    return rule(case)


def _launching(case: Case) -> Change | None:
    member, condition = case.member, case.condition
    # The answer to the create call was lost, and no listing shows the node: the intent is tried again, see ``decide``.
    if case.node is None and not member.node_id:
        return None
    # Adopted, and its tags still name what it was.
    stray = adoption.another(case)
    if stray is not None:
        return adoption.settle(case, stray)
    # Seen in a state of its own: the launch is confirmed.
    if condition in _STATE_OF:
        return _arrive(case, _STATE_OF[condition], "seen for the first time")
    # A young node may be denied while the cloud catches up with itself.
    if condition is Condition.GONE and (case.view is None or not case.view.proves_absence(member.since)):
        return None
    # It died before it was ever seen well.
    if condition is Condition.GONE:
        return cases.gone(case, ApplianceState.REQUESTED, case.cause(), "its node ended before it ran")
    # The cloud says that it failed, or it took too long.
    if condition is Condition.BAD:
        return _fault(case, "its node failed while booting")
    if case.now >= case.member.since + dt.timedelta(seconds=case.aset.spec.template.boot_timeout_s):
        return _fault(case, f"its node did not run within {case.aset.spec.template.boot_timeout_s} s")
    # On its way: remember the node that the lost answer would have named; it is paid for from now.
    if case.node is not None and not member.node_id:
        return _learn(case)
    # A listing that is past the lag lacks it: should it be gone, it was not seen to run from here on.
    if condition is Condition.UNSEEN and case.view is not None and case.view.proves_absence(member.since):
        return _begin(case, TimerKind.ABSENT)
    return _confirm(case) or _seen_again(case)


def _running(case: Case) -> Change | None:
    condition = case.condition
    if condition is Condition.RUNS:
        return _well(case)
    if condition in _STATE_OF:
        return _arrive(case, _STATE_OF[condition], f"its node was found {_STATE_OF[condition]}")
    if condition is Condition.GONE:
        return cases.gone(case, ApplianceState.REQUESTED, case.cause(), "its node is gone")
    if condition is Condition.BAD:
        return _fault(case, "its node failed")
    # Missing but not denied: remember since when, decide nothing.
    if condition is Condition.UNSEEN:
        return _begin(case, TimerKind.ABSENT)
    # On its way somewhere without our asking; a fault only when it stays so.
    if case.over(TimerKind.FAULT, case.aset.spec.template.boot_timeout_s):
        return _fault(case, "its node is stuck on its way between two states")
    return _begin(case, TimerKind.FAULT) or _seen_again(case)


def _off(case: Case) -> Change | None:
    member, condition = case.member, case.condition
    if condition in _STATE_OF and _STATE_OF[condition] is not member.state:
        return _arrive(case, _STATE_OF[condition], f"its node was found {_STATE_OF[condition]}")
    if condition in _STATE_OF:
        return _confirm(case) or _seen_again(case)
    if condition is Condition.GONE:
        return cases.gone(case, ApplianceState.REQUESTED, case.cause(), "its node is gone")
    if condition is Condition.BAD:
        return _fault(case, "its node failed")
    return _begin(case, TimerKind.ABSENT) if condition is Condition.UNSEEN else _seen_again(case)


def _faulted(case: Case) -> Change | None:
    if case.condition in _STATE_OF:
        return _arrive(case, _STATE_OF[case.condition], "the fault ended")
    if case.condition is Condition.GONE:
        return cases.gone(case, ApplianceState.REQUESTED, case.cause(), "its node is gone")
    return _begin(case, TimerKind.ABSENT) if case.condition is Condition.UNSEEN else _seen_again(case)


_RULES: Mapping[ApplianceState, Callable[[Case], Change | None]] = {
    ApplianceState.LAUNCHING: _launching,
    ApplianceState.RUNNING: _running,
    ApplianceState.STOPPED: _off,
    ApplianceState.SUSPENDED: _off,
    ApplianceState.ISOLATED: _off,
    ApplianceState.FAULTED: _faulted,
}


def _arrive(case: Case, state: ApplianceState, reason: str) -> Change:
    """The appliance is now in ``state``."""
    member, node = case.member, case.node
    assert node is not None  # noqa: S101  # a condition that is a state comes from a node that was seen
    confirmed = _confirmed(case)
    commanded = confirmed or state.value == member.wanted.value or member.state is ApplianceState.LAUNCHING
    cause = Cause.COMMANDED if commanded else case.cause()
    values: dict[str, object] = {"state": state, "since": case.now, "node_id": node.id, "location": node.location}
    if state is ApplianceState.RUNNING or confirmed:
        # What was asked for has worked: failures count anew, and what comes after it need not wait.
        values |= {"attempts": 0, "retry_at": None}
    if not commanded and case.aset.spec.healing.power == "accept" and state is not ApplianceState.RUNNING:
        # Whoever stopped it is taken to have meant it.
        values["wanted"] = Power(state.value)
    elif state is ApplianceState.ISOLATED and not confirmed and _cut_off(case):
        # Always: nothing that was cut off talks again but by somebody's wish.
        values["wanted"] = Power.ISOLATED
    elif cause is Cause.FAULT and _turned_off(case, state):
        values |= setbacks.lost(case.aset.spec.healing, member.rung, case.now)
    incarnation: dict[str, object] = {
        "node_id": node.id,
        "state": IncarnationState.LIVE,
        "location": node.location,
        "public_addresses": tuple(node.public_addresses),
        "private_addresses": tuple(node.private_addresses),
    }
    if not member.node_id:
        incarnation["since"] = cases.began_at(node, case.seen_at, case.member.since)[0]
    steady = state is ApplianceState.RUNNING and member.rung > 0
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member=values,
        history=cases.history(case, state, cause, reason),
        incarnations=(IncarnationUpdate(member.incarnation, incarnation),),
        intents=cases.close_intent(case.intent, IntentState.DONE, case.now) if confirmed else (),
        usage=_swap(case, state),
        timers=(
            *cases.clear(case, TimerKind.ABSENT, TimerKind.FAULT, TimerKind.STEADY),
            *((cases.timer(case, TimerKind.STEADY),) if steady else ()),
        ),
        findings=(FindingEnd(FindingKind.FAULT, case.subject), FindingEnd(FindingKind.INCIDENT, case.subject))
        if state is ApplianceState.RUNNING or state.value == member.wanted.value
        else (),
        log=(
            cases.log(case, f"appliance.{state}", f"{member.ordinal}", cause=cause.value, reason=reason),
            *(cases.intent_log(case, case.intent, "intent.done") if confirmed else ()),
        ),
    )


def _turned_off(case: Case, state: ApplianceState) -> bool:
    """Whether it went off though it is wanted running, and no action of ours explains that."""
    before = case.member.state in (ApplianceState.RUNNING, ApplianceState.FAULTED)
    return state in STOPPED_STATES and before and case.member.wanted is Power.RUNNING and case.intent is None


def _cut_off(case: Case) -> bool:
    """Whether it ran until somebody isolated it in the cloud, as a store that was put back may have forgotten; and not
    just a listing that is behind its release."""
    member, view = case.member, case.view
    lag = cases.seconds(view.lag_s + view.call_timeout_s) if view is not None else dt.timedelta()
    ran = member.state in (ApplianceState.RUNNING, ApplianceState.LAUNCHING)
    return ran and member.wanted is Power.RUNNING and case.seen_at > member.since + lag


def _swap(case: Case, state: ApplianceState) -> tuple[UsageEvent, ...]:
    """One dimension of the node ends and the other begins, at the same instant; or its first one begins."""
    member, node = case.member, case.node
    assert node is not None  # noqa: S101  # see _arrive
    begins = Dimension.NODE_STOPPED if state in STOPPED_STATES else Dimension.NODE_RUNNING
    if not member.node_id:
        at, source = cases.began_at(node, case.seen_at, member.since)
        return (cases.whose(case.member, node.id).event(begins, Mark.BEGAN, at, {"source": source, **case.evidence()}),)
    held = Dimension.NODE_STOPPED if member.state in STOPPED_STATES else Dimension.NODE_RUNNING
    if held is begins:
        return ()
    return (
        cases.whose(case.member).event(held, Mark.ENDED, case.seen_at, {"source": "listing", **case.evidence()}),
        cases.whose(case.member).event(begins, Mark.BEGAN, case.seen_at, {"source": "listing", **case.evidence()}),
    )


def _fault(case: Case, reason: str) -> Change:
    """The appliance is there and not well; the ladder begins to count."""
    member, cause = case.member, case.cause()
    usage: tuple[UsageEvent, ...] = ()
    values: dict[str, object] = {"state": ApplianceState.FAULTED, "since": case.now}
    incarnation: dict[str, object] = {"state": IncarnationState.LIVE}
    if member.state in STOPPED_STATES:
        usage = (
            cases.whose(case.member).event(
                Dimension.NODE_STOPPED, Mark.ENDED, case.seen_at, {"source": "listing", **case.evidence()}
            ),
            cases.whose(case.member).event(
                Dimension.NODE_RUNNING, Mark.BEGAN, case.seen_at, {"source": "listing", **case.evidence()}
            ),
        )
    elif not member.node_id and case.node is not None:
        at, source = cases.began_at(case.node, case.seen_at, member.since)
        usage = (
            cases.whose(case.member, case.node.id).event(
                Dimension.NODE_RUNNING, Mark.BEGAN, at, {"source": source, **case.evidence()}
            ),
        )
        values |= {"node_id": case.node.id, "location": case.node.location}
        incarnation |= {"node_id": case.node.id, "since": at}
    message = f"{case.aset.name}/{member.ordinal}: {reason}"
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member=values,
        history=cases.history(case, ApplianceState.FAULTED, cause, reason),
        incarnations=(IncarnationUpdate(member.incarnation, incarnation),),
        intents=cases.close_intent(case.intent, IntentState.FAILED, case.now, reason),
        usage=usage,
        # One that is still missing was missing since then.
        timers=cases.clear(case, TimerKind.FAULT, TimerKind.STEADY, *([TimerKind.ABSENT] if case.node else [])),
        findings=(
            Finding(FindingKind.FAULT, case.subject, member.tenant, "warning", message, case.evidence(), case.now),
        ),
        log=(
            cases.log(case, "appliance.faulted", f"{member.ordinal}", cause=cause.value, reason=reason),
            *cases.intent_log(case, case.intent, "intent.failed", reason=reason),
        ),
    )


def _learn(case: Case) -> Change:
    """A booting node whose id we did not know."""
    member, node = case.member, case.node
    assert node is not None  # noqa: S101  # only called with one
    at, source = cases.began_at(node, case.seen_at, member.since)
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={"node_id": node.id, "location": node.location},
        incarnations=(IncarnationUpdate(member.incarnation, {"node_id": node.id, "since": at}),),
        usage=(
            cases.whose(case.member, node.id).event(
                Dimension.NODE_RUNNING, Mark.BEGAN, at, {"source": source, **case.evidence()}
            ),
        ),
        log=(cases.log(case, "appliance.found", f"{member.ordinal}", node=node.id, cloud=member.cloud),),
    )


def _well(case: Case) -> Change | None:
    """It runs, as the row says: end what was waiting for that."""
    member = case.member
    if case.intent is not None:
        return _confirm(case)
    steady = member.rung > 0 and case.over(TimerKind.STEADY, case.aset.spec.healing.steady_s)
    starts = member.rung > 0 and TimerKind.STEADY not in case.timers
    cleared = cases.clear(case, TimerKind.ABSENT, TimerKind.FAULT)
    if not member.rung:
        # Somebody had it tried anew: there is nothing to be steady after.
        cleared += cases.clear(case, TimerKind.STEADY)
    if not (steady or starts or cleared):
        return None
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={"rung": 0, "attempts": 0} if steady else {},
        timers=(
            *cleared,
            *(cases.clear(case, TimerKind.STEADY) if steady else ()),
            *((cases.timer(case, TimerKind.STEADY),) if starts else ()),
        ),
        log=(cases.log(case, "appliance.steady", f"{member.ordinal}"),) if steady else (),
    )


def _begin(case: Case, kind: TimerKind) -> Change | None:
    """Start a timer unless it runs, or an action of ours explains what is seen."""
    if kind in case.timers or (kind is TimerKind.FAULT and case.intent is not None):
        return None
    seen = cases.clear(case, TimerKind.ABSENT) if kind is TimerKind.FAULT else ()
    return Change(tenant=case.member.tenant, appliance=case.member.id, timers=(*seen, cases.timer(case, kind)))


def _seen_again(case: Case) -> Change | None:
    """A node that is there is not missing any more: should it end later, it did not end when it was missed first."""
    cleared = cases.clear(case, TimerKind.ABSENT)
    return Change(tenant=case.member.tenant, appliance=case.member.id, timers=cleared) if cleared else None


def _confirmed(case: Case) -> bool:
    """Whether what is seen confirms the open intent. A view is always younger than the intents that are open when it
    is settled, so an effect that is plain to see is enough; a reboot and an adoption leave none, and are
    believed only when the cloud said that it took the order."""
    intent = case.intent
    if intent is not None and intent.verb in _WALLED:
        return case.node is not None and case.node.isolated is _WALLED[intent.verb]
    if intent is None or case.condition not in _CONFIRMS.get(intent.verb, frozenset()):
        return False
    return intent.verb not in (Verb.REBOOT, Verb.ADOPT) or intent.state is IntentState.PERFORMED


def _confirm(case: Case) -> Change | None:
    if not _confirmed(case):
        return None
    member = case.member
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        intents=cases.close_intent(case.intent, IntentState.DONE, case.now),
        timers=cases.clear(case, TimerKind.ABSENT, TimerKind.FAULT),
        log=cases.intent_log(case, case.intent, "intent.done"),
    )
