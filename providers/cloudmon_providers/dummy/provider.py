"""The dummy cloud as a provider: the shared adapter, and what is this cloud's own."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cloudmon import errors
from cloudmon.model.nodes import CommandResult, Node, NodeEvent, NodeRequest, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.model.simulated import Insides, Machines
from cloudmon.provider import ABILITIES
from cloudmon_providers._libcloud import Dialect, LibcloudProvider, own
from cloudmon_providers.dummy import words
from cloudmon_providers.dummy.driver import DummyCloudDriver
from cloudmon_providers.dummy.settings import DummySettings
from cloudmon_providers.dummy.world import World
from cloudmon_providers.dummy.worlds import open_world

EVENT_VERBS, COMMAND_VERBS = ABILITIES["events"][1], ABILITIES["commands"][1]
OWN_VERBS = frozenset(("snapshot_node", "forget_snapshot", *ABILITIES["firewall"][1]))
"""Those that the shared adapter knows nothing of."""


class DummyProvider(LibcloudProvider):
    """A cloud of no machines, honest about everything that a real one does to its users."""

    settings_model = DummySettings
    dialect = Dialect(
        words=words.STATES,
        word_field="status",
        location_field="location",
        size_field="size",
        image_field="image",
        ended_field="ended",
        honours_tokens=True,
        codes=own.CODES,
    )

    def __init__(
        self,
        cloud: str,
        options: object,
        *,
        now: Callable[[], dt.datetime],
        timeout_s: float,  # noqa: ARG002 - this cloud answers at once or not at all
    ) -> None:
        if not isinstance(options, DummySettings):
            raise TypeError(f"options must be DummySettings, not {type(options).__name__}")
        dialect = dataclasses.replace(
            self.dialect,
            honours_tokens=options.tokens,
            isolated_field="" if "isolate_node" in options.lacks else "isolated",
            peers_field="" if "open_peers" in options.lacks else "peers",
        )
        super().__init__(cloud, now=now, driver_class=DummyCloudDriver, dialect=dialect)
        self.world: World = open_world(options, cloud=cloud, now=now)
        """The cloud itself, for tests."""

    def connect(self) -> DummyCloudDriver:
        return DummyCloudDriver(self.world)

    def pages(self) -> Iterator[Sequence[Node]]:
        following = ""
        while True:
            page, following = self._cloud.ex_list_page(following)
            yield self.read(page)
            if not following:
                return

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        return {**super().create_arguments(request), "ex_token": request.token, "ex_spot": request.offer.spot}

    def offers(self) -> Sequence[Offer]:
        return self._cloud.ex_list_offers(self.cloud)

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:  # noqa: ARG002 - this cloud answers at once
        with self._translating("wait_events"):
            self._tells()
            return self._cloud.ex_events()

    def take_events(self, receipts: Sequence[str]) -> None:
        with self._translating("take_events"):
            self._tells()
            self.world.take_events(receipts)

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:  # noqa: ARG002 - nobody asks
        with self._translating("snapshot_node"):
            self._has("snapshot_node")
            return self._cloud.ex_snapshot_node(node_id, name)

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        with self._translating("forget_snapshot"):
            self._has("forget_snapshot")
            self._cloud.ex_forget_snapshot(node_id, name, kept)

    def isolate_node(self, node_id: str) -> None:
        with self._translating("isolate_node"):
            self._has("isolate_node")
            self._cloud.ex_wall("isolate_node", node_id)

    def release_node(self, node_id: str) -> None:
        with self._translating("release_node"):
            self._has("release_node")
            self._cloud.ex_wall("release_node", node_id)

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        with self._translating("open_peers"):
            self._has("open_peers")
            self._cloud.ex_open_peers(group, joining, leaving)

    def close_peers(self, name: str) -> None:
        with self._translating("close_peers"):
            self._has("close_peers")
            self._cloud.ex_close_peers(name)

    def list_peers(self) -> Sequence[PeerGroup]:
        with self._translating("list_peers"):
            self._has("list_peers")
            return self._cloud.ex_list_peers()

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:  # noqa: ARG002
        with self._translating("start_command"):
            self._runs()
            return self._cloud.ex_start_command(node_id, argvs)

    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:  # noqa: ARG002
        with self._translating("command_result"):
            self._runs()
            return self._cloud.ex_command_result(command_id)

    @property
    def insides(self) -> Insides | None:
        found = self.world.settings.guests
        return None if found is None else Insides(self.world.settings.seed, found.faults_per_h(), found.quiet_s)

    def machines(self, since: int = 0) -> Machines:
        with self._translating("machines"):
            return self.world.inside(since)

    def lacks(self, verb: str) -> bool:
        if verb in self.world.settings.lacks:
            return True
        if verb in OWN_VERBS:
            return False
        if verb in COMMAND_VERBS:
            return not self.world.settings.commands
        return not self.world.settings.events if verb in EVENT_VERBS else super().lacks(verb)

    def _has(self, verb: str) -> None:
        if self.lacks(verb):
            raise errors.Unsupported(f"{self.cloud}: this cloud cannot {verb}", cloud=self.cloud)

    def _runs(self) -> None:
        if not self.world.settings.commands:
            raise errors.Unsupported(f"{self.cloud}: this cloud runs no commands", cloud=self.cloud)

    def _tells(self) -> None:
        if not self.world.settings.events:
            raise errors.Unsupported(f"{self.cloud}: this cloud tells of no events", cloud=self.cloud)

    @property
    def _cloud(self) -> DummyCloudDriver:
        driver = self.driver
        assert isinstance(driver, DummyCloudDriver)  # noqa: S101 - connect() makes no other
        return driver
