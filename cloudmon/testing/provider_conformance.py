"""What "supported" means: every promise of :mod:`cloudmon.provider` as a law that a provider passes or not.

A provider's test subclasses :class:`ProviderConformance` and gives three fixtures::

    class TestEast(ProviderConformance):
        column = "east"

        @pytest.fixture
        def provider(self): ...            # a new provider, of a cloud that may hold other nodes

        @pytest.fixture
        def offer(self, provider): ...     # one of its offers, cheap to take

        @pytest.fixture
        def pass_time(self): ...           # a callable: let so many seconds pass (time.sleep for a real cloud)

Each law makes its own nodes with a fresh estate, and ends them. A law that a cloud cannot keep is not skipped: the
provider is not supported then. Only abilities are optional, and a verb that is not declared must raise ``Unsupported``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from cloudmon.errors import CloudError
from cloudmon.model.identity import Token, new_uid, ownership_tags
from cloudmon.model.nodes import ENDED, Node, NodeRequest, NodeState, PeerGroup
from cloudmon.model.offers import Offer
from cloudmon.provider import Provider
from cloudmon.testing.ability_laws import AbilityLaws
from cloudmon.testing.firewall_laws import FirewallLaws
from cloudmon.testing.provider_laws import ProviderLaws

PassTime = Callable[[float], None]


class ProviderConformance(FirewallLaws, AbilityLaws, ProviderLaws):
    """The suite. Attributes say what the cloud needs; the laws are in the classes above."""

    column: ClassVar[str] = ""
    """Heading of its column in the capability matrix; empty: in no matrix."""
    image: ClassVar[str] = "conformance-image"
    """An image that exists."""
    options: ClassVar[Mapping[str, object] | None] = None
    """The template's options for this cloud: network, key pair …"""
    unknown_id: ClassVar[str] = "i-0123456789abcdef0"
    """Looks like an id of this cloud, and is none."""
    settle_s: ClassVar[float] = 600
    """Longest time that a boot, a stop, an end and the listing's lag take together, in seconds."""
    step_s: ClassVar[float] = 5
    """Time that passes between two looks, in seconds."""

    @pytest.fixture
    def provider(self) -> Provider:
        """The provider under test."""
        raise NotImplementedError("a conformance test gives a provider")

    @pytest.fixture
    def offer(self, provider: Provider) -> Offer:
        """An offer of its cloud that can be taken."""
        raise NotImplementedError("a conformance test gives an offer")

    @pytest.fixture
    def pass_time(self) -> PassTime:
        """Lets so many seconds pass."""
        raise NotImplementedError("a conformance test says how time passes")

    @pytest.fixture(autouse=True)
    def _under_test(
        self, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
    ) -> Iterator[None]:
        record_property("column", self.column)
        record_property("law", request.node.name)
        self._provider: Provider = request.getfixturevalue("provider")
        self._offer: Offer = request.getfixturevalue("offer")
        self._pass_time: PassTime = request.getfixturevalue("pass_time")
        self._estate, self._set = new_uid(), new_uid()
        self._made: list[str] = []
        self._grouped: list[PeerGroup] = []
        yield
        for group in self._grouped:
            self._firewall.open_peers(group, [], self._made)
            self._firewall.close_peers(group.name)
        for node_id in self._made:
            self._provider.destroy_node(node_id)

    # --- what laws are written with ----------------------------------------------------------------------------------

    def a_request(self, ordinal: int = 1, incarnation: int = 1, **other: Any) -> NodeRequest:
        """A create request of this test's own estate."""
        token = Token(self._estate, self._set, ordinal, incarnation)
        values: dict[str, Any] = {
            "token": str(token),
            "name": f"conformance-{ordinal}",
            "offer": self._offer,
            "image": self.image,
            "tags": ownership_tags(token, set_name="conformance", tenant="default"),
            "user_data": f"#!/bin/sh\necho {ordinal} {incarnation}\n",
            "options": self.options,
        }
        return NodeRequest(**{**values, **other})

    def create(self, request: NodeRequest) -> Node:
        """Create a node that is ended after the test."""
        node = self._provider.create_node(request)
        if isinstance(node, Node) and node.id not in self._made:
            self._made.append(node.id)
        return node

    def running(self, ordinal: int = 1) -> Node:
        """A new node that has come to run."""
        node = self.create(self.a_request(ordinal))
        return self.comes_to(node.id, NodeState.RUNNING)

    def listed(self) -> dict[str, Node]:
        """The living nodes of this test's estate as the listing has them, by id."""
        nodes = self._provider.list_nodes().nodes
        return {node.id: node for node in nodes if node.estate == self._estate and node.state not in ENDED}

    def until(self, condition: Callable[[], bool], promise: str) -> None:
        """Let time pass until the condition holds; the law is broken when it does not within ``settle_s``."""
        waited = 0.0
        while not condition():
            assert waited < self.settle_s, f"{promise}: not within {self.settle_s:g} s"
            self._pass_time(self.step_s)
            waited += self.step_s

    def comes_to(self, node_id: str, state: NodeState) -> Node:
        """Let time pass until the listing shows the node in this state."""

        def arrived() -> bool:
            node = self.listed().get(node_id)
            return node is not None and node.state is state

        self.until(arrived, f"the listing shows {node_id} {state}")
        return self.listed()[node_id]

    def goes(self, node_id: str) -> None:
        """Let time pass until no living node of this id is listed."""
        self.until(lambda: node_id not in self.listed(), f"{node_id} goes from the listing")

    def refusal(self, call: Callable[[], object], *kinds: type[CloudError]) -> CloudError:
        """The error of ours that the call raises; the law is broken by another one, and by none."""
        with pytest.raises(kinds) as caught:
            call()
        error = caught.value
        assert error.cloud == self._provider.cloud, f"{error!r} does not name the cloud"
        assert error.message, f"{error!r} says nothing"
        return error
