"""A monitor over scripted clouds and a store in memory, that ticks when it is told to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pictures import offer
from simulated.bench import Away

from cloudmon.engine.workers import InlineWorkers
from cloudmon.model.appliances import Member
from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.sets import Healing, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.journal import Journal
from cloudmon.monitor.observe import CloudFacts
from cloudmon.monitor.policy import Policy, View
from cloudmon.monitor.reports import TickReport
from cloudmon.monitor.tick import Monitor
from cloudmon.reconcile.limits import Limits
from cloudmon.store import open_store
from cloudmon.testing import FakeClock, ScriptedProvider

CALL_S = 5.0
POLL_S = 15.0
LAG_S = 5.0


def spec(count: int = 2, name: str = "storefront", **other: Any) -> SetSpec:
    healing = Healing(fault_after_s=0, verify_s=60, backoff_s=10)
    values: dict[str, Any] = {"template": Template("web", {"*": "image-1"}, user_data="I am {appliance}")}
    return SetSpec(name, count, **{**values, "healing": healing, **other})


def bare(node_id: str = "i-1", state: NodeState = NodeState.RUNNING, **tags: str) -> Node:
    """A node of no estate."""
    return Node(node_id, node_id, state, state.value, None, None, "here-1", "small", "image-9", (), (), None, tags)


class Watched:
    """One estate: clouds to script, a store to look into, a monitor to tick."""

    def __init__(self, folder: Path, *, clouds: Sequence[str] = ("east",), specs: Sequence[SetSpec] = ()) -> None:
        self.clock = FakeClock()
        self.clouds = {name: ScriptedProvider(name, now=self.clock.now) for name in clouds}
        self.memory = open_store("memory", log_key=b"k" * 32, anchor_dir=None, now=self.clock.now())
        self.store = Away(self.memory)
        self.owner = self.memory.monitors.begin(host="here", pid=1, now=self.clock.now())
        for name in clouds:
            self.memory.offers.replace(name, [offer(cloud=name)], self.clock.now())
        self.workers = InlineWorkers(self.clouds.__getitem__, list(clouds))
        self.policy = Policy(
            limits=Limits(first_tick_hold=False),
            clouds={name: CloudFacts(LAG_S, CALL_S) for name in clouds},
            prices={name: {} for name in clouds},
            view=View("file:shop", tuple(specs)),
            poll_interval_s=POLL_S,
            call_timeout_s=CALL_S,
        )
        self._folder = folder
        self.monitor = self._made()

    def _made(self) -> Monitor:
        return Monitor(
            store=self.store,  # type: ignore[arg-type]
            owner=self.owner,
            workers=self.workers,
            clock=self.clock,
            policy=self.policy,
            journal=Journal(self._folder / "journal.jsonl", 1),
        )

    def restart(self) -> None:
        """A successor of the monitor, which is no more, takes over."""
        self.owner = self.memory.monitors.begin(host="here", pid=2, now=self.clock.now())
        self.monitor = self._made()

    @property
    def east(self) -> ScriptedProvider:
        return self.clouds["east"]

    def tick(self, times: int = 1) -> TickReport:
        """So many ticks, a poll interval apart; the last one's report."""
        for _ in range(times):
            report = self.monitor.tick()
            self.clock.advance(POLL_S)
        return report

    def members(self, name: str = "storefront") -> list[Member]:
        aset = self.memory.sets.named(EVERYONE, name)
        return self.memory.members.of_set(EVERYONE, aset.uid) if aset is not None else []

    def ask(self, verb: RequestVerb, target: str, **arguments: str) -> str:
        """Somebody asks for something; the request's id."""
        return self.ask_for(verb, target, arguments)

    def ask_for(self, verb: RequestVerb, target: str, arguments: Mapping[str, str]) -> str:
        """As :meth:`ask`, whatever its arguments are called."""
        number = len(self.memory.requests.recent(EVERYONE, self.clock.now() - dt.timedelta(days=999)))
        made = Request(f"request-{number}", verb, "default", target, arguments, "ann", "asked for", self.clock.now())
        self.memory.requests.add(made)
        return made.id

    def request(self, request_id: str) -> Request:
        found = self.memory.requests.get(EVERYONE, request_id)
        assert found is not None
        return found
