"""Providers with one fault each, for the laws of the conformance suite to catch."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudmon import errors
from cloudmon.model.nodes import ENDED, CommandResult, Listing, Node, NodeEvent, NodeRequest, NodeState, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon_providers.dummy import DummyProvider


class LosesAPage(DummyProvider):
    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        return Listing(listing.cloud, listing.nodes[:2], listing.started_at, listing.finished_at)


class ListsLive(DummyProvider):
    kept: list[Node]

    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        self.kept = getattr(self, "kept", [])
        self.kept[:] = listing.nodes
        return Listing(listing.cloud, self.kept, listing.started_at, listing.finished_at)


class ForgetsWhoseListing(DummyProvider):
    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        return Listing("", listing.nodes, listing.started_at, listing.finished_at)


class SpeaksItsOwnWords(DummyProvider):
    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        nodes = [
            node._replace(created_at=None if node.created_at is None else node.created_at.replace(tzinfo=None))
            for node in listing.nodes
        ]
        return Listing(listing.cloud, nodes, listing.started_at, listing.finished_at)


class EndsBeforeItsTime(DummyProvider):
    """Says of what lives when it ended."""

    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        nodes = [node._replace(ended_at=node.created_at) for node in listing.nodes]
        return Listing(listing.cloud, nodes, listing.started_at, listing.finished_at)


class TagsLater(DummyProvider):
    """The tags are not in the create call: the first listing shows a node of nobody."""

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        return {**super().create_arguments(request), "ex_tags": {}}


class IgnoresTokens(DummyProvider):
    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        return {**super().create_arguments(request), "ex_token": ""}


class AnswersWithAnything(DummyProvider):
    def create_node(self, request: NodeRequest) -> Node:
        return super().create_node(request)._replace(token=None)


class ForgetsOverReset(DummyProvider):
    """Its tokens live as long as its connection."""

    connection = ""

    def reset(self) -> None:
        super().reset()
        self.connection = uuid.uuid4().hex

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        return {**super().create_arguments(request), "ex_token": request.token + self.connection}


class OneNodeForAll(DummyProvider):
    def create_node(self, request: NodeRequest) -> Node:
        living = [node for node in self.list_nodes().nodes if node.state not in ENDED]
        return living[0]._replace(token=request.token) if living else super().create_node(request)


class TakesAnySize(DummyProvider):
    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        arguments = super().create_arguments(request)
        arguments["size"].id = "nano"
        return arguments


class SwallowsOptions(DummyProvider):
    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        arguments = super().create_arguments(request)
        return {key: value for key, value in arguments.items() if key not in (request.options or {})}


class NeverRuns(DummyProvider):
    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        nodes = [node._replace(state=NodeState.UNKNOWN) for node in listing.nodes]
        return Listing(listing.cloud, nodes, listing.started_at, listing.finished_at)


class ReadsOneDifferently(DummyProvider):
    def get_node(self, node_id: str) -> Node:
        return super().get_node(node_id)._replace(size="other")


class FindsWhatIsNot(DummyProvider):
    def get_node(self, node_id: str) -> Node:
        try:
            return super().get_node(node_id)
        except errors.NotFound as error:
            raise KeyError(node_id) from error


class DestroysNothing(DummyProvider):
    def destroy_node(self, node_id: str) -> None:
        self.get_node(node_id)


class DestroysEverything(DummyProvider):
    def destroy_node(self, node_id: str) -> None:
        for node in self.list_nodes().nodes:
            super().destroy_node(node.id)


class LoudOnGone(DummyProvider):
    def destroy_node(self, node_id: str) -> None:
        if self.get_node(node_id).state in (NodeState.TERMINATING, NodeState.TERMINATED):
            raise errors.NotFound(node_id, cloud=self.cloud)
        super().destroy_node(node_id)


class SellsTwice(DummyProvider):
    def list_offers(self) -> Sequence[Offer]:
        return [*super().list_offers(), *super().list_offers()]


class SellsForNothing(DummyProvider):
    def list_offers(self) -> Sequence[Offer]:
        return [_free(offer) for offer in super().list_offers()]


class BoastsOfWhatItLacks(DummyProvider):
    """Says that it cannot suspend, and then does it."""

    def lacks(self, verb: str) -> bool:
        return verb == "suspend_node" or super().lacks(verb)

    def suspend_node(self, node_id: str) -> None:
        self.driver.ex_suspend_node(self.reference(node_id))  # type: ignore[attr-defined]


class StopsAndNeverStarts(DummyProvider):
    def start_node(self, node_id: str) -> None:
        self.get_node(node_id)


class LoudOnSecondStop(DummyProvider):
    def stop_node(self, node_id: str) -> None:
        if self.get_node(node_id).state is not NodeState.RUNNING:
            raise errors.Refused(node_id, cloud=self.cloud)
        super().stop_node(node_id)


class LoudOnStartOfRunning(DummyProvider):
    def start_node(self, node_id: str) -> None:
        if self.get_node(node_id).state is NodeState.RUNNING:
            raise errors.Refused(node_id, cloud=self.cloud)
        super().start_node(node_id)


class StopsOnReboot(DummyProvider):
    def reboot_node(self, node_id: str) -> None:
        self.stop_node(node_id)


class StopsOnSuspend(DummyProvider):
    def suspend_node(self, node_id: str) -> None:
        self.stop_node(node_id)


class ObeysQuietly(DummyProvider):
    """Whatever the state, whatever the node: no word."""

    def call(self, verb: str, node_id: str, *arguments: object) -> None:
        try:
            super().call(verb, node_id, *arguments)
        except Exception:
            return


class LetsForeignErrorsOut(DummyProvider):
    def stop_node(self, node_id: str) -> None:
        if node_id not in [node.id for node in self.list_nodes().nodes]:
            raise KeyError(node_id)
        super().stop_node(node_id)


class ReplacesAllTags(DummyProvider):
    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        super().tag_node(node_id, {**dict.fromkeys(self.get_node(node_id).tags, ""), **tags})


class GivesIdsAgain(DummyProvider):
    """Its ids are places."""

    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        living = [node for node in listing.nodes if node.state not in ENDED]
        nodes = [node._replace(id=f"place-{place}") for place, node in enumerate(living)]
        return Listing(listing.cloud, nodes, listing.started_at, listing.finished_at)

    def create_node(self, request: NodeRequest) -> Node:
        made = super().create_node(request)
        return next(node for node in self.list_nodes().nodes if node.token == made.token)

    def destroy_node(self, node_id: str) -> None:
        living = [node for node in super().list_nodes().nodes if node.state not in ENDED]
        if node_id.startswith("place-") and int(node_id[6:]) < len(living):
            super().destroy_node(living[int(node_id[6:])].id)


class DeclaresNonsense(DummyProvider):
    tag_node = "yes"  # type: ignore[assignment]


class AlwaysHasNews(DummyProvider):
    """Its listener never comes to rest."""

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:
        told = super().wait_events(wait_s)
        if told:
            return told
        raise errors.Unreachable("nothing to tell", cloud=self.cloud)


class TellsAgain(DummyProvider):
    def take_events(self, receipts: Sequence[str]) -> None:
        """Keeps what was taken."""


class SaysNothingOfWalls(DummyProvider):
    def list_nodes(self) -> Listing:
        listing = super().list_nodes()
        nodes = [node._replace(isolated=None) for node in listing.nodes]
        return Listing(listing.cloud, nodes, listing.started_at, listing.finished_at)


class IsolatesByStopping(DummyProvider):
    def isolate_node(self, node_id: str) -> None:
        super().isolate_node(node_id)
        self.stop_node(node_id)


class LetsNobodyGo(DummyProvider):
    def release_node(self, node_id: str) -> None:
        self.get_node(node_id)


class OpensAtStart(DummyProvider):
    def start_node(self, node_id: str) -> None:
        super().start_node(node_id)
        self.release_node(node_id)


class ForgetsPeersOverIsolation(DummyProvider):
    def release_node(self, node_id: str) -> None:
        super().release_node(node_id)
        super().open_peers(PeerGroup("", ()), [], [node_id])


class JoinsNobodyIsolated(DummyProvider):
    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        free = [node.id for node in self.list_nodes().nodes if node.id in joining and not node.isolated]
        super().open_peers(group, free, leaving)


class MakesEmptyGroups(DummyProvider):
    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        super().open_peers(group, joining, leaving)
        self.world._groups[group.name] = group

    def close_peers(self, name: str) -> None:
        """Keeps it."""


class LetsNobodyLeave(DummyProvider):
    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        super().open_peers(group, joining, [])


class KeepsItsFirstPorts(DummyProvider):
    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        super().open_peers(self.world._groups.get(group.name, group), joining, leaving)


class ClosesOverHeads(DummyProvider):
    def close_peers(self, name: str) -> None:
        self.world._groups.pop(name, None)


class KnowsEveryCommand(DummyProvider):
    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        return super().command_result(node_id, command_id) or CommandResult(0)


class NeverAnswersCommands(DummyProvider):
    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        super().command_result(node_id, command_id)
        return None


class BeginsAnything(DummyProvider):
    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        try:
            return super().start_command(node_id, argvs, timeout_s)
        except errors.Refused:
            return "command-0"


class KeepsAnew(DummyProvider):
    """Takes a snapshot each time that it is asked to."""

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        return super().snapshot_node(node_id, f"{name}-{uuid.uuid4()}", tags)


class ForgetsByName(DummyProvider):
    """Deletes what has the name, whatever its id is."""

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        super().forget_snapshot(node_id, name, super().snapshot_node(node_id, name, {}))


class ForgetsOfLiving(DummyProvider):
    """Wants the node to be there whose snapshot is to be deleted."""

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        if super().get_node(node_id) is None:
            raise errors.NotFound(f"{self.cloud}: there is no node {node_id}", cloud=self.cloud)
        super().forget_snapshot(node_id, name, kept)


def _free(offer: Offer) -> Offer:
    assert offer.price is not None
    price = offer.price.__class__(Decimal(0), offer.price.currency, offer.price.source, offer.price.dated)
    return Offer(offer.cloud, offer.size, offer.location, offer.vcpus, offer.memory_mib, offer.disk_gib, price)
