"""What a tick would do, were it run now: the same decisions on the same views, and nothing written.

Sets that are not in the store yet, or would change, are taken as if they were written already.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import replace

from cloudmon.clock import Clock
from cloudmon.engine.workers import Workers
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.identity import new_uid
from cloudmon.model.offers import Offer
from cloudmon.model.sets import ApplianceSet
from cloudmon.monitor import estate as estates
from cloudmon.monitor import markets, reporting
from cloudmon.monitor.hearing import Hearing
from cloudmon.monitor.insides import Insides
from cloudmon.monitor.observe import Observer
from cloudmon.monitor.policy import Policy
from cloudmon.monitor.reports import PlanReport
from cloudmon.monitor.tick import LOOK_BACK_S
from cloudmon.provider import Provider
from cloudmon.reconcile import breakers, doubts, foresight, planner
from cloudmon.reconcile.index import index_of
from cloudmon.reconcile.picture import CloudView, Estate, Moment
from cloudmon.reconcile.wanted import Wanted, tried_anew
from cloudmon.store import Store


def forecast(
    store: Store, workers: Workers[Provider], clock: Clock, policy: Policy, wanted: Wanted, now: dt.datetime
) -> PlanReport:
    """The plan that a tick would make, beside what becomes of sets. What is seen now and not written yet counts as
    known: a node that is gone is launched anew by the tick after, and a person wants to read of that."""
    since = now - dt.timedelta(seconds=max(breakers.longest_window_s(policy.limits), LOOK_BACK_S))
    offers = _offers(store, workers, policy)
    estate = estates.made_of(store, _as_if(estates.load(store, since=since, offers=offers), wanted, now))

    def absent(cloud: str, view: CloudView) -> Sequence[str]:
        return planner.to_verify(estate, cloud, view)

    observer = Observer(workers, clock, patience_s=policy.call_timeout_s * 2)
    views = observer.look(policy.clouds, absent, verify=policy.limits.verify_per_tick)
    moment = Moment(
        now=now,
        epoch=0,
        limits=policy.limits,
        confirmations=estates.confirmations(estate.requests),
        first_tick=False,
        new_id=new_uid,
        intent_deadline_s=0,
    )
    index = index_of(estate)
    views, _ = doubts.doubt(views, index, moment)
    strays = planner.strays_of(estate, views, index)
    if strays:
        estate = replace(estate, known=estates.known_tokens(store, strays))
    asked = estates.born_of(store, estate, now)
    # What was found inside appliances and is treated, or waits to be.
    insides = Insides(Hearing(store), policy.rules)
    estate = replace(estate, inside=insides.look(estate, views, now, standing=True).inside)
    plan = planner.plan(estate, views, markets.rankings(estate, views, now), strays, asked, index, moment)
    if plan.changes:
        estate = foresight.written(estate, plan.changes)
        index = index_of(estate)
        plan = planner.plan(estate, views, markets.rankings(estate, views, now), strays, asked, index, moment)
    best = markets.best(reporting.replaced(plan), estate, views, now)
    return PlanReport(reporting.rows(plan, estate, best), tuple(plan.notes), reporting.waits(plan, estate))


def _offers(store: Store, workers: Workers[Provider], policy: Policy) -> list[Offer]:
    """What the store knows; a cloud that it knows nothing of is asked."""
    found = estates.offers(store, policy.prices)
    known = {offer.cloud for offer in found}
    asked = [
        workers.submit(cloud, lambda provider: list(provider.list_offers()))
        for cloud in policy.clouds
        if cloud not in known
    ]
    # One that hangs is seen as such a moment later, when it is looked at.
    done, _ = wait(asked, timeout=policy.call_timeout_s * 2)
    for future in done:
        if not future.cancelled() and future.exception() is None:
            found += estates.priced(future.result(), policy.prices)
    return found


def _as_if(estate: Estate, wanted: Wanted, now: dt.datetime) -> Estate:
    """The estate with wanted sets written already."""
    sets = dict(estate.sets)
    members = list(estate.members)
    for put in wanted.puts:
        uid = put.uid or f"new:{put.spec.tenant}/{put.spec.name}"
        before = sets.get(uid)
        if before is None:
            sets[uid] = ApplianceSet(
                uid, put.spec.name, put.spec.tenant, 1, "", put.spec, now, lease_end=put.spec.lease.ends(now)
            )
        else:
            sets[uid] = replace(before, spec=put.spec)
            anew = {m.id for m in tried_anew(before.spec, put.spec, [m for m in members if m.set_uid == uid])}
            members = [m._replace(rung=0, attempts=0, retry_at=None) if m.id in anew else m for m in members]
        members = [_again(m, put.spec.count, now) if m.set_uid == uid else m for m in members]
        have = {m.ordinal for m in members if m.set_uid == uid}
        members += [_requested(uid, n, put.spec.tenant, now) for n in range(1, put.spec.count + 1) if n not in have]
    for aset in wanted.retire:
        sets[aset.uid] = replace(sets[aset.uid], retiring_since=now, retired_reason="it is not named any more")
    return replace(estate, sets=sets, members=members)


def _again(member: Member, count: int, now: dt.datetime) -> Member:
    """A member that ended and is wanted again goes back to where it began."""
    if member.state is not ApplianceState.RETIRED or member.ordinal > count:
        return member
    return member._replace(
        state=ApplianceState.REQUESTED, since=now, wanted=Power.RUNNING, node_id="", rung=0, attempts=0, retry_at=None
    )


def _requested(uid: str, ordinal: int, tenant: str, now: dt.datetime) -> Member:
    return Member(uid, ordinal, tenant, ApplianceState.REQUESTED, now, Power.RUNNING, 0, "", "", "", "", 0, 0, None)
