"""What ``cloudmon doctor`` looks at. Each check says what it found and, when that is wrong, what to do next.

Nothing is changed by looking, and nothing is made: a store or a folder that is not there yet is no fault.
"""

from __future__ import annotations

import datetime as dt
import enum
import os
import platform
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cloudmon import plugins, settings
from cloudmon.clock import Clock
from cloudmon.errors import (
    CloudError,
    CloudmonError,
    CredentialsRejected,
    MonitorAlreadyRuns,
    RateLimited,
    SettingsError,
    StoreBroken,
    StoreError,
    StoreLost,
    StoreOutdated,
    StoreTooNew,
    StoreUnavailable,
    UnexpectedAnswer,
    Unreachable,
)
from cloudmon.model.messages import DeliveryState
from cloudmon.model.tenants import EVERYONE
from cloudmon.notifier import Reachable
from cloudmon.provider import abilities
from cloudmon.settings import Settings
from cloudmon.settings.keys import log_key_path
from cloudmon.store import Store, open_store, presence

LIBRARIES = ("apache-libcloud", "boto3", "sqlmodel", "SQLAlchemy", "psycopg", "schedule", "pydantic")
JUMP_S = 60
"""Seconds that this machine's clock may be behind what the store has recorded: two machines are rarely closer."""

NEXT_FOR_CLOUD: Sequence[tuple[type[CloudError], str]] = (
    (CredentialsRejected, "check the credentials in the cloud's options, the environment or the profile"),
    (RateLimited, "lower calls_per_s of this cloud, or wait"),
    (Unreachable, "check the network, the endpoint and the region; the cloud may also be down"),
    (UnexpectedAnswer, "check that the endpoint is this cloud's and no proxy's or portal's"),
    (CloudError, "look the cloud's own word up in its documentation"),
)
NEXT_FOR_STORE: Sequence[tuple[type[StoreError], str]] = (
    (StoreOutdated, "back it up, then: cloudmon upgrade"),
    (StoreTooNew, "run the cloudmon that wrote it, or a newer one"),
    (StoreLost, "restore it from a backup"),
    (StoreBroken, "mend that; a monitor that runs goes on by itself"),
    (
        StoreUnavailable,
        "check that the database exists and runs, that its address and password are right, and that its disk has room",
    ),
    (StoreError, "check store.url: it may be the database of something else"),
)


class Verdict(enum.StrEnum):
    """What came out of a check."""

    GOOD = "good"
    NOTE = "note"
    """Nothing is wrong, but somebody should know."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    subject: str
    verdict: Verdict
    found: str
    next: str = ""
    """What to do about it; empty where nothing needs doing."""


def everything(path: Path, clock: Clock) -> Iterator[Check]:
    """All checks, one after another as they are done; those that need settings are left out when these are wrong."""
    yield versions()
    yield from environment()
    faults = settings.problems(path)
    for fault in faults:
        yield Check("settings", Verdict.WRONG, fault.message, f"change {fault.key or path}")
    if faults:
        return
    told = settings.load(path)
    what = f"{_many(told.clouds, 'cloud')}, {_many(told.sets, 'set')}, author {told.author}"
    yield Check("settings", Verdict.GOOD, f"{path}: {what}")
    yield state_dir(told.monitor.state_dir)
    yield key(told)
    yield from store(told, clock)
    yield from clouds(told, clock)
    yield from notifiers(told, clock)


def versions() -> Check:
    """What runs here: the first thing that anybody asks who is asked for help."""
    found = [f"{name} {metadata.version(name)}" for name in ("cloudmon", *LIBRARIES)]
    return Check("versions", Verdict.GOOD, ", ".join([*found, f"Python {platform.python_version()}"]))


def environment() -> Iterator[Check]:
    """Variables that change what libraries do, where there are any."""
    for name, what in settings.obeyed().items():
        yield Check(f"environment {name}", Verdict.NOTE, what, f"unset {name}")


def state_dir(folder: Path) -> Check:
    """Whether the journal and the log's key can be written."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Check("state_dir", Verdict.WRONG, f"{there} is no folder", "name another folder in monitor.state_dir")
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(
            "state_dir", Verdict.WRONG, f"{there} cannot be written", f"give this user {there}, or name another"
        )
    return Check("state_dir", Verdict.GOOD, str(folder) if there == folder else f"{folder} will be made")


