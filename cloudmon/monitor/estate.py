"""Reads from the store what one tick decides from."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from cloudmon.model.actions import GUEST_VERBS, Intent
from cloudmon.model.appliances import Incarnation
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import Node
from cloudmon.model.offers import Offer, Price
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE
from cloudmon.reconcile import replacing, upkeep
from cloudmon.reconcile import requests as asking
from cloudmon.reconcile.limits import Confirmations
from cloudmon.reconcile.picture import Estate, Making
from cloudmon.store import Store

KEPT_LOOK = dt.timedelta(hours=1)
"""Between two looks for snapshots that were kept long enough."""
KEPT_AT_ONCE = 100
"""Snapshots that one such look takes."""


def load(store: Store, *, since: dt.datetime, offers: Sequence[Offer]) -> Estate:
    """The estate as the store knows it now.

    Arguments:
        store: the memory.
        since: how far back recent intents matter.
        offers: what can be launched, prices of the settings laid over.
    """
    return store.at_once(lambda: _load(store, since, offers))


def _load(store: Store, since: dt.datetime, offers: Sequence[Offer]) -> Estate:
    found = store.intents.open(EVERYONE)
    estate = Estate(
        estate=store.estate,
        sets={aset.uid: aset for aset in store.sets.active(EVERYONE)},
        members=store.members.all(EVERYONE),
        incarnations=store.incarnations.open(EVERYONE),
        intents=[intent for intent in found if intent.verb not in GUEST_VERBS],
        recent=store.intents.telling(EVERYONE, since),
        timers=store.timers.all(),
        findings=store.findings.open(EVERYONE),
        requests=[r for r in store.requests.open(EVERYONE) if r.state is RequestState.ACCEPTED],
        offers=offers,
        commands=[intent for intent in found if intent.verb in GUEST_VERBS],
        rules=store.rules.all(EVERYONE),
    )
    return made_of(store, estate)


def made_of(store: Store, estate: Estate) -> Estate:
    """The estate with what members are made of, of sets in whose roll-out of an image something may be due."""
    uids = [aset.uid for aset in estate.sets.values() if replacing.replaces(aset)]
    if not uids:
        return estate
    asked = replacing.in_question(estate, store.incarnations.makes(EVERYONE, uids))
    return dataclasses.replace(estate, made={uid: _making(store, estate.sets[uid]) for uid in asked})


def _making(store: Store, aset: ApplianceSet) -> Making:
    generations = reversed(store.sets.generations(EVERYONE, aset.uid))
    earlier = [spec.template for _, _, spec, _ in generations if spec.template != aset.spec.template]
    return Making(store.incarnations.made(EVERYONE, aset.uid), earlier)


def load_some(store: Store, appliances: Sequence[ApplianceId], *, since: dt.datetime) -> Estate:
    """The estate as far as it concerns these appliances, for a look at them between two ticks."""
    return store.at_once(lambda: _load_some(store, appliances, since))


def _load_some(store: Store, appliances: Sequence[ApplianceId], since: dt.datetime) -> Estate:
    wanted = frozenset(appliances)
    found = [intent for intent in store.intents.open(EVERYONE) if intent.appliance in wanted]
    members = (store.members.get(EVERYONE, appliance) for appliance in appliances)
    return Estate(
        estate=store.estate,
        sets={aset.uid: aset for aset in store.sets.active(EVERYONE)},
        members=[member for member in members if member is not None],
        incarnations=[
            row for row in store.incarnations.open(EVERYONE) if ApplianceId(row.set_uid, row.ordinal) in wanted
        ],
        intents=[intent for intent in found if intent.verb not in GUEST_VERBS],
        recent=store.intents.telling(EVERYONE, since),
        timers=[timer for timer in store.timers.all() if (timer.set_uid, timer.ordinal) in wanted],
        findings=[f for uid, ordinal in appliances for f in store.findings.of_appliance(EVERYONE, uid, ordinal)],
        requests=[r for r in store.requests.open(EVERYONE) if r.state is RequestState.ACCEPTED],
        commands=[intent for intent in found if intent.verb in GUEST_VERBS],
        rules=[state for state in store.rules.all(EVERYONE) if state.appliance in wanted],
    )


def known_tokens(store: Store, strays: Sequence[tuple[str, Node]]) -> dict[str, Incarnation]:
    """The incarnations that strays' tokens name, those the store has."""
    found: dict[str, Incarnation] = {}
    for _, node in strays:
        row = store.incarnations.by_token(EVERYONE, node.token) if node.token else None
        if row is not None:
            found[row.token] = row
    return found


def born_of(store: Store, estate: Estate, now: dt.datetime) -> Mapping[str, Sequence[Intent]]:
    """By request id, and by key of a roll-out or of a maintenance window: the intents that were born of it."""
    asked = [r.id for r in estate.requests if r.verb in asking.ROLLING or r.verb is RequestVerb.ADOPT]
    return {key: store.intents.of_request(EVERYONE, key) for key in (*asked, *upkeep.keys(estate, now))}


def confirmations(requests: Sequence[Request]) -> Confirmations:
    """What people let pass, and until when."""
    hold = dt.timedelta(seconds=asking.CONFIRMED_FOR_S)
    return Confirmations({r.target: r.created_at + hold for r in requests if r.verb is RequestVerb.CONFIRM})


def offers(store: Store, overrides: Mapping[str, Mapping[str, Price]]) -> list[Offer]:
    """All offers the store has of these clouds, with the settings' prices laid over the clouds' own.

    ``overrides`` has one entry per configured cloud: price by size.
    """
    return priced(store.offers.all(), overrides)


def priced(offers: Sequence[Offer], overrides: Mapping[str, Mapping[str, Price]]) -> list[Offer]:
    """Offers of the clouds that ``overrides`` names, at its prices where it has one."""
    found = []
    for offer in offers:
        prices = overrides.get(offer.cloud)
        if prices is None:
            continue
        price = prices.get(offer.size)
        found.append(dataclasses.replace(offer, price=price) if price is not None else offer)
    return found


@dataclasses.dataclass(slots=True)
class Kept:
    """Looks now and then for snapshots that were kept long enough."""

    looked_at: dt.datetime | None = None

    def outlived(self, store: Store, keep_s: float | None, now: dt.datetime) -> Sequence[Intent]:
        """The intents that took them; none between two looks, and where they are kept without end."""
        if keep_s is None or (self.looked_at is not None and now - self.looked_at < KEPT_LOOK):
            return ()
        self.looked_at = now
        return store.intents.kept(EVERYONE, now - dt.timedelta(seconds=keep_s), KEPT_AT_ONCE)
