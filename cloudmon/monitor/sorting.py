"""What the outbox holds becomes deliveries, in one transaction each; whoever is new is told of what is open."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from cloudmon.model.messages import Message
from cloudmon.model.tenants import EVERYONE
from cloudmon.notices import routing
from cloudmon.notices.routing import Routed, Standing, Way
from cloudmon.reconcile.remedies import NOTIFY
from cloudmon.settings import Settings
from cloudmon.store import Ownership, Store

AT_ONCE = 5_000
"""Messages that are routed in one write."""


def ways_of(settings: Settings) -> tuple[Way, ...]:
    """The notifiers of the settings, as far as it matters who is told."""
    return tuple(
        Way(
            name=name,
            severity=one.severity,
            kinds=frozenset(one.findings),
            sets=one.sets,
            tenants=one.tenants,
            ends=one.ends,
            most=one.most_a_minute,
        )
        for name, one in settings.notify.items()
    )


def calling_of(settings: Settings) -> frozenset[str]:
    """The rules that say themselves who is told of what they find."""
    return frozenset(
        f"{policy.name}/{rule.name}"
        for policy in settings.rulebook()
        if policy.enabled
        for rule in policy.rules
        if any(remedy.verb == NOTIFY for remedy in rule.then)
    )


class Sorting:
    """Says who is told of what. For the herald's one thread; raises Fenced when a newer monitor owns the estate."""

    def __init__(self, store: Store, owner: Ownership, new_id: Callable[[], str]) -> None:
        self._store = store
        self._owner = owner
        self._new_id = new_id
        self._ways: tuple[Way, ...] = ()
        self._calling: frozenset[str] = frozenset()
        self._all_met = False
        """Whether all notifiers of the settings are introduced, and no others."""

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to be told."""
        return bool(self._ways)

    def take_over(self, settings: Settings) -> None:
        """These settings say who is told from now on."""
        self._ways = ways_of(settings)
        self._calling = calling_of(settings) if self._ways else frozenset()
        self._all_met = False

    def sort(self, now: dt.datetime) -> None:
        """Make deliveries of all that waits."""
        self._meet(now)
        self._route(now, self._ways)

    def _meet(self, now: dt.datetime) -> None:
        """Tell those who are new, once, of what is open already; they are told of each change from then on."""
        if self._all_met:
            return
        messages = self._store.messages
        known = messages.introduced()
        strangers = [way for way in self._ways if way.name not in known]
        messages.dismiss(self._owner, known - {way.name for way in self._ways})
        while strangers:
            # What has happened until now is in what is open; what happens from now on waits to be routed to all.
            self._route(now, [way for way in self._ways if way.name in known])
            unrouted, opened = self._store.at_once(lambda: (messages.waiting(EVERYONE, 1), messages.open(EVERYONE)))
            if unrouted:
                continue
            for way in strangers:
                told = routing.introduction(way, opened)
                standing = Standing({}, {}, self._calling)
                routed = self._routed(told, [way], standing, now)
                messages.introduce(self._owner, way.name, routed.made, now=now)
            break
        self._all_met = True

    def _route(self, now: dt.datetime, ways: Sequence[Way]) -> None:
        messages = self._store.messages
        while found := messages.waiting(EVERYONE, AT_ONCE):
            back = now - dt.timedelta(seconds=routing.LOOK_BACK_S)
            growing = {(one.notifier, one.tenant): one for one in messages.growing(EVERYONE)}
            standing = Standing(messages.since(EVERYONE, back), growing, self._calling)
            routed = self._routed(found, ways, standing, now)
            # A digest that is tried this very moment takes in nothing more: then all is looked at anew.
            messages.route(self._owner, routed.made, taken=[one.id for one in found], grown=routed.grown)

    def _routed(self, found: Sequence[Message], ways: Sequence[Way], standing: Standing, now: dt.datetime) -> Routed:
        return routing.route(found, ways, standing, estate=self._store.estate, now=now, new_id=self._new_id)
