"""What the settings say about a tick, in the words of the rooms that decide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from cloudmon.model import policies
from cloudmon.model.offers import Price
from cloudmon.model.sets import SetSpec
from cloudmon.monitor.observe import CloudFacts
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.settings import BreakerSettings, Settings, SweepSettings


@dataclass(frozen=True, slots=True)
class View:
    """One author's wanted sets."""

    author: str
    specs: tuple[SetSpec, ...]
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about a tick."""

    limits: Limits
    clouds: Mapping[str, CloudFacts]
    prices: Mapping[str, Mapping[str, Price]]
    """By cloud, one entry each: prices that win over the cloud's own, by size."""
    view: View | None
    """The settings file's wanted sets; None when this monitor has none of its own."""
    poll_interval_s: float
    call_timeout_s: float
    rules: tuple[policies.Policy, ...] = ()
    """What is detected inside appliances, and what is done about it."""
    notifiers: tuple[str, ...] = ()
    """Names of those through whom somebody can be told."""
    keep_snapshots_s: float | None = None
    """Seconds after which snapshots that were taken here are deleted; None: never."""


def limits_of(breakers: BreakerSettings, sweep: SweepSettings) -> Limits:
    """The breakers as the pure rooms know them."""
    plain = {name: getattr(breakers, name) for name in BreakerSettings.model_fields if hasattr(Limits, name)}
    for name in ("disruptive", "destructive", "retirement"):
        found = getattr(breakers, name)
        plain[name] = ClassLimits(found.per_set, found.per_tenant, found.per_cloud, found.window_s)
    return Limits(**plain, end_orphans=sweep.orphans == "end", end_duplicates=sweep.duplicates == "end")


def policy_of(settings: Settings, today: dt.date, *, confirmed: bool = False) -> Policy:
    """What the settings say about a tick."""
    monitor = settings.monitor
    return Policy(
        limits=limits_of(settings.breakers, settings.sweep),
        clouds={
            name: CloudFacts(cloud.listing_lag_s, monitor.call_timeout_s) for name, cloud in settings.clouds.items()
        },
        prices={name: cloud.price_overrides(today) for name, cloud in settings.clouds.items()},
        view=View(settings.author, settings.specs(), confirmed),
        poll_interval_s=monitor.poll_interval_s,
        call_timeout_s=monitor.call_timeout_s,
        rules=settings.rulebook(),
        notifiers=tuple(settings.notify),
        keep_snapshots_s=monitor.keep_snapshots_s,
    )
