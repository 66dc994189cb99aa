"""The ranking: hard limits, then price, then preferred needs, then least to spare, then the offer's key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from cloudmon.model.offers import Choice, Offer
from cloudmon.model.sets import Needs
from cloudmon.placement import limits


class _Standing(NamedTuple):
    """What two fitting offers are compared by, in this order; less is better."""

    price_unknown: bool
    price: Decimal
    wishes_missed: int
    spare_vcpus: int
    spare_memory_mib: int
    spare_disk_gib: int
    key: str


def rank(
    needs: Needs,
    *,
    clouds: Collection[str],
    images: Mapping[str, str],
    offers: Iterable[Offer],
    excluded: Mapping[str, str],
    now: dt.datetime,
) -> tuple[Choice, ...]:
    """Every offer once, with the reason for where it stands: those that fit, best first, then those that do not.

    Arguments:
        needs: minimum values are hard limits, preferred ones only rank.
        clouds: where the set may live; empty means anywhere.
        images: image by cloud, ``*`` for all that are not named; a cloud without an image cannot be taken.
        offers: in any order; the order changes nothing. Of two with the same key one is taken, always the same.
        excluded: by offer key, why it may not be taken now although it fits: it failed a moment ago.
        now: prices that were guaranteed until before this instant count as unknown.

    An unknown price, or one in another currency than ``needs.currency``, ranks after every known one. The losers are in
    the order of how little they lack, so that a person who finds no offer fitting reads first what nearly did.
    """
    fitting: list[tuple[_Standing, Offer]] = []
    losing: list[tuple[int, str, Choice]] = []
    for offer in _each_once(offers):
        reasons = list(limits.broken(offer, needs, clouds=clouds, images=images, now=now))
        if offer.key in excluded:
            reasons.append(f"not now: {excluded[offer.key] or 'it failed lately'}")
        if reasons:
            losing.append((len(reasons), offer.key, Choice(offer, fits=False, reason="; ".join(reasons))))
        else:
            fitting.append((_standing(offer, needs, now), offer))
    fitting.sort(key=lambda entry: entry[0])
    losing.sort(key=lambda entry: entry[:2])
    chosen = [
        Choice(offer, fits=True, reason=_reason(standing, needs, place, len(fitting)))
        for place, (standing, offer) in enumerate(fitting, start=1)
    ]
    return (*chosen, *(choice for _, _, choice in losing))


def _each_once(offers: Iterable[Offer]) -> Iterable[Offer]:
    found: dict[str, Offer] = {}
    for offer in offers:
        other = found.get(offer.key)
        # Any rule will do as long as the order of the input does not decide.
        if other is None or repr(offer) < repr(other):
            found[offer.key] = offer
    return found.values()


def _standing(offer: Offer, needs: Needs, now: dt.datetime) -> _Standing:
    price = limits.price_of(offer, needs.currency, now)
    return _Standing(
        price_unknown=price is None,
        price=price if price is not None else Decimal(0),
        wishes_missed=len(_missed(offer.vcpus, offer.memory_mib, needs)),
        spare_vcpus=offer.vcpus - needs.vcpus,
        spare_memory_mib=offer.memory_mib - needs.memory_mib,
        spare_disk_gib=offer.disk_gib - needs.disk_gib,
        key=offer.key,
    )


def _missed(vcpus: int, memory_mib: int, needs: Needs) -> list[str]:
    missed = []
    if needs.preferred_vcpus is not None and vcpus < needs.preferred_vcpus:
        missed.append(f"{vcpus} of {needs.preferred_vcpus} preferred vcpus")
    if needs.preferred_memory_mib is not None and memory_mib < needs.preferred_memory_mib:
        missed.append(f"{memory_mib} of {needs.preferred_memory_mib} preferred MiB of memory")
    return missed


def _reason(standing: _Standing, needs: Needs, place: int, fitting: int) -> str:
    price = "price unknown" if standing.price_unknown else f"{standing.price} {needs.currency} an hour"
    vcpus, memory_mib = standing.spare_vcpus + needs.vcpus, standing.spare_memory_mib + needs.memory_mib
    spare = f"{standing.spare_vcpus} vcpus and {standing.spare_memory_mib} MiB to spare"
    return "; ".join([f"{place} of {fitting} that fit: {price}", *_missed(vcpus, memory_mib, needs), spare])
