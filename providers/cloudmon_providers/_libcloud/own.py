"""What the drivers of clouds share that are programs of ours: the simulated one, and this machine's own processes."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from libcloud.compute import types
from libcloud.compute.base import Node, NodeDriver, NodeLocation, NodeSize

from cloudmon import errors
from cloudmon.model.nodes import NodeState
from cloudmon.model.offers import Offer

CODES: Final[Mapping[str, type[errors.CloudError]]] = {
    "InsufficientCapacity": errors.OutOfCapacity,
    "QuotaExceeded": errors.QuotaExceeded,
    "IdempotentParameterMismatch": errors.Refused,
    "IdempotentInstanceTerminated": errors.Refused,
}
"""Codes that they refuse with."""

THEIRS: Final[Mapping[NodeState, types.NodeState]] = {
    NodeState.PENDING: types.NodeState.PENDING,
    NodeState.RUNNING: types.NodeState.RUNNING,
    NodeState.REBOOTING: types.NodeState.REBOOTING,
    NodeState.STOPPING: types.NodeState.STOPPING,
    NodeState.STOPPED: types.NodeState.STOPPED,
    NodeState.SUSPENDED: types.NodeState.SUSPENDED,
    NodeState.ERROR: types.NodeState.ERROR,
    NodeState.TERMINATING: types.NodeState.UNKNOWN,
    NodeState.TERMINATED: types.NodeState.TERMINATED,
    NodeState.UNKNOWN: types.NodeState.UNKNOWN,
}
"""Our states as libcloud's: it has none for what is being terminated."""


class OwnCloud(Protocol):
    """The program behind a driver, as far as every one is alike."""

    @property
    def settings(self) -> Any:
        """With its ``locations`` and ``sizes``."""

    def order(self, verb: str, node_id: str) -> None: ...

    def destroy(self, node_id: str) -> None: ...

    def tag(self, node_id: str, tags: Mapping[str, str]) -> None: ...

    def offers(self, cloud: str) -> list[Offer]: ...


class OwnDriver(NodeDriver, abc.ABC):
    """A libcloud driver over such a program; what it lists and makes is its subclass's."""

    website = ""

    def __init__(self, key: str, program: OwnCloud) -> None:
        super().__init__(key=key)  # type: ignore[no-untyped-call]
        self._program = program

    @abc.abstractmethod
    def raising(self) -> AbstractContextManager[None]:
        """The program's refusals and faults as what libcloud's drivers raise for them."""

    def destroy_node(self, node: Node) -> bool:
        with self.raising():
            self._program.destroy(str(node.id))
            return True

    def start_node(self, node: Node) -> bool:
        return self._order("start_node", node)

    def stop_node(self, node: Node) -> bool:
        return self._order("stop_node", node)

    def reboot_node(self, node: Node) -> bool:
        return self._order("reboot_node", node)

    def ex_suspend_node(self, node: Node) -> bool:
        """Freeze a node, memory kept."""
        return self._order("suspend_node", node)

    def ex_resume_node(self, node: Node) -> bool:
        """Thaw a suspended node."""
        return self._order("resume_node", node)

    def ex_tag_node(self, node: Node, tags: Mapping[str, str]) -> bool:
        """Add or replace tags."""
        with self.raising():
            self._program.tag(str(node.id), tags)
            return True

    def ex_list_offers(self, cloud: str) -> list[Offer]:
        """Sizes at locations with price and room."""
        with self.raising():
            return self._program.offers(cloud)

    def list_locations(self) -> list[NodeLocation]:
        return [NodeLocation(name, name, "", self) for name in self._program.settings.locations]

    def list_sizes(self, location: NodeLocation | None = None) -> list[NodeSize]:  # noqa: ARG002 - libcloud's signature
        return [
            NodeSize(
                name, name, size.memory_mib, size.disk_gib, 0, float(size.per_hour or 0), self, {"cpu": size.vcpus}
            )
            for name, size in self._program.settings.sizes.items()
        ]

    def _order(self, verb: str, node: Node) -> bool:
        with self.raising():
            self._program.order(verb, str(node.id))
            return True
