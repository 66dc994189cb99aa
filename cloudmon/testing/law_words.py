"""What the classes of laws may say; :class:`~cloudmon.testing.ProviderConformance` makes it true."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

from cloudmon.errors import CloudError
from cloudmon.model.nodes import Node, NodeRequest, NodeState
from cloudmon.model.offers import Offer
from cloudmon.provider import Provider

ODD_IDS = ("nonsense", "i-", "ä b/c?d=e&f", "x" * 300)
"""Ids that no cloud gave, and that few drivers were tried with."""


class LawWords(abc.ABC):
    """Vocabulary of the laws."""

    unknown_id: ClassVar[str]
    _provider: Provider
    _offer: Offer
    _estate: str

    @abc.abstractmethod
    def a_request(self, ordinal: int = 1, incarnation: int = 1, **other: Any) -> NodeRequest: ...

    @abc.abstractmethod
    def create(self, request: NodeRequest) -> Node: ...

    @abc.abstractmethod
    def running(self, ordinal: int = 1) -> Node: ...

    @abc.abstractmethod
    def listed(self) -> dict[str, Node]: ...

    @abc.abstractmethod
    def until(self, condition: Callable[[], bool], promise: str) -> None: ...

    @abc.abstractmethod
    def comes_to(self, node_id: str, state: NodeState) -> Node: ...

    @abc.abstractmethod
    def goes(self, node_id: str) -> None: ...

    @abc.abstractmethod
    def refusal(self, call: Callable[[], object], *kinds: type[CloudError]) -> CloudError: ...
