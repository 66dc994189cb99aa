"""The parts of one simulated estate: clouds, store, and the monitor that runs now."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudmon.engine.workers import InlineWorkers
from cloudmon.errors import CloudError, StoreUnavailable
from cloudmon.model.actions import Intent
from cloudmon.model.changes import Change
from cloudmon.model.offers import Offer, Price
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.sets import Healing, Lease, Needs, SetSpec, Template
from cloudmon.monitor.journal import Journal
from cloudmon.monitor.observe import CloudFacts
from cloudmon.monitor.policy import Policy, View
from cloudmon.monitor.tick import Monitor
from cloudmon.reconcile.limits import ClassLimits, Limits
from cloudmon.store import Store, open_store
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings, open_world
from cloudmon_providers.dummy.settings import Guests as GuestSettings
from simulated import dying
from simulated.guests import Inhabitants, inhabited

LOG_KEY = b"simulated-key-0123456789"
POLL_S = 15.0
GUESTS_EACH = 3
"""In every so-manieth seed machines have insides."""

_worlds = itertools.count(1)
"""Names for worlds. One of the estate's seed would be the same world again when this process tells its story twice."""


class _Watched(DummyProvider):
    """Remembers whose end was ordered."""

    def __init__(self, bench: Bench, cloud: str) -> None:
        super().__init__(cloud, bench.shape.clouds[cloud], now=bench.clock.now, timeout_s=1.0)
        self._bench = bench

    def destroy_node(self, node_id: str) -> None:
        self._bench.destroyed.add((self.cloud, node_id))
        super().destroy_node(node_id)


class Away:
    """Makes a store unreachable and reachable again: every verb of every group fails while it is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if isinstance(found, str) or name in ("close", "lock", "at_once"):
            return found
        return _Group(self, found)


class _Group:
    def __init__(self, switch: Away, group: Any) -> None:
        self._switch = switch
        self._group = group

    def __getattr__(self, name: str) -> Any:
        if self._switch.away:
            raise StoreUnavailable("the store is away (simulated)")
        return getattr(self._group, name)


@dataclass(frozen=True)
class Shape:
    """What a seed decided about an estate before it begins."""

    clouds: Mapping[str, DummySettings]
    specs: tuple[SetSpec, ...]
    limits: Limits
    lag_s: float


def shape(chance: random.Random, start: dt.datetime, *, calm: bool = False) -> Shape:
    """Clouds, sets and limits of a seed; ``calm`` leaves the clouds' own faults out."""
    lag_s = chance.choice([0.0, 0.0, 10.0, 40.0])
    clouds = {}
    for name in ("east", "west")[: chance.choice([1, 1, 2])]:
        faults: dict[str, Any] = {}
        if not calm:
            for fault in ("throttle", "timeout_before", "timeout_after_effect", "server_error", "malformed"):
                if chance.random() < 0.4:
                    faults[fault] = chance.choice([0.02, 0.1, 0.25])
            for fault in ("empty_listing", "partial_listing"):
                if chance.random() < 0.3:
                    faults[fault] = chance.choice([0.02, 0.1])
            if chance.random() < 0.4:
                faults["node_death_per_h"] = chance.choice([0.5, 2.0])
            if chance.random() < 0.2:
                faults["boot_hang"] = 0.1
        clouds[name] = DummySettings(
            world=f"memory:simulated-{next(_worlds)}",
            seed=chance.randrange(1_000_000),
            boot_s=chance.choice([0, 5, 30]),
            stop_s=chance.choice([0, 5, 20]),
            terminate_s=chance.choice([0, 5, 40]),
            listing_lag_s=lag_s,
            page_size=chance.choice([2, 1000]),
            quota=chance.choice([None, None, 6]),
            capacity={"here-1/nano": chance.choice([1, 3, 100])},
            faults=faults,
        )
    specs = tuple(_spec(chance, f"set{number}", start) for number in range(chance.choice([1, 2, 3])))
    limits = Limits(
        destructive=ClassLimits(3, 10, 10, chance.choice([300, 3_600])),
        vanish_grace_s=chance.choice([120, 900]),
        shrink_grace_s=300,
    )
    return Shape(clouds, specs, limits, lag_s)


def _spec(chance: random.Random, name: str, start: dt.datetime) -> SetSpec:
    lease = Lease()
    if chance.random() < 0.35:
        end = start + dt.timedelta(seconds=chance.choice([200, 400, 700]))
        lease = Lease(end=end, grace_s=chance.choice([0, 60]), warn_s=(120,))
    healing = Healing(
        fault_after_s=chance.choice([0, 30]),
        verify_s=60,
        backoff_s=15,
        backoff_max_s=120,
        steady_s=120,
        launch_attempts=3,
        batch=chance.choice([1, 2]),
    )
    template = Template("web", {"*": "image-1"}, Needs(), user_data="#!/bin/sh\necho {appliance}", boot_timeout_s=180)
    return SetSpec(name, chance.choice([1, 2, 5]), template, lease=lease, healing=healing)


