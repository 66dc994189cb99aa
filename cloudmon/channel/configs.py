"""What an agent is told to look at and to do: its set's template, as the wire has it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from cloudmon.channel import malware
from cloudmon.clock import Clock
from cloudmon.errors import StoreError
from cloudmon.model import states
from cloudmon.model.peers import Peer, directory
from cloudmon.model.sets import ApplianceSet, Application, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import MalwareSettings
from cloudmon.store import Store

FRESH_S = 10.0
"""Seconds that a set's template is believed to be what the store has; after them it is read again, once for all the
agents of the set."""


MOST_PEERS = 1_000
"""Members that a set's agents are told of: what they are told goes to each of them at each change."""


class Config(NamedTuple):
    """One agent's configuration."""

    name: str
    """Of the set."""
    content: Mapping[str, Any]
    hash: str
    interval_s: int


def of_template(
    template: Template,
    *,
    set_name: str = "",
    least_interval_s: float = 1.0,
    looks_for: MalwareSettings | None = None,
    peers: Sequence[Peer] = (),
) -> Config:
    """What the agents of a template's appliances are told. Pure: the same template gives the same hash, and the same
    malware to look for."""
    interval_s = max(template.report_interval_s, round(least_interval_s))
    content = {
        "v": 1,
        "interval_s": interval_s,
        "applications": {name: _application(found) for name, found in template.applications.items()},
        "files": list(template.files),
        "jobs": {
            name: {"argv": list(job.argv), "timeout_s": job.timeout_s} for name, job in template.jobs.items()
        },
        "accounts": {},
        "peers": _peers(template, peers),
    }  # fmt: skip
    if looks_for is not None:
        content["malware"] = malware.told(looks_for)
    return Config(set_name, content, hash_of(content), interval_s)


def hash_of(content: Mapping[str, Any]) -> str:
    """By which agents say what they have."""
    return hashlib.sha256(states.canonical(content).encode("utf-8")).hexdigest()


def _peers(template: Template, found: Sequence[Peer]) -> dict[str, Any]:
    if template.peers is None:
        return {}
    members = {
        peer.name: {
            "ordinal": peer.ordinal,
            "state": peer.state.value,
            "incarnation": peer.incarnation,
            "private": list(peer.private),
            "public": list(peer.public),
        }
        for peer in found[:MOST_PEERS]
    }
    return {"ports": list(template.peers.ports), "hosts": template.peers.hosts, "members": members}


def _application(found: Application) -> dict[str, Any]:
    told: dict[str, Any] = {
        "start": list(found.start),
        "stop": list(found.stop),
        "service": found.service,
        "match": found.match,
        "package": found.package,
        "probe": dict(found.probe),
    }
    return told if not found.version else told | {"version": found.version}


class Configs:
    """Configurations by set, kept for :data:`FRESH_S`. Used from one event loop.

    Arguments:
        store: where sets are read.
        executor: whose threads read.
        least_interval_s: what templates ask for more often than this they get no more often.
        looks_for: what the settings in force say of malware.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        clock: Clock,
        *,
        least_interval_s: float,
        looks_for: Callable[[], MalwareSettings | None] = lambda: None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._least_interval_s = least_interval_s
        self._looks_for = looks_for
        self._known: dict[str, tuple[float, Config | None]] = {}
        self._reading: dict[str, asyncio.Task[Config | None]] = {}

    def forget(self, set_uid: str) -> None:
        """Read this set's template again when it is asked for next."""
        self._known.pop(set_uid, None)

    async def of(self, set_uid: str) -> Config | None:
        """The configuration of a set's agents; None for a set that is not there. While the store is away the last one
        stays; StoreUnavailable when there is none."""
        known = self._known.get(set_uid)
        if known is not None and self._clock.monotonic() - known[0] < FRESH_S:
            return known[1]
        reading = self._reading.get(set_uid)
        if reading is None:
            reading = self._reading[set_uid] = asyncio.ensure_future(self._read(set_uid))
            reading.add_done_callback(lambda _: self._reading.pop(set_uid, None))
        try:
            return await asyncio.shield(reading)
        except StoreError:
            if known is None:
                raise
            self._known[set_uid] = (self._clock.monotonic(), known[1])
            return known[1]

    async def _read(self, set_uid: str) -> Config | None:
        config = await asyncio.get_running_loop().run_in_executor(self._executor, self._fetch, set_uid)
        self._known[set_uid] = (self._clock.monotonic(), config)
        return config

    def _fetch(self, set_uid: str) -> Config | None:
        found = self._store.sets.get(EVERYONE, set_uid)
        if found is None:
            return None
        template = found.spec.template
        return of_template(
            template,
            set_name=found.spec.name,
            least_interval_s=self._least_interval_s,
            looks_for=self._looks_for(),
            peers=self._peers_of(found) if template.peers is not None else (),
        )

    def _peers_of(self, aset: ApplianceSet) -> Sequence[Peer]:
        members = self._store.members.of_set(EVERYONE, aset.uid)
        return directory(aset, members, self._store.incarnations.at(EVERYONE, aset.uid, self._clock.now()))
