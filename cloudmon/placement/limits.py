"""Hard limits: why an offer may not be taken at all. A flat list of questions, each answered by one offer alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from cloudmon.model.offers import Offer
from cloudmon.model.sets import Needs

ANY_CLOUD = "*"
"""Key of the image that serves every cloud that is not named."""


def price_of(offer: Offer, currency: str, now: dt.datetime) -> Decimal | None:
    """What the offer costs an hour, as far as it can be compared: None when it is unknown, in another currency, or
    guaranteed only until an instant that has passed."""
    if offer.price is None or offer.price.currency != currency:
        return None
    if offer.guaranteed_until is not None and offer.guaranteed_until <= now:
        return None
    return offer.price.per_hour


def broken(
    offer: Offer, needs: Needs, *, clouds: Collection[str], images: Mapping[str, str], now: dt.datetime
) -> Iterator[str]:
    """Every hard limit that the offer breaks, each as a half sentence; none when it may be taken."""
    # Where it may not be.
    if clouds and offer.cloud not in clouds:
        yield f"cloud {offer.cloud} is not among the set's"
    if offer.cloud not in images and ANY_CLOUD not in images:
        yield f"the template has no image for cloud {offer.cloud}"
    if needs.locations and offer.location not in needs.locations:
        yield f"location {offer.location} is not among those asked for"
    # What it is.
    if needs.sizes and offer.size not in needs.sizes:
        yield f"size {offer.size} is not among those asked for"
    if needs.architecture is not None and offer.architecture != needs.architecture:
        yield f"{offer.architecture} is not {needs.architecture}"
    # A cloud may not say how many processors there are; one is in every machine.
    if max(1, offer.vcpus) < needs.vcpus:
        yield f"{offer.vcpus} of {needs.vcpus} vcpus"
    if offer.memory_mib < needs.memory_mib:
        yield f"{offer.memory_mib} of {needs.memory_mib} MiB of memory"
    if offer.disk_gib < needs.disk_gib:
        yield f"{offer.disk_gib} of {needs.disk_gib} GiB of disk"
    if offer.spot and not needs.spot:
        yield "the cloud may take it back at any time (spot)"
    # What can be had.
    if offer.capacity is not None and offer.capacity < 1:
        yield "none left at this location"
    # What it costs.
    if needs.max_price_per_hour is not None:
        price = price_of(offer, needs.currency, now)
        if price is None:
            yield f"its price is unknown, and {needs.max_price_per_hour} {needs.currency} an hour is the limit"
        elif price > needs.max_price_per_hour:
            yield f"{price} {needs.currency} an hour is above the limit of {needs.max_price_per_hour}"