def key(told: Settings) -> Check:
    """The key of the action log: there, long enough, and its owner's alone."""
    path = log_key_path(told)
    if told.store.log_key_file is None and not path.exists():
        return Check("log key", Verdict.GOOD, f"{path} will be made")
    try:
        settings.log_key(told)
        mode = path.stat().st_mode
    except (SettingsError, OSError) as error:
        return Check(
            "log key", Verdict.WRONG, str(error), "restore the key from a backup; a new one breaks the log's proof"
        )
    if mode & 0o077:
        return Check("log key", Verdict.NOTE, f"{path} can be read by others", f"chmod 600 {path}")
    return Check("log key", Verdict.GOOD, str(path))


def store(told: Settings, clock: Clock) -> Iterator[Check]:
    """Whether the store answers, fits this version, and who owns it."""
    about = told.store.url_shown
    if told.store.url == "memory":
        yield Check("store", Verdict.NOTE, "memory: everything is forgotten at exit", "set store.url to keep it")
        return
    url, anchor_dir = told.store.url_with_password, told.monitor.state_dir / "anchors"
    try:
        missing = _folder_missing(told)
        if missing is not None:
            yield Check("store", Verdict.WRONG, f"{missing} does not exist", f"mkdir -p {missing}")
            return
        if not presence.is_made(url):
            presence.may_begin(about, anchor_dir)
            yield _may_be_made(about, presence.hindrance(url))
            return
        if not log_key_path(told).exists():  # it had one, so none is made for it here
            yield Check(
                "store", Verdict.WRONG, f"{about} is there, its log key is not", "restore the key from a backup"
            )
            return
        found = open_store(url, log_key=settings.log_key(told), anchor_dir=anchor_dir, now=clock.now())
    except SettingsError:
        return  # the key's own check has named it
    except StoreError as error:
        yield Check("store", Verdict.WRONG, _said(about, error), _next(error, NEXT_FOR_STORE))
        return
    try:
        file = Path(told.store.url.removeprefix(presence.SQLITE))
        if told.store.url.startswith(presence.SQLITE) and not os.access(file, os.W_OK):
            yield Check("store", Verdict.WRONG, f"{about} can be read, not written", f"let this user write {file}")
        else:
            yield Check("store", Verdict.GOOD, f"{about}, estate {found.estate}")
        yield owner(found)
        yield clock_of(found, clock.now())
        yield from deliveries(found, told, clock.now())
    except StoreError as error:
        yield Check("store", Verdict.WRONG, _said(about, error), _next(error, NEXT_FOR_STORE))
    finally:
        found.close()


def _may_be_made(about: str, hindrance: str) -> Check:
    if hindrance:
        return Check("store", Verdict.WRONG, hindrance, "grant it CREATE there, or make it the owner of the database")
    return Check("store", Verdict.GOOD, f"{about} holds nothing yet and will be made")


def _said(about: str, error: StoreError) -> str:
    # What could not even be reached is named in the error.
    named = about in error.message or error.message.startswith("postgresql:")
    return error.message if named else f"{about}: {error.message}"


def _folder_missing(told: Settings) -> Path | None:
    """The folder that a SQLite store needs and that nobody would make. The state folder, and what it lies in, is made
    with the key."""
    file = told.store.url.removeprefix(presence.SQLITE)
    if file == told.store.url or Path(file).parent.exists():
        return None
    made = told.store.log_key_file is None and told.monitor.state_dir.is_relative_to(Path(file).parent)
    return None if made else Path(file).parent


def owner(found: Store) -> Check:
    """Whether a monitor runs on the store."""
    try:
        with found.lock():
            pass
    except MonitorAlreadyRuns as error:
        # The way out at its end is for whoever wanted to start another one.
        return Check("monitor", Verdict.GOOD, error.message.partition(";")[0])
    last = found.monitors.current()
    if last is None:
        return Check("monitor", Verdict.GOOD, "none runs")
    who = f"process {last.pid} on {last.host}, since {last.started_at:%Y-%m-%d %H:%M:%SZ}"
    return Check(
        "monitor", Verdict.NOTE, f"none runs; {who}, ended without saying so", "cloudmon run goes on from there"
    )


