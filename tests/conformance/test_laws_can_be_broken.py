"""Each law of the suite bites: a provider with one fault is caught by the law that is about it, and by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from cloudmon import errors
from cloudmon.model.nodes import ENDED, CommandResult, Listing, Node, NodeEvent, NodeRequest, NodeState, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.testing import FakeClock, ProviderConformance
from cloudmon_providers.dummy import DummyProvider, DummySettings


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


Law = Callable[..., None]
BROKEN: list[tuple[type[DummyProvider], str, tuple[str, ...]]] = [
    (ForgetsWhoseListing, "test_a_listing_names_its_cloud_and_the_instants_it_was_read_between", ()),
    (SpeaksItsOwnWords, "test_every_node_of_a_listing_is_told_in_the_words_of_the_model", ()),
    (ListsLive, "test_a_listing_is_a_picture_that_later_calls_do_not_change", ()),
    (LosesAPage, "test_a_listing_is_whole_however_many_nodes_there_are", ()),
    (TagsLater, "test_a_created_node_carries_token_and_tags_in_the_first_listing_that_shows_it", ()),
    (AnswersWithAnything, "test_create_answers_with_a_living_node_that_has_its_id_and_token", ()),
    (NeverRuns, "test_a_created_node_comes_to_run_as_what_was_asked_for", ()),
    (IgnoresTokens, "test_the_same_token_again_gives_the_same_node", ()),
    (ForgetsOverReset, "test_the_same_token_gives_the_same_node_over_a_new_connection", ()),
    (OneNodeForAll, "test_another_token_gives_another_node", ()),
    (OneNodeForAll, "test_another_incarnation_is_another_node", ()),
    (TakesAnySize, "test_an_unknown_size_is_refused_for_certain_and_makes_nothing", ()),
    (SwallowsOptions, "test_an_option_that_the_cloud_does_not_know_makes_no_node", ()),
    (ReadsOneDifferently, "test_one_node_is_read_as_the_listing_has_it", ()),
    (FindsWhatIsNot, "test_a_node_that_never_was_is_not_found", ()),
    (DestroysNothing, "test_a_destroyed_node_goes_from_the_listing", ()),
    (EndsBeforeItsTime, "test_only_a_node_that_is_no_more_says_when_it_ended", ()),
    (DestroysEverything, "test_a_destroy_leaves_the_others_alone", ()),
    (LoudOnGone, "test_a_second_destroy_is_quiet", ()),
    (DestroysNothing, "test_a_destroy_of_what_never_was_is_quiet", ()),
    (GivesIdsAgain, "test_the_id_of_a_node_that_went_is_not_given_again", ()),
    (SellsTwice, "test_offers_are_of_this_cloud_and_each_is_there_once", ()),
    (SellsForNothing, "test_a_price_is_more_than_zero_and_has_a_source_and_a_date", ()),
    (FindsWhatIsNot, "test_whatever_the_id_no_foreign_exception_comes_out", ("nonsense",)),
    (BoastsOfWhatItLacks, "test_a_verb_that_is_not_declared_raises_unsupported", ("suspend_node",)),
    (ObeysQuietly, "test_a_node_that_never_was_is_not_found_by", ("stop_node",)),
    (LetsForeignErrorsOut, "test_whatever_the_id_no_foreign_exception_comes_out_of", ("stop_node",)),
    (ObeysQuietly, "test_a_node_that_has_ended_obeys_no", ("start_node",)),
    (StopsAndNeverStarts, "test_a_stopped_node_comes_to_be_stopped_and_started_to_run", ()),
    (LoudOnSecondStop, "test_a_second_stop_is_quiet", ()),
    (LoudOnStartOfRunning, "test_a_start_of_what_runs_is_quiet", ()),
    (DestroysNothing, "test_a_stopped_node_is_destroyed_like_another", ()),
    (StopsOnReboot, "test_a_rebooted_node_comes_to_run_again", ()),
    (ObeysQuietly, "test_a_reboot_of_what_is_stopped_is_refused", ()),
    (StopsOnSuspend, "test_a_suspended_node_is_suspended_and_resumed_to_run", ()),
    (ObeysQuietly, "test_a_suspend_of_what_is_stopped_is_refused", ()),
    (ReplacesAllTags, "test_tags_are_added_and_replaced_and_the_others_kept", ()),
    (KeepsAnew, "test_a_snapshot_is_taken_once_for_each_name_and_its_node_goes_on", ()),
    (ForgetsByName, "test_a_snapshot_is_forgotten_by_its_name_and_its_id_and_no_other_is", ()),
    (ForgetsOfLiving, "test_what_was_never_kept_and_a_node_that_is_gone_are_quiet_for", ("forget_snapshot",)),
    (SaysNothingOfWalls, "test_a_node_that_nobody_isolated_is_told_as_such", ()),
    (IsolatesByStopping, "test_an_isolated_node_is_told_as_such_and_goes_on_running", ()),
    (LetsNobodyGo, "test_a_released_node_is_told_as_such", ()),
    (OpensAtStart, "test_isolation_lasts_over_a_stop_and_a_start", ()),
    (ForgetsPeersOverIsolation, "test_a_released_node_has_the_peers_that_it_had_whoever_releases_it", ()),
    (JoinsNobodyIsolated, "test_who_joins_its_peers_while_it_is_isolated_is_among_them_when_it_is_released", ()),
    (MakesEmptyGroups, "test_a_group_that_nobody_is_in_is_quiet_for", ("open_peers",)),
    (LetsNobodyLeave, "test_peers_join_a_group_with_its_ports_and_leave_it", ()),
    (KeepsItsFirstPorts, "test_the_ports_of_a_group_become_others", ()),
    (ClosesOverHeads, "test_a_group_is_closed_when_nobody_is_in_it_and_not_before", ()),
    (KnowsEveryCommand, "test_nothing_is_known_of_a_command_that_was_never_begun_by", ("command_result",)),
    (NeverAnswersCommands, "test_a_command_that_is_begun_comes_to_a_result", ()),
    (BeginsAnything, "test_a_command_is_not_begun_in_what_is_stopped", ()),
    (AlwaysHasNews, "test_nothing_to_tell_is_an_empty_answer_to", ("wait_events",)),
    (TellsAgain, "test_an_event_comes_until_it_is_taken_and_names_its_node", ()),
    (DeclaresNonsense, "test_what_is_declared_can_be_called", ()),
]


class Suite(ProviderConformance):
    """The suite with its fixtures given by hand, so that one law can be called."""

    unknown_id = "vm-0000000000"
    settle_s = 60

    def __init__(self, provider_class: type[DummyProvider]) -> None:
        clock = FakeClock()
        world = f"memory:{uuid.uuid4()}"
        options = DummySettings(world=world, boot_s=5, page_size=3, terminate_s=5, events=True, commands=True)
        self._provider = provider_class("east", options, now=clock.now, timeout_s=30)
        self._offer = DummyProvider("east", options, now=clock.now, timeout_s=30).list_offers()[0]
        self._pass_time = clock.advance
        self._estate, self._set = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
        self._made, self._grouped = [], []


@pytest.mark.parametrize(("provider_class", "law", "parameters"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_law_is_kept_by_the_dummy_and_broken_by_one_with_a_fault(
    provider_class: type[DummyProvider], law: str, parameters: tuple[str, ...]
) -> None:
    getattr(Suite(DummyProvider), law)(*parameters)
    broken: Law = getattr(Suite(provider_class), law)
    with pytest.raises((AssertionError, pytest.fail.Exception, errors.CloudError, KeyError)):
        broken(*parameters)


def test_every_law_is_broken_here_once() -> None:
    laws = {name for name in dir(ProviderConformance) if name.startswith("test_")}
    assert {law for _, law, _ in BROKEN} == laws
