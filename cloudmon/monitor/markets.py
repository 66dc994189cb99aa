"""What may be launched where, for every set that needs it now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cloudmon import placement
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.offers import Choice, Offer
from cloudmon.reconcile import launch
from cloudmon.reconcile.picture import CloudView, Estate


def rankings(estate: Estate, views: Mapping[str, CloudView], now: dt.datetime) -> dict[str, Sequence[Choice]]:
    """Placement for every set that has members to launch."""
    needy = {
        m.set_uid
        for m in estate.members
        if m.state is ApplianceState.REQUESTED and m.wanted is Power.RUNNING and m.set_uid in estate.sets
    }
    return {uid: _ranking(uid, estate, views, now) for uid in needy}


def best(uids: Iterable[str], estate: Estate, views: Mapping[str, CloudView], now: dt.datetime) -> dict[str, Offer]:
    """The offer that a member of each of these sets would be launched on now; none where nothing fits."""
    found = ((uid, _ranking(uid, estate, views, now)) for uid in uids if uid in estate.sets)
    return {uid: choices[0].offer for uid, choices in found if choices and choices[0].fits}


def _ranking(uid: str, estate: Estate, views: Mapping[str, CloudView], now: dt.datetime) -> Sequence[Choice]:
    aset = estate.sets[uid]
    since = now - dt.timedelta(seconds=aset.spec.healing.backoff_max_s)
    barred = launch.excluded(estate.recent, uid, since, aset.generation)
    barred |= {f"{cloud}/": f"is not seen: {view.reason}" for cloud, view in views.items() if not view.healthy}
    clouds = aset.spec.clouds or tuple(views)
    return placement.rank(
        aset.spec.template.needs,
        clouds=[cloud for cloud in clouds if cloud in views],
        images=aset.spec.template.images,
        offers=estate.offers,
        excluded=dict(_spread(barred, estate)),
        now=now,
    )


def _spread(barred: Mapping[str, str], estate: Estate) -> Iterator[tuple[str, str]]:
    """What bars a whole cloud bars each of its offers."""
    for offer in estate.offers:
        why = barred.get(offer.key) or barred.get(f"{offer.cloud}/")
        if why:
            yield offer.key, why