def clock_of(found: Store, now: dt.datetime) -> Check:
    """Whether this machine's clock stands where the store's records say that it must have come."""
    recorded = [span.until for span in found.spans.latest().values()]
    behind = max(((instant - now).total_seconds() for instant in recorded), default=0.0)
    if behind > JUMP_S:
        return Check(
            "clock",
            Verdict.WRONG,
            f"it is {now:%Y-%m-%d %H:%M:%SZ} here, and a monitor saw a cloud {behind:.0f} s later than that",
            "set this machine's clock (timedatectl), or the other one's",
        )
    return Check("clock", Verdict.GOOD, f"{now:%Y-%m-%d %H:%M:%SZ}")


def clouds(told: Settings, clock: Clock) -> Iterator[Check]:
    """Whether each cloud answers, with what it can do; side by side, since one may be slow to fail."""
    if told.clouds:
        with ThreadPoolExecutor(max_workers=min(16, len(told.clouds))) as pool:
            yield from pool.map(lambda name: cloud(told, name, clock), told.clouds)


def cloud(told: Settings, name: str, clock: Clock) -> Check:
    """One whole listing and the offers of one cloud."""
    kind = told.clouds[name].provider
    try:
        factory = plugins.provider(kind)
        provider = factory(name, told.options(name), now=clock.now, timeout_s=told.monitor.call_timeout_s)
        nodes = provider.list_nodes().nodes
        offers = provider.list_offers()
    except CloudmonError as error:
        found = f"{kind}: {type(error).__name__}: {error.message}"
        return Check(f"cloud {name}", Verdict.WRONG, found, _next(error, NEXT_FOR_CLOUD))
    except Exception as error:  # whatever a provider raises although its contract forbids it: the other checks go on
        found = f"{kind}: {type(error).__name__}: {error}"
        return Check(
            f"cloud {name}",
            Verdict.WRONG,
            found,
            f"if that is no fault of this machine, report it to whoever made {kind}",
        )
    states = Counter(str(node.state) for node in nodes)
    listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no nodes"
    verbs = ", ".join(sorted(abilities(provider))) or "nothing beside the core"
    found = f"{kind}: {listed}; {len(offers)} offers; can {verbs}"
    if not offers:
        return Check(
            f"cloud {name}", Verdict.WRONG, found, "nothing can be launched: check region, zones and permissions"
        )
    return Check(f"cloud {name}", Verdict.GOOD, found)


def notifiers(told: Settings, clock: Clock) -> Iterator[Check]:
    """Whether each notifier can be reached; nothing is told to anybody."""
    if told.notify:
        with ThreadPoolExecutor(max_workers=min(16, len(told.notify))) as pool:
            yield from pool.map(lambda name: notifier(told, name, clock), told.notify)


def notifier(told: Settings, name: str, clock: Clock) -> Check:
    """One notifier, as far as goes without telling anything."""
    subject, about = f"notifier {name}", told.notify[name]
    mend = f"check notify.{name}.options and the network; then: cloudmon notify test {name}"
    try:
        factory = plugins.notifier(about.kind)
        made = factory(name, told.notifier_options(name), now=clock.now, timeout_s=about.timeout_s)
        found = made.reach() if isinstance(made, Reachable) else "cannot be looked at without telling something"
    except CloudmonError as error:
        return Check(subject, Verdict.WRONG, f"{about.kind}: {error.message}", mend)
    except Exception as error:  # whatever a notifier raises although its contract forbids it
        return Check(subject, Verdict.WRONG, f"{about.kind}: {type(error).__name__}", mend)
    return Check(subject, Verdict.GOOD, f"{about.kind}: {found}")


def deliveries(found: Store, told: Settings, now: dt.datetime) -> Iterator[Check]:
    """Whether anything that was to be told lately was given up, or waits for longer than it should."""
    log = found.messages
    for name in told.notify:
        dead = log.deliveries(
            EVERYONE, notifier=name, state=DeliveryState.DEAD, since=now - dt.timedelta(days=1), limit=100
        )
        waits = [one for one in log.pending(EVERYONE, name, 100) if one.error]
        if dead or waits:
            last = (waits or dead)[0].error
            what = f"{len(waits)} wait, {len(dead)} were given up within a day; {last}"
            yield Check(f"deliveries {name}", Verdict.NOTE, what, f"cloudmon notifications --notifier {name}")


def _many(things: Collection[object], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def _next(error: CloudmonError, known: Sequence[tuple[type[CloudmonError], str]]) -> str:
    return next((advice for kind, advice in known if isinstance(error, kind)), "")