def _inhabited(found: Shape) -> Shape:
    """The same, with an inside in the machines of the first set."""
    clouds = {name: one.model_copy(update={"guests": GuestSettings()}) for name, one in found.clouds.items()}
    return replace(found, clouds=clouds, specs=(inhabited(found.specs[0]), *found.specs[1:]))


class Bench:
    """One simulated estate. ``monitor`` is the process that runs now; :meth:`restart` starts its successor."""

    def __init__(
        self, seed: int, folder: Path, *, calm: bool = False, url: str = "memory", guests: bool | None = None
    ) -> None:
        """``guests``: whether the first set's machines have insides; None: in every third seed."""
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        self.shape = shape(self.chance, self.clock.now(), calm=calm)
        has_guests = seed % GUESTS_EACH == 0 if guests is None else guests
        if has_guests:
            self.shape = _inhabited(self.shape)
        self.folder = folder
        self.url = url
        self.worlds = {
            name: open_world(found, cloud=name, now=self.clock.true_now) for name, found in self.shape.clouds.items()
        }
        self.destroyed: set[tuple[str, str]] = set()
        """Cloud and id of every node whose end was ordered through the API."""
        self.memory = self._open()
        """The store itself, for those who look on from outside."""
        self.store = Away(self.memory)
        self.specs = list(self.shape.specs)
        self.jumped = False
        self.intents_now: list[Intent] | None = None
        """All that were ever written down, while laws are asked and nothing happens."""
        self.retired: list[Monitor] = []
        self._ids = 0
        self._sold: dict[str, Sequence[Offer]] = {}
        self.inside = Inhabitants(self, seed) if has_guests else None
        self.monitor = self._start()

    def _open(self) -> Store:
        counter = iter(range(1, 10**9))
        return open_store(
            self.url,
            log_key=LOG_KEY,
            anchor_dir=self.folder / "anchors",
            now=self.clock.now(),
            new_uid=lambda: f"{next(counter):012d}".translate(str.maketrans("0189", "abcd")),
        )

    def _start(self) -> Monitor:
        self.store.away = False
        owner = self.store.monitors.begin(host="simulated", pid=1, now=self.clock.now())
        for name in self.worlds:
            self.store.offers.replace(name, self._offers(name), self.clock.now())
        monitor = Monitor(
            store=self.store,  # type: ignore[arg-type]
            owner=owner,
            workers=InlineWorkers(self._provider, list(self.worlds)),
            clock=self.clock,
            policy=self._policy(),
            journal=Journal(self.folder / "journal.jsonl", 1),
            new_id=self._new_id,
        )
        if self.inside is not None:
            self.inside.serve(monitor)
        return monitor

    def _policy(self) -> Policy:
        prices: Mapping[str, Mapping[str, Price]] = {name: {} for name in self.worlds}
        return Policy(
            limits=self.shape.limits,
            clouds={name: CloudFacts(self.shape.lag_s, 1.0) for name in self.worlds},
            prices=prices,
            view=View("file:simulated", tuple(self.specs)),
            poll_interval_s=POLL_S,
            call_timeout_s=1.0,
        )

    def _provider(self, cloud: str) -> DummyProvider:
        return _Watched(self, cloud)

    def _offers(self, cloud: str) -> Sequence[Offer]:
        """As the first monitor read them: its successors begin while the cloud may not answer."""
        while cloud not in self._sold:
            with contextlib.suppress(CloudError):
                self._sold[cloud] = self._provider(cloud).list_offers()
        return self._sold[cloud]

    def _new_id(self) -> str:
        self._ids += 1
        return f"i{self._ids:011d}"

    # --- what may happen ------------------------------------------------------------------------------------------

    def tick(self, crash_at: int | None = None) -> bool:
        """One tick; False when the process died in it, at the ``crash_at``-th point it reached."""
        try:
            with dying.at_point(crash_at):
                self.monitor.tick()
        except dying.Crash:
            return False
        return True

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        if self.inside is None:
            self.clock.advance(seconds)
        else:
            self.inside.live(seconds)

    def restart(self) -> None:
        """The process is started again; what it had in memory is lost."""
        self.retired.append(self.monitor)
        self.monitor = self._start()

    def wish(self, *specs: SetSpec) -> None:
        """The settings file now says this."""
        self.specs = list(specs)
        self.monitor.policy = replace(self.monitor.policy, view=View("file:simulated", tuple(specs)))

    def ask(self, verb: RequestVerb, target: str, /, **arguments: str) -> str:
        """Somebody asks for something; the request's id."""
        request = Request(self._new_id(), verb, "default", target, arguments, "somebody", "simulated", self.clock.now())
        self.store.requests.add(request)
        return request.id

    def write(self, *changes: Change) -> None:
        self.store.ledger.write(self.monitor.owner, changes, now=self.clock.now())

    def calm(self) -> None:
        """From now on the clouds answer, and nothing breaks by itself."""
        self.store.away = False
        if self.inside is not None:
            self.inside.calm()
        for world in self.worlds.values():
            world.set_outage(False)
            world.set_rejecting(False)
            world.settings = world.settings.model_copy(update={"faults": type(world.settings.faults)()})

    def close(self) -> None:
        """Nobody speaks any more; the store stays to be looked into."""
        if self.inside is not None:
            self.inside.close()
