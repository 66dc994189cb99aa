"""Launching: which offer next, and what becomes of a launch whose answer was lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloudmon.model.actions import Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Cause, Incarnation, IncarnationState
from cloudmon.model.changes import Change, IncarnationUpdate
from cloudmon.model.identity import ApplianceId, Token
from cloudmon.model.offers import Choice, Offer
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.plan import Step, Waiting
from cloudmon.reconcile.sweep import Stray

CLOUD_WIDE = ("QuotaExceeded", "CredentialsRejected", "NotFound", "Unsupported")
"""Definite failures that every other offer of the same cloud would meet too."""


@dataclass(slots=True)
class Market:
    """What may be launched where: rankings by set, and what is left of each offer in this tick.

    Placement is a room of its own; the ranking is handed in, already made.
    """

    estate: str
    rankings: Mapping[str, Sequence[Choice]]
    """By set uid; best first, those that do not fit after."""
    by_key: Mapping[str, Offer] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    """Launches decided in this tick, by offer key: an offer with a capacity is not asked for more."""
    recent: Sequence[Intent] = ()
    """Launches that failed lately, among others."""
    reopening: dict[str, dt.datetime | None] = field(default_factory=dict)
    """What was found out about sets that have to wait, by set uid."""
    lost: Mapping[ApplianceId, Stray] = field(default_factory=dict)
    """Nodes that appliances had at a time which the store does not know of any more."""
    room: int = 1_000
    """Launches that this tick may still decide; the next tick decides about the rest anew."""

    def take(self, set_uid: str) -> Offer | None:
        """The best offer that is left, or None."""
        for choice in self.rankings.get(set_uid, ()):
            offer = choice.offer
            if not choice.fits:
                break
            if offer.capacity is not None and self.taken.get(offer.key, 0) >= offer.capacity:
                continue
            self.taken[offer.key] = self.taken.get(offer.key, 0) + 1
            self.room -= 1
            return offer
        return None


def offers_under_way(rows: Iterable[Incarnation]) -> dict[str, Offer]:
    """The offers of launches under way, as their rows remember them: the same token comes with the same parameters."""
    return {
        row.offer["key"]: Offer(row.cloud, row.size, row.location, 0, 0, 0, spot=row.offer.get("spot") == "yes")
        for row in rows
        if row.state is IncarnationState.OPENING and "key" in row.offer
    }


def excluded(recent: Iterable[Intent], set_uid: str, since: dt.datetime, generation: int) -> dict[str, str]:
    """Offers that a set may not take now, because they definitely failed for it lately: key -> why.

    Whole clouds are excluded by the key ``<cloud>/``. What one of them does not know is an image: another generation
    may have another.
    """
    found: dict[str, str] = {}
    for intent in recent:
        if intent.verb is not Verb.LAUNCH or intent.state is not IntentState.FAILED or intent.created_at < since:
            continue
        if intent.appliance.set_uid != set_uid or not intent.error:
            continue
        kind = intent.error.partition(":")[0]
        if kind == "NotFound" and intent.evidence.get("generation", generation) != generation:
            continue
        if kind in CLOUD_WIDE:
            found[f"{intent.cloud}/"] = intent.error
        elif kind in ("OutOfCapacity", "Refused", "Unreachable", "UnexpectedAnswer"):
            found[intent.offer] = intent.error
    return found


def reopens_at(market: Market, set_uid: str, hold_s: float, now: dt.datetime) -> dt.datetime | None:
    """When the first offer that a set may not take now may be tried again; None when none is barred."""
    if set_uid not in market.reopening:
        hold = dt.timedelta(seconds=hold_s)
        failed = (
            intent.created_at + hold
            for intent in market.recent
            if intent.verb is Verb.LAUNCH and intent.state is IntentState.FAILED and intent.appliance.set_uid == set_uid
        )
        market.reopening[set_uid] = min((instant for instant in failed if instant > now), default=None)
    return market.reopening[set_uid]


def launch(case: Case, market: Market) -> Step | Waiting:
    """The next incarnation, on the best offer that is left."""
    member, aset, moment = case.member, case.aset, case.moment
    lost = market.lost.get(member.id)
    if lost is not None:
        back = f"cloudmon adopt {lost.cloud} {lost.node.id} --set {aset.name} --ordinal {member.ordinal}"
        reason = f"has node {lost.node.id} on {lost.cloud}, of which the store does not know: `{back}` takes it back"
        return Waiting(case.subject, f"{reason}, `cloudmon orphans end` ends it", None, lasts=True)
    if market.room <= 0:
        return Waiting(case.subject, "waits for the launches before it", case.now)
    offer = market.take(member.set_uid)
    if offer is None:
        choices = market.rankings.get(member.set_uid, ())
        why = choices[0].reason if choices else "no offers are known"
        again = reopens_at(market, member.set_uid, aset.spec.healing.backoff_max_s, moment.now)
        # While none are known somebody is asked; those that are known do not get any larger.
        return Waiting(case.subject, f"no offer fits: {why}", again, lasts=bool(choices))
    number = member.incarnation + 1
    token = str(Token(market.estate, member.set_uid, member.ordinal, number))
    intent = cases.new_intent(
        case, Verb.LAUNCH, origin=Origin.WANTED, reason="is wanted and has no node", incarnation=number, token=token,
        cloud=offer.cloud, offer=offer.key, evidence={"generation": aset.generation},
    )  # fmt: skip
    row = Incarnation(
        set_uid=member.set_uid,
        ordinal=member.ordinal,
        number=number,
        tenant=member.tenant,
        state=IncarnationState.OPENING,
        token=token,
        cloud=offer.cloud,
        location=offer.location,
        size=offer.size,
        image=aset.spec.template.image(offer.cloud),
        node_id="",
        public_addresses=(),
        private_addresses=(),
        offer=as_it_was(offer),
        opened_at=moment.now,
        since=None,
        until=None,
        last_call_at=moment.now,
        cause=None,
        user_data=aset.spec.template.user_data_hash(),
    )
    change = Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={
            "state": ApplianceState.LAUNCHING,
            "since": moment.now,
            "incarnation": number,
            "token": token,
            "cloud": offer.cloud,
            "location": offer.location,
            "node_id": "",
            "retry_at": None,
        },
        history=cases.history(case, ApplianceState.LAUNCHING, Cause.COMMANDED, f"launch on {offer.key}"),
        opens_incarnation=row,
        opens_intent=intent,
        log=(cases.recorded(case, intent),),
    )
    return Step(intent, change, offer)


def as_it_was(offer: Offer) -> dict[str, str]:
    """The offer as a row keeps it: what the price was, and who said so when."""
    found = {"key": offer.key, "spot": "yes" if offer.spot else "no"}
    if offer.price is not None:
        found |= {
            "price_per_hour": str(offer.price.per_hour),
            "currency": offer.price.currency,
            "source": offer.price.source,
            "dated": offer.price.dated.isoformat(),
        }
    return found


def pursue(case: Case, market: Market) -> Step | Change | Waiting:
    """A launch that is recorded and not confirmed: wait, ask again with the same token, or give it up."""
    intent = case.intent
    assert intent is not None  # noqa: S101  # the caller looked
    # The cloud took the order, or a listing has shown the node that the lost answer would have named.
    if intent.state is IntentState.PERFORMED or case.member.node_id:
        return Waiting(case.subject, "was launched and has not been seen running", None)
    # Its call may still be in flight in this very process.
    if intent.id in case.moment.in_flight:
        return Waiting(case.subject, "its launch is on its way", None)
    # No answer for too long: leave this incarnation to ``endings`` and open another.
    if case.now >= intent.created_at + cases.seconds(case.aset.spec.template.boot_timeout_s):
        return _abandon(case, intent)
    offer = market.by_key.get(intent.offer)
    if offer is None:
        return _abandon(case, intent)
    return once_more(case, offer)


def once_more(case: Case, offer: Offer | None) -> Step:
    """The open intent again, with the same token and the same parameters."""
    intent, member = case.intent, case.member
    assert intent is not None  # noqa: S101  # the caller looked
    return Step(
        intent,
        Change(
            tenant=member.tenant,
            appliance=member.id,
            expect=cases.expect(member),
            incarnations=(IncarnationUpdate(member.incarnation, {"last_call_at": case.now}),),
            intents=(cases.retried(intent, case.moment),),
        ),
        offer,
        again=True,
    )


def _abandon(case: Case, intent: Intent) -> Change:
    member = case.member
    reason = f"no answer to its launch within {case.aset.spec.template.boot_timeout_s} s; ended if it is ever found"
    kind = intent.error.partition(":")[0] or "Unreachable"
    failed = case.launch_failed(f"{kind}: {reason}")
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=cases.expect(member),
        member={"state": ApplianceState.REQUESTED, "since": case.now, "node_id": "", **failed.values},
        history=cases.history(case, ApplianceState.REQUESTED, case.cause(), reason),
        incarnations=(
            IncarnationUpdate(member.incarnation, {"state": IncarnationState.ENDING, "cause": Cause.CLOUD_OUTAGE}),
        ),
        intents=cases.close_intent(intent, IntentState.FAILED, case.now, f"{kind}: {reason}"),
        findings=failed.findings,
        log=cases.intent_log(case, intent, "intent.failed", reason=reason),
    )
