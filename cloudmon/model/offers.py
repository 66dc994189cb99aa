"""What a cloud sells: sizes at locations, with price, capacity and guarantee."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Price:
    """A price with its provenance. An unknown price is no Price at all (None), never zero by accident."""

    per_hour: Decimal
    currency: str
    source: str
    """Who says so: ``aws-pricing``, ``libcloud``, ``config``, ``dummy``."""
    dated: dt.date
    """The day the source speaks of."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One size at one location of one cloud."""

    cloud: str
    size: str
    location: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    price: Price | None = None
    capacity: int | None = None
    """Machines that can be had now; None when the cloud does not say."""
    guaranteed_until: dt.datetime | None = None
    """Until when the price holds; None when the cloud does not say."""
    spot: bool = False
    architecture: str = "x86_64"

    @property
    def key(self) -> str:
        """Names the offer within the estate: ``cloud/location/size`` with ``/spot`` for spot offers."""
        return f"{self.cloud}/{self.location}/{self.size}" + ("/spot" if self.spot else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer as placement ranked it for a request."""

    offer: Offer
    fits: bool
    reason: str
    """Why it stands where it stands, or why it lost."""
