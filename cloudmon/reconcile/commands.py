"""Actions inside appliances: how one is opened, and which are over because nobody answers any more.

Results end them where they arrive, with the report that brings them; here end those for which none will come.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.changes import Change, IntentUpdate, TimerClear, TimerKind
from cloudmon.model.commands import FETCH_S, TERMS, class_of, fetch_by
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId
from cloudmon.model.requests import Request
from cloudmon.model.sets import Template
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import remote, requests
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.picture import CloudView
from cloudmon.reconcile.plan import Step

ANSWER_S = 60.0
"""Seconds after its deadline in which the result of a command may still come in."""

_NODELESS = frozenset({ApplianceState.REQUESTED, ApplianceState.RETIRING, ApplianceState.RETIRED})


def opened(  # one thing each, named by the caller
    case: Case, verb: Verb, arguments: Mapping[str, str], origin: Origin, why: str, request_id: str = ""
) -> Step:
    """An action inside the appliance, for its agent to fetch."""
    intent = cases.new_intent(case, verb, origin=origin, reason=why, request_id=request_id)
    deadline = case.later(TERMS[verb].timeout_s + _fetch_s(case))
    intent = replace(intent, arguments=dict(arguments), deadline=deadline, action_class=class_of(verb, arguments))
    return Step(
        intent,
        Change(
            tenant=case.member.tenant,
            appliance=case.member.id,
            expect=cases.expect(case.member),
            opens_intent=intent,
            log=(cases.recorded(case, intent),),
        ),
    )


def _fetch_s(case: Case) -> float:
    """Seconds in which it is to be fetched. The agent of a machine that boots, or came up just now, comes up too."""
    member = case.member
    up_since = member.since if member.state is ApplianceState.RUNNING else case.now
    booted = up_since + cases.seconds(case.aset.spec.template.boot_timeout_s)
    return max(FETCH_S, (booted - case.now).total_seconds())


def nobody(
    request: Request,
    template: Template,
    members: Iterable[Member],
    agents: Iterable[Agent],
    views: Mapping[str, CloudView],
) -> str:
    """Why a command would wait for nobody, as a sentence: a member that it is for has no agent, none that is expected
    and no cloud that performs it. Else empty."""
    name, ordinal = requests.split(request.target)
    verb, speaking = Verb(requests.asked_for(request)), {agent.appliance: agent for agent in agents}
    by_cloud = bool(remote.programs(verb, requests.command_arguments(request), template))
    for member in members:
        if ordinal not in (None, member.ordinal) or member.state in _NODELESS or member.wanted is not Power.RUNNING:
            continue
        agent = speaking.get(member.id)
        if agent is not None and agent.incarnation != member.incarnation:
            agent = None
        expected = template.agent if agent is None else agent.revoked_at is None
        if expected or (by_cloud and _may_run(views.get(member.cloud))):
            continue
        who = f"{name}/{member.ordinal}"
        lack = f"{who} has no agent" if agent is None else f"the agent of {who} was revoked"
        return f"{lack}, and cloud {member.cloud} cannot do {verb} in it; `cloudmon agent token {who}` lets one in"
    return ""


def _may_run(view: CloudView | None) -> bool:
    """Whether a cloud runs programs in its nodes; what it can do is not known before it is seen."""
    return view is None or not view.healthy or "start_command" in view.verbs


def review(commands: Iterable[Intent], members: Mapping[ApplianceId, Member], now: dt.datetime) -> Iterator[Change]:
    """The ends of commands that nobody will answer.

    Arguments:
        commands: those that are open.
        members: by id, of the appliances that they are for.
        now: the tick's instant.
    """
    for intent in commands:
        reason = _over(intent, members.get(intent.appliance), now)
        if reason:
            yield _failed(intent, reason, now)


def _over(intent: Intent, member: Member | None, now: dt.datetime) -> str:
    # Its machine is another one by now, or none.
    if member is None or member.incarnation != intent.incarnation or member.state in _NODELESS:
        return "its appliance has not that node any more"
    if intent.state is IntentState.RECORDED and now >= fetch_by(intent):
        return "nobody fetched it in time"
    if now >= intent.deadline + dt.timedelta(seconds=ANSWER_S):
        if remote.by_cloud(intent):
            return "handed to its cloud, and no result came; whether it was performed is not known"
        return "handed to the agent, and no result came; whether it was performed is not known"
    return ""


def _failed(intent: Intent, reason: str, now: dt.datetime) -> Change:
    entry = LogEntry(
        intent.appliance.set_uid, now, "intent.failed", intent.id,
        {"verb": intent.verb.value, "ordinal": intent.appliance.ordinal, "reason": reason},
    )  # fmt: skip
    # One that is fetched in this very moment is not over.
    late = intent.state is IntentState.RECORDED
    expected = frozenset({IntentState.RECORDED}) if late else OPEN_INTENTS
    # What was not looked for is looked for again, once its agent is heard.
    again = late and intent.verb is Verb.SCAN and intent.origin is Origin.OBSERVATION
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        intents=(IntentUpdate(intent.id, expected, IntentState.FAILED, {"ended_at": now, "error": reason}),),
        timers=(TimerClear(*intent.appliance, TimerKind.SEARCHED),) if again else (),
        log=(entry,),
    )
