"""Where a rule stands after one more verdict: what is remembered, and whether its finding opens, stays or ends.

A finding opens when the condition has held for as long as its rule says, on facts that are known all the while: time in
which nobody knows does not count, and waiting begins anew after it. It ends when the condition is known not to hold any
more, when somebody exempts the appliance, when there is nothing left to judge, or when the node that it was seen on was
given up and nothing is known of the next one: what was seen there is no evidence here. What was tried is remembered.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, replace

from cloudmon.detection.judge import Verdict
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Exemption, OnUnknown, Rule, RuleState

STEADY_S = 1_800.0
"""Seconds without the condition after which its ladder starts from its first rung again."""

_HELD, _NOT, _BREAK = "1", "0", "?"


class Event(enum.StrEnum):
    """What becomes of the finding."""

    NONE = "none"
    """There is none, and none begins."""
    OPENS = "opens"
    STAYS = "stays"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class Stepped:
    """Where the rule stands now."""

    state: RuleState | None
    """What is to be remembered; None: nothing."""
    event: Event
    fires: bool = False
    """Whether the condition holds now, long enough and on known facts: what remedies are for. A finding that stays
    open because nobody knows does not fire."""
    due: dt.datetime | None = None
    """When to look again though nothing changes; None: no need."""
    reason: str = ""
    """Why it ends."""


def step(rule: Rule, state: RuleState, verdict: Verdict, now: dt.datetime, *, is_open: bool, fresh: bool) -> Stepped:
    """One more verdict.

    Arguments:
        state: what is remembered, or a :func:`blank` one.
        is_open: whether its finding is open.
        fresh: whether facts came in since the last verdict: only then does it count among the last ``m``.
    """
    unknown = verdict is Verdict.UNKNOWN
    if unknown and rule.on_unknown is OnUnknown.IGNORE:
        return _unknown(rule, state, is_open=is_open, now=now)
    if unknown:
        # As if it had always been so: what nobody saw cannot be counted one by one.
        hits = (_HELD if rule.on_unknown is OnUnknown.FIRE else _NOT) * rule.m
    else:
        hits = _after(rule, state.hits.rstrip(_BREAK), verdict, fresh=fresh or not state.hits.rstrip(_BREAK))
    if not _met(rule, hits):
        return _not_met(rule, state, hits, is_open=is_open, now=now)
    # A finding that stayed open over a time in which nobody knew goes on as it was.
    unbroken = _met(rule, state.hits) and not state.hits.endswith(_BREAK)
    met = replace(state, hits=hits, since=state.since if unbroken or (is_open and state.hits) else now)
    # Of the last ones enough may have held, and the newest not: then nothing is to be done about it any more.
    fires = unknown or verdict is Verdict.HOLDS
    if is_open:
        return Stepped(met, Event.STAYS, fires=fires, due=met.retry_at)
    opens_at = met.since + dt.timedelta(seconds=rule.for_s)
    if now < opens_at:
        return Stepped(met, Event.NONE, due=opens_at)
    return Stepped(met, Event.OPENS, fires=fires, due=met.retry_at)


def exempt(exemption: Exemption, *, is_open: bool) -> Stepped:
    """Somebody said that the rule does not count here: its finding ends with their reason."""
    until = f" until {exemption.until:%Y-%m-%d %H:%M:%SZ}" if exemption.until is not None else ""
    reason = f"exempted by {exemption.owner}{until}: {exemption.reason}"
    return Stepped(None, Event.ENDS if is_open else Event.NONE, due=exemption.until, reason=reason)


def left(state: RuleState, now: dt.datetime) -> Stepped:
    """The node that its finding was seen on was given up, and of the next one nothing is known yet. The ladder goes on
    where it stands if the condition shows itself there too."""
    kept = replace(state, hits=_BREAK, since=now) if state.rung else None
    return Stepped(kept, Event.ENDS, reason="the node that it was seen on was given up")


def gone(why: str, *, is_open: bool) -> Stepped:
    """There is nothing left to judge."""
    return Stepped(None, Event.ENDS if is_open else Event.NONE, reason=why)


def blank(appliance: ApplianceId, tenant: str, key: str, now: dt.datetime) -> RuleState:
    """The first memory of a rule."""
    return RuleState(appliance, tenant, key, now)


def _after(rule: Rule, hits: str, verdict: Verdict, *, fresh: bool) -> str:
    mark = _HELD if verdict is Verdict.HOLDS else _NOT
    if rule.m == 1:
        return mark
    return (hits + mark)[-rule.m :] if fresh else hits


def _met(rule: Rule, hits: str) -> bool:
    return hits.count(_HELD) >= rule.n


def _not_met(rule: Rule, state: RuleState, hits: str, *, is_open: bool, now: dt.datetime) -> Stepped:
    event = Event.ENDS if is_open else Event.NONE
    reason = "the condition does not hold any more" if is_open else ""
    # Time in which nobody knew is no time without the condition.
    began = now if is_open or _met(rule, state.hits) or state.hits == _BREAK else state.since
    forgotten_at = began + dt.timedelta(seconds=STEADY_S)
    if state.rung and now < forgotten_at:
        # It may be a moment's relief: what was tried is remembered for a while, so that the ladder goes on from there.
        return Stepped(replace(state, hits=hits, since=began), event, due=forgotten_at, reason=reason)
    if _HELD in hits:
        state = replace(state, hits=hits, since=began, rung=0, retry_at=None, intent_id="")
        return Stepped(state, event, reason=reason)
    return Stepped(None, event, reason=reason)


def _unknown(rule: Rule, state: RuleState, *, is_open: bool, now: dt.datetime) -> Stepped:
    if not state.hits:
        return Stepped(None, Event.STAYS if is_open else Event.NONE)
    if is_open:
        return Stepped(state, Event.STAYS)
    if _met(rule, state.hits):
        broken = state if state.hits.endswith(_BREAK) else replace(state, hits=state.hits + _BREAK)
        return Stepped(broken, Event.NONE)
    forgotten_at = state.since + dt.timedelta(seconds=STEADY_S)
    return Stepped(state, Event.NONE, due=forgotten_at if state.rung and now < forgotten_at else None)
