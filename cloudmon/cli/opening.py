"""What a command that only reads stands on: settings, store, clock, and the names people use."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudmon.clock import Clock, SystemClock
from cloudmon.errors import RequestRefused
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.model.usage import Span
from cloudmon.settings import Settings, load, log_key, secrets_of
from cloudmon.settings.place import default_path
from cloudmon.settings.values import instant, seconds
from cloudmon.store import Store, open_store

if TYPE_CHECKING:
    from cloudmon.monitor.service import Service


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store and what belongs to it."""

    path: Path
    settings: Settings
    store: Store
    clock: Clock
    scope: Scope

    @property
    def now(self) -> dt.datetime:
        return self.clock.now()


def settings_path(config: Path | None) -> Path:
    """The settings file that is meant."""
    return config if config is not None else default_path()


def clock() -> Clock:
    """The clock of commands."""
    return SystemClock()


@contextlib.contextmanager
def opened(config: Path | None, tenant: str | None = None, *, upgrade: bool = False) -> Iterator[Opened]:
    """The store that the settings name, for reading and for writing requests.

    Raises:
        SettingsError, StoreError: what is wrong, in one sentence.
        RequestRefused: the store is in memory, where only the process that runs it can see it.
    """
    path = settings_path(config)
    settings = load(path)
    if settings.store.url == "memory":
        raise RequestRefused(
            "the store is in memory, so only the process that made it can see it; give [store] a url, such as "
            '"sqlite:///var/cloudmon.db"'
        )
    time = clock()
    store = open_store(
        settings.store.url_with_password,
        log_key=log_key(settings),
        anchor_dir=settings.monitor.state_dir / "anchors",
        now=time.now(),
        upgrade=upgrade,
    )
    try:
        yield Opened(path, settings, store, time, scope_of(tenant))
    finally:
        store.close()


def service(config: Path | None) -> Service:
    """The monitor of the settings, to be entered: for commands that look at clouds or do what is asked. Its log
    lines go to stderr, from warnings on."""
    from cloudmon import logs

    found = service_of(settings_path(config), clock())
    form = found.settings.monitor.log_format
    logs.configure(found.clock, form=form, level="warning", secrets=secrets_of(found.settings))
    return found


def service_of(path: Path, clock: Clock) -> Service:
    """The monitor of the settings at ``path``; nodes of templates that want it are launched with the agent."""
    from cloudmon.monitor.act import Boot, as_it_is
    from cloudmon.monitor.service import open_service

    def boot_of(settings: Settings, clock: Clock) -> Boot:
        if settings.channel is None:
            return as_it_is
        from cloudmon.channel.booting import Booting

        return Booting(settings, clock)

    return open_service(path, clock, boot_of=boot_of)


def scope_of(tenant: str | None) -> Scope:
    return EVERYONE if tenant is None else Scope.of(tenant)


# --- names ------------------------------------------------------------------------------------------------------


class Names:
    """Set uids as people say them: ``storefront``; one that ended and whose name another took, ``storefront~uid``."""

    def __init__(self, store: Store, scope: Scope) -> None:
        self.sets: Mapping[str, ApplianceSet] = {aset.uid: aset for aset in store.sets.all(scope)}
        latest = {aset.name: aset.uid for aset in sorted(self.sets.values(), key=_retired_first)}
        self._names = {
            uid: aset.name if latest[aset.name] == uid or aset.retired_at is None else f"{aset.name}~{uid}"
            for uid, aset in self.sets.items()
        }

    def set(self, uid: str) -> str:
        return self._names.get(uid, uid)

    def appliance(self, appliance: ApplianceId | tuple[str, int]) -> str:
        """``storefront/3``, or ``storefront`` for what is about the whole of it; empty for no appliance at all."""
        uid, ordinal = appliance
        return (f"{self.set(uid)}/{ordinal}" if ordinal else self.set(uid)) if uid else ""

    def subject(self, subject: str) -> str:
        """The subject of a finding: ``<set uid>/<ordinal>`` by its name, all others as they are."""
        uid, slash, rest = subject.partition("/")
        return f"{self._names[uid]}{slash}{rest}" if uid in self._names else subject


