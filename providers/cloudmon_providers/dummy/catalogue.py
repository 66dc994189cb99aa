"""What the dummy cloud sells: its sizes at its locations, on demand and as spot, with prices that have a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from cloudmon.model.offers import Offer, Price
from cloudmon_providers.dummy.settings import DummySettings, Size

_CENT_OF_CENT = Decimal("0.0001")
_STEP = Decimal("0.05")
"""Each further location costs so much more than the first."""
_SPOT = Decimal("0.3")


class Shelf(NamedTuple):
    """What machines of one kind share, and what capacity is counted by."""

    location: str
    size: str
    spot: bool

    @property
    def key(self) -> str:
        return f"{self.location}/{self.size}" + ("/spot" if self.spot else "")


def shelves(settings: DummySettings) -> Iterator[Shelf]:
    """Every kind of machine that can be asked for."""
    for location in settings.locations:
        for size in settings.sizes:
            yield Shelf(location, size, False)
            if settings.spot:
                yield Shelf(location, size, True)


def offers(
    cloud: str, settings: DummySettings, *, free: Callable[[Shelf], int | None], now: dt.datetime
) -> list[Offer]:
    """The offers now. On-demand prices hold until the end of the day, spot prices for no time at all."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    return [
        _offer(cloud, shelf, settings, free(shelf), None if shelf.spot else midnight) for shelf in shelves(settings)
    ]


def _offer(cloud: str, shelf: Shelf, settings: DummySettings, free: int | None, until: dt.datetime | None) -> Offer:
    size = settings.sizes[shelf.size]
    return Offer(
        cloud,
        shelf.size,
        shelf.location,
        size.vcpus,
        size.memory_mib,
        size.disk_gib,
        price=_price(shelf, size, settings),
        capacity=free,
        guaranteed_until=until,
        spot=shelf.spot,
    )


def _price(shelf: Shelf, size: Size, settings: DummySettings) -> Price | None:
    if size.per_hour is None:
        return None
    factor = settings.price_factor * (1 + _STEP * settings.locations.index(shelf.location))
    if shelf.spot:
        factor *= _SPOT
    per_hour = max((size.per_hour * factor).quantize(_CENT_OF_CENT), _CENT_OF_CENT)
    return Price(per_hour, settings.currency, "dummy", settings.priced_on)
