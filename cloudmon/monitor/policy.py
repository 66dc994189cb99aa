"""What the settings say about a tick, in the words of the rooms that decide."""

from __future__ import annotations

import datetime as dt

from cloudmon.monitor.observe import CloudFacts
from cloudmon.monitor.tick import Policy, View
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.settings import BreakerSettings, Settings, SweepSettings


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
    )