def _retired_first(aset: ApplianceSet) -> tuple[bool, dt.datetime]:
    return (aset.retired_at is None, aset.retired_at or aset.created_at)


@dataclass(frozen=True, slots=True)
class Target:
    """What a person named: a set, and one of its appliances or all."""

    aset: ApplianceSet
    ordinal: int | None
    """None stands for all."""

    @property
    def text(self) -> str:
        return f"{self.aset.name}/{self.ordinal if self.ordinal is not None else '*'}"


def find(store: Store, scope: Scope, text: str) -> Target:
    """The set and ordinal that ``storefront/3``, ``storefront/*`` or ``storefront`` names.

    Raises RequestRefused with the nearest name when there is none, or when two tenants have one of that name.
    """
    name, slash, rest = text.partition("/")
    if slash and rest != "*" and not rest.isdecimal():
        raise RequestRefused(f"{text!r} names no appliance; write it as storefront/3, or storefront/* for all")
    every = store.sets.all(scope)
    found = [aset for aset in every if name in (aset.name, aset.uid, f"{aset.name}~{aset.uid}")]
    if not found:
        near = difflib.get_close_matches(name, {aset.name for aset in every}, 1)
        hint = (
            f"; did you mean {near[0]}?" if near else "; `cloudmon sets list` shows those that are, `apply` makes them"
        )
        raise RequestRefused(f"there is no set named {name}{hint}")
    active = [aset for aset in found if aset.retired_at is None]
    if len({aset.tenant for aset in active}) > 1:
        tenants = ", ".join(sorted(aset.tenant for aset in active))
        raise RequestRefused(f"several tenants have a set named {name}: {tenants}; say which with --tenant")
    aset = max(found, key=_retired_first)
    ordinal = int(rest) if rest.isdecimal() else None
    if ordinal is not None and store.members.get(scope, ApplianceId(aset.uid, ordinal)) is None:
        raise RequestRefused(f"{name} has no appliance {ordinal}; `cloudmon status {name}` shows those it has")
    return Target(aset, ordinal)


# --- time -------------------------------------------------------------------------------------------------------


def when(text: str | None, now: dt.datetime, *, option: str, future: bool = False) -> dt.datetime | None:
    """The instant that ``2h`` (ago, or with ``future`` from now) or ISO 8601 text means; None for None."""
    if text is None:
        return None
    try:
        count = dt.timedelta(seconds=seconds(text))
    except ValueError:
        try:
            return instant(text)
        except ValueError:
            raise RequestRefused(
                f"{option} {text!r} is neither a duration (90s, 15m, 2h, 30d) nor an instant (2027-01-31T18:00:00Z)"
            ) from None
    return now + count if future else now - count


def in_order(since: dt.datetime | None, until: dt.datetime | None) -> None:
    """Raises RequestRefused when nothing can lie between the two instants."""
    if since is not None and until is not None and since >= until:
        raise RequestRefused(f"--since {since:%Y-%m-%d %H:%M:%SZ} is not before --until {until:%Y-%m-%d %H:%M:%SZ}")


def duration_s(text: str, *, option: str) -> float:
    """The seconds that ``15m`` means."""
    try:
        return seconds(text)
    except ValueError as error:
        raise RequestRefused(f"{option} {text!r} {error}") from None


# --- quality of what is known -----------------------------------------------------------------------------------


class Freshness:
    """Since when what is known of each cloud is stale, if it is."""

    def __init__(self, spans: Mapping[str, Span], settings: Settings, now: dt.datetime) -> None:
        monitor = settings.monitor
        # As long as the monitor itself lets a span go on, and no longer.
        self._longest = dt.timedelta(seconds=monitor.poll_interval_s * 3 + monitor.call_timeout_s * 2)
        self._spans = spans
        self._now = now

    def stale(self, cloud: str) -> bool:
        """Whether nobody sees the cloud now."""
        span = self._spans.get(cloud)
        return span is None or not span.open or self._now - span.until > self._longest

    def since(self, cloud: str) -> dt.datetime | None:
        """When the cloud was seen last; None when it never was."""
        span = self._spans.get(cloud)
        return span.until if span is not None else None
