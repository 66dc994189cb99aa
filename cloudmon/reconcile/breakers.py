"""Limits on what a plan may do. Open means held back, with the reason shown.

The same breakers judge every plan; the store checks the budgets once more, in the transaction that records the
intents. A person's request is not held by budgets, but it counts in them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cloudmon.model.actions import ActionClass, Intent, Origin, Verb
from cloudmon.model.changes import Budget, Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.reconcile import limits as limit
from cloudmon.reconcile import putback
from cloudmon.reconcile.picture import Moment
from cloudmon.reconcile.plan import Held, Step


def longest_window_s(limits: limit.Limits) -> int:
    """How far back recent intents matter to the budgets, in seconds."""
    return max(limits.disruptive.window_s, limits.destructive.window_s, limits.retirement.window_s)


def judge(
    steps: Iterable[Step],
    recent: Sequence[Intent],
    moment: Moment,
    doubted: Mapping[str, str],
    put_back: Finding | None = None,
) -> tuple[list[Step], list[Held]]:
    """Split steps into those that pass and those that are held; in the place of one that is held passes what is to be
    done otherwise, if that may.

    Arguments:
        steps: what was decided, in the order of deciding.
        recent: intents created within the longest window, whatever became of them.
        moment: now, the limits, and what people confirmed.
        doubted: clouds whose listing is doubted, and why.
        put_back: what was noticed of a store that is older than it was.
    """
    spent = _Spent(recent, moment)
    passed: list[Step] = []
    held: list[Held] = []
    for step in steps:
        tried: Step | None = step
        while tried is not None:
            again, intent = tried.again, tried.intent
            doubt = "" if again else putback.holds(intent, put_back) or _doubted(tried, moment, doubted)
            # A person's request is not held by budgets.
            asked = again or intent.origin is Origin.REQUEST
            reason, until = (doubt, None) if doubt or asked else spent.exhausted(intent)
            if not reason:
                if not again:
                    spent.add(intent)
                passed.append(tried)
                break
            held.append(Held(tried, reason, until))
            tried = tried.otherwise
    return passed, held


def _doubted(step: Step, moment: Moment, doubted: Mapping[str, str]) -> str:
    """Why what is seen now is no reason to do this; empty when it is one."""
    intent = step.intent
    destroys = intent.action_class is ActionClass.DESTRUCTIVE
    # A monitor that has just opened its eyes, or whose clock has just jumped, destroys nothing because of what it saw.
    if destroys and intent.origin is Origin.OBSERVATION and moment.first_tick and moment.limits.first_tick_hold:
        return "the first tick after a start or a jump of the clock destroys nothing because of what it sees"
    # A listing that lacks what it should show is no reason to destroy what it does show.
    if destroys and intent.origin is Origin.OBSERVATION and intent.cloud in doubted:
        return f"the view of its cloud is doubted: {doubted[intent.cloud]}"
    return ""


class _Spent:
    """What of each budget is used up."""

    def __init__(self, recent: Sequence[Intent], moment: Moment) -> None:
        self._moment = moment
        self._recent = [intent for intent in recent if intent.action_class is not ActionClass.SAFE]
        self._counts: dict[tuple[str, str], int] = {}
        self._free: dict[tuple[str, str], dt.datetime | None] = {}

    def add(self, intent: Intent) -> None:
        for budget in self._budgets(intent):
            key = (budget.name, budget.set_uid or "")
            self._counts[key] = self._count(key, budget) + 1

    def exhausted(self, intent: Intent) -> tuple[str, dt.datetime | None]:
        """Which budget is used up, and when it has room again; empty when none is."""
        uid = intent.appliance.set_uid
        for budget in self._budgets(intent):
            if self._count((budget.name, budget.set_uid or ""), budget) < budget.limit:
                continue
            subject = uid if budget.set_uid else budget.name
            if self._moment.confirmations.cover(subject, self._moment.now):
                continue
            return f"budget used up: {budget.limit} {budget.name} in {budget.window_s} s", self._free_at(budget)
        return "", None

    def _budgets(self, intent: Intent) -> Iterable[Budget]:
        return limit.budgets(
            self._moment.limits, intent.action_class, intent.tenant, intent.appliance.set_uid, intent.cloud
        )

    def _count(self, key: tuple[str, str], budget: Budget) -> int:
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = len(self._covered(budget))
        return found

    def _covered(self, budget: Budget) -> list[dt.datetime]:
        """When those were recorded that it counts."""
        since = self._moment.now - dt.timedelta(seconds=budget.window_s)
        return [
            intent.created_at
            for intent in self._recent
            if intent.created_at > since
            and budget.covers(intent.action_class, intent.tenant, intent.appliance.set_uid, intent.cloud)
        ]

    def _free_at(self, budget: Budget) -> dt.datetime | None:
        """When the first of those that stand in the way leaves the window; None for a budget that lets nothing pass."""
        key = (budget.name, budget.set_uid or "")
        if key not in self._free:
            # What passes in this very tick leaves last.
            counted = sorted(self._covered(budget))
            too_many = self._count(key, budget) - budget.limit
            begun = counted[too_many] if too_many < len(counted) else self._moment.now
            free = begun + dt.timedelta(seconds=budget.window_s) if budget.limit > 0 else None
            self._free[key] = free
        return self._free[key]


def findings(
    held: Iterable[Held], opened: Mapping[tuple[FindingKind, str], Finding], moment: Moment
) -> Iterator[Change]:
    """What is written about held steps: a finding for each while it is held, so that people see what waits, and why.

    Arguments:
        held: from :func:`judge`.
        opened: all open findings.
        moment: the tick.
    """
    now: dict[str, Held] = {}
    for one in held:
        now.setdefault(_subject(one.step.intent, opened), one)
    for subject, one in now.items():
        intent = one.step.intent
        message = f"{intent.verb} is held back: {one.breaker}"
        before = opened.get((FindingKind.HELD, subject))
        if before is None or before.message != message:
            evidence = {"reason": intent.reason, "action_class": intent.action_class.value}
            finding = Finding(FindingKind.HELD, subject, intent.tenant, "warning", message, evidence, moment.now)
            yield Change(tenant=intent.tenant, findings=(finding,))
    for (kind, subject), finding in opened.items():
        if kind is FindingKind.HELD and subject not in now:
            yield Change(tenant=finding.tenant, findings=(FindingEnd(kind, subject),))


def _subject(intent: Intent, opened: Mapping[tuple[FindingKind, str], Finding]) -> str:
    node = f"node:{intent.cloud}:{intent.node_id}"
    stray = any((kind, node) in opened for kind in (FindingKind.ORPHAN, FindingKind.DUPLICATE))
    return node if stray else f"{intent.appliance.set_uid}/{intent.appliance.ordinal}"


def all_budgets(steps: Iterable[Step], moment: Moment) -> list[Budget]:
    """Every budget that these steps have to pass, once each, for the store to check again. What a person confirmed
    is not among them."""
    found: dict[tuple[str, str], Budget] = {}
    for step in steps:
        intent = step.intent
        if intent.verb is Verb.LAUNCH:
            continue
        uid = intent.appliance.set_uid
        for budget in limit.budgets(moment.limits, intent.action_class, intent.tenant, uid, intent.cloud):
            subject = uid if budget.set_uid else budget.name
            if not moment.confirmations.cover(subject, moment.now):
                found[(budget.name, budget.set_uid or "")] = budget
    return list(found.values())
