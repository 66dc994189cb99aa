"""Actions inside appliances that have not come to their end: which are over because nobody answers any more.

Results end them where they arrive, with the report that brings them; here end those for which none will come.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, IntentUpdate
from cloudmon.model.identity import ApplianceId

ANSWER_S = 60.0
"""Seconds after its deadline in which the result of a command may still come in."""

_NODELESS = frozenset({ApplianceState.REQUESTED, ApplianceState.RETIRING, ApplianceState.RETIRED})


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
