"""Laws of the core: listings, creates, destroys, offers, errors. Each test is one promise of the contract."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from decimal import Decimal

import pytest

from cloudmon.errors import CloudError, NotFound, Refused
from cloudmon.model.nodes import ENDED, Listing, Node, NodeState
from cloudmon.model.offers import Offer
from cloudmon.testing.law_words import ODD_IDS, LawWords


class ProviderLaws(LawWords):
    """Promises of :class:`cloudmon.provider.Provider`."""

    # --- listings --------------------------------------------------------------------------------------------------

    def test_a_listing_names_its_cloud_and_the_instants_it_was_read_between(self) -> None:
        listing = self._provider.list_nodes()
        assert isinstance(listing, Listing)
        assert listing.cloud == self._provider.cloud
        assert listing.started_at.tzinfo is not None
        assert listing.started_at <= listing.finished_at

    def test_every_node_of_a_listing_is_told_in_the_words_of_the_model(self) -> None:
        self.running()
        for node in self._provider.list_nodes().nodes:
            assert isinstance(node, Node)
            assert isinstance(node.state, NodeState)
            assert isinstance(node.id, str)
            assert node.id
            assert node.word
            assert node.created_at is None or node.created_at.tzinfo is not None
            assert all(isinstance(text, str) for pair in node.tags.items() for text in pair)

    def test_a_listing_is_a_picture_that_later_calls_do_not_change(self) -> None:
        self.running(1)
        before = self._provider.list_nodes().nodes
        held = list(before)
        self.running(2)
        assert list(before) == held

    def test_a_listing_is_whole_however_many_nodes_there_are(self) -> None:
        made = {self.create(self.a_request(ordinal)).id for ordinal in range(1, 8)}
        self.until(lambda: set(self.listed()) == made, "the listing shows every node that was made")
        ids = [node.id for node in self._provider.list_nodes().nodes]
        assert len(ids) == len(set(ids))

    # --- creates ---------------------------------------------------------------------------------------------------

    def test_a_created_node_carries_token_and_tags_in_the_first_listing_that_shows_it(self) -> None:
        request = self.a_request()
        made = self.create(request)
        found: list[Node] = []

        def shown() -> bool:
            found.extend(node for node in self._provider.list_nodes().nodes if node.id == made.id)
            return bool(found)

        self.until(shown, "the listing shows the created node")
        assert found[0].token == request.token
        assert found[0].estate == self._estate
        assert dict(request.tags).items() <= dict(found[0].tags).items()

    def test_create_answers_with_a_living_node_that_has_its_id_and_token(self) -> None:
        request = self.a_request()
        made = self.create(request)
        assert isinstance(made, Node)
        assert made.id
        assert (made.token, made.estate) == (request.token, self._estate)
        assert made.state not in ENDED

    def test_a_created_node_comes_to_run_as_what_was_asked_for(self) -> None:
        node = self.running()
        assert node.size in (self._offer.size, "")
        assert node.location in (self._offer.location, "")

    def test_the_same_token_again_gives_the_same_node(self) -> None:
        request = self.a_request()
        first = self.create(request)
        self.comes_to(first.id, NodeState.RUNNING)
        assert self.create(request).id == first.id
        assert set(self.listed()) == {first.id}

    def test_the_same_token_gives_the_same_node_over_a_new_connection(self) -> None:
        request = self.a_request()
        first = self.create(request)
        self.comes_to(first.id, NodeState.RUNNING)
        reset: Callable[[], None] = getattr(self._provider, "reset", lambda: None)
        reset()
        assert self.create(request).id == first.id
        assert set(self.listed()) == {first.id}

    def test_another_token_gives_another_node(self) -> None:
        first, second = self.running(1), self.running(2)
        assert first.id != second.id
        assert set(self.listed()) == {first.id, second.id}

    def test_another_incarnation_is_another_node(self) -> None:
        first = self.create(self.a_request(1, 1))
        self.comes_to(first.id, NodeState.RUNNING)
        assert self.create(self.a_request(1, 2)).id != first.id

    def test_an_unknown_size_is_refused_for_certain_and_makes_nothing(self) -> None:
        offer = dataclasses.replace(self._offer, size="no-such-size")
        error = self.refusal(lambda: self.create(self.a_request(offer=offer)), NotFound, Refused)
        assert error.definite
        assert not self.listed()

    def test_an_option_that_the_cloud_does_not_know_makes_no_node(self) -> None:
        options = {"no_such_option": "x"}
        self.refusal(lambda: self.create(self.a_request(options=options)), CloudError)
        assert not self.listed()

    # --- one node --------------------------------------------------------------------------------------------------

    def test_one_node_is_read_as_the_listing_has_it(self) -> None:
        listed = self.running()
        assert self._provider.get_node(listed.id) == listed

    def test_a_node_that_never_was_is_not_found(self) -> None:
        assert self.refusal(lambda: self._provider.get_node(self.unknown_id), NotFound).definite

    # --- destroys --------------------------------------------------------------------------------------------------

    def test_a_destroyed_node_goes_from_the_listing(self) -> None:
        node = self.running()
        self._provider.destroy_node(node.id)
        self.goes(node.id)

    def test_only_a_node_that_is_no_more_says_when_it_ended(self) -> None:
        node = self.running()
        self._provider.destroy_node(node.id)
        seen: list[Node] = []

        def gone() -> bool:
            nodes = self._provider.list_nodes().nodes
            seen.extend(nodes)
            return all(found.id != node.id or found.state in ENDED for found in nodes)

        self.until(gone, f"{node.id} goes from the listing")
        for found in seen:
            if found.ended_at is not None:
                assert found.state in ENDED
                assert found.ended_at.tzinfo is not None
                assert found.created_at is None or found.created_at <= found.ended_at

    def test_a_destroy_leaves_the_others_alone(self) -> None:
        first, second = self.running(1), self.running(2)
        self._provider.destroy_node(first.id)
        self.goes(first.id)
        assert self.listed()[second.id].state is NodeState.RUNNING

    def test_a_second_destroy_is_quiet(self) -> None:
        node = self.running()
        self._provider.destroy_node(node.id)
        self._provider.destroy_node(node.id)
        self.goes(node.id)
        self._provider.destroy_node(node.id)

    def test_a_destroy_of_what_never_was_is_quiet(self) -> None:
        self._provider.destroy_node(self.unknown_id)

    def test_the_id_of_a_node_that_went_is_not_given_again(self) -> None:
        first = self.running(1)
        second = self.running(2)
        self._provider.destroy_node(first.id)
        self.goes(first.id)
        assert self.running(3).id not in (first.id, second.id)

    # --- offers ----------------------------------------------------------------------------------------------------

    def test_offers_are_of_this_cloud_and_each_is_there_once(self) -> None:
        offers = self._provider.list_offers()
        assert offers
        assert all(isinstance(offer, Offer) and offer.cloud == self._provider.cloud for offer in offers)
        keys = [offer.key for offer in offers]
        assert len(keys) == len(set(keys))
        assert self._offer.key in keys

    def test_a_price_is_more_than_zero_and_has_a_source_and_a_date(self) -> None:
        for price in (offer.price for offer in self._provider.list_offers()):
            if price is not None:
                assert isinstance(price.per_hour, Decimal)
                assert price.per_hour > 0
                assert price.source
                assert price.dated
                assert len(price.currency) == 3

    # --- errors ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("odd", ODD_IDS, ids=["nonsense", "stub", "unicode", "long"])
    def test_whatever_the_id_no_foreign_exception_comes_out(self, odd: str) -> None:
        for call in (self._provider.get_node, self._provider.destroy_node):
            with contextlib.suppress(CloudError):
                call(odd)
