"""Actions inside appliances: how one is opened, and which are over because nobody answers any more.

Results end them where they arrive, with the report that brings them; here end those for which none will come.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, IntentUpdate
from cloudmon.model.commands import TERMS, class_of
from cloudmon.model.identity import ApplianceId
from cloudmon.reconcile import case as cases
from cloudmon.reconcile import remote
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.plan import Step

FETCH_S = 120.0
"""Seconds that an agent is given to fetch a command: a few intervals of its report, or a long poll that was cut."""

ANSWER_S = 60.0
"""Seconds after its deadline in which the result of a command may still come in."""

_NODELESS = frozenset({ApplianceState.REQUESTED, ApplianceState.RETIRING, ApplianceState.RETIRED})


def opened(  # one thing each, named by the caller
    case: Case, verb: Verb, arguments: Mapping[str, str], origin: Origin, why: str, request_id: str = ""
) -> Step:
    """An action inside the appliance, for its agent to fetch."""
    intent = cases.new_intent(case, verb, origin=origin, reason=why, request_id=request_id)
    deadline = case.later(TERMS[verb].timeout_s + FETCH_S)
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
    if intent.state is IntentState.RECORDED and now >= intent.deadline:
        return "no agent fetched it in time"
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
    return Change(
        tenant=intent.tenant,
        appliance=intent.appliance,
        intents=(IntentUpdate(intent.id, OPEN_INTENTS, IntentState.FAILED, {"ended_at": now, "error": reason}),),
        log=(entry,),
    )
