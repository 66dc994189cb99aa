"""A libcloud driver for machines that are processes of this one: it raises what libcloud's drivers raise, and puts the
cloud's own words into ``extra``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeLocation, NodeSize
from libcloud.compute.types import NodeState

from cloudmon.model.offers import Offer
from cloudmon_providers.local import images, words
from cloudmon_providers.local.cloud import Cloud, Order, RefusalError, Seen
from cloudmon_providers.local.directory import DirectoryError

_STATES: Mapping[str, NodeState] = {
    words.RUNNING: NodeState.RUNNING,
    words.REBOOTING: NodeState.REBOOTING,
    words.STOPPING: NodeState.STOPPING,
    words.STOPPED: NodeState.STOPPED,
    words.SUSPENDING: NodeState.STOPPING,
    words.SUSPENDED: NodeState.SUSPENDED,
    words.FAILED: NodeState.ERROR,
    words.TERMINATING: NodeState.UNKNOWN,
    words.TERMINATED: NodeState.TERMINATED,
    words.UNREADABLE: NodeState.UNKNOWN,
}
_ADDRESS = "127.0.0.1"
"""Of every node: they share the machine's own network."""


class LocalDriver(NodeDriver):
    """libcloud's view of a :class:`~cloudmon_providers.local.cloud.Cloud`."""

    name = "cloudmon's local machines"
    website = ""
    type = "cloudmon_local"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(key="local")  # type: ignore[no-untyped-call]
        self.cloud = cloud

    def list_nodes(self, *_: Any, **__: Any) -> list[Node]:
        with _raising():
            return [self._node(seen) for seen in self.cloud.everything()]

    def ex_get_node(self, node_id: str) -> Node:
        """One node, as it is now."""
        with _raising():
            return self._node(self.cloud.get(node_id))

    def create_node(  # type: ignore[override]  # noqa: PLR0913 - libcloud's own signature, as drivers narrow it
        self,
        name: str,
        size: NodeSize,
        image: NodeImage,
        location: NodeLocation,
        ex_token: str = "",
        ex_tags: Mapping[str, str] | None = None,
        ex_userdata: str = "",
        **unknown: object,
    ) -> Node:
        with _raising():
            if unknown:
                raise RefusalError(400, "UnknownParameter", f"no such parameter: {', '.join(sorted(unknown))}")
            order = Order(name, size.id, location.id, image.id, ex_token, dict(ex_tags or {}), ex_userdata)
            return self._node(self.cloud.create(order))

    def destroy_node(self, node: Node) -> bool:
        with _raising():
            self.cloud.destroy(str(node.id))
            return True

    def start_node(self, node: Node) -> bool:
        return self._order("start_node", node)

    def stop_node(self, node: Node) -> bool:
        return self._order("stop_node", node)

    def reboot_node(self, node: Node) -> bool:
        return self._order("reboot_node", node)

    def ex_suspend_node(self, node: Node) -> bool:
        """Freeze all processes of a node."""
        return self._order("suspend_node", node)

    def ex_resume_node(self, node: Node) -> bool:
        """Let them go on."""
        return self._order("resume_node", node)

    def ex_tag_node(self, node: Node, tags: Mapping[str, str]) -> bool:
        """Add or replace tags."""
        with _raising():
            self.cloud.tag(str(node.id), tags)
            return True

    def ex_list_offers(self, cloud: str) -> list[Offer]:
        """Sizes at locations with price and room."""
        with _raising():
            return self.cloud.offers(cloud)

    def list_locations(self) -> list[NodeLocation]:
        return [NodeLocation(name, name, "", self) for name in self.cloud.settings.locations]

    def list_images(self, location: NodeLocation | None = None) -> list[NodeImage]:  # noqa: ARG002 - libcloud's signature
        return [NodeImage(name, name, self) for name in images.names(self.cloud.settings.images)]

    def list_sizes(self, location: NodeLocation | None = None) -> list[NodeSize]:  # noqa: ARG002 - libcloud's signature
        return [
            NodeSize(
                name, name, size.memory_mib, size.disk_gib, 0, float(size.per_hour or 0), self, {"cpu": size.vcpus}
            )
            for name, size in self.cloud.settings.sizes.items()
        ]

    def _order(self, verb: str, node: Node) -> bool:
        with _raising():
            self.cloud.order(verb, str(node.id))
            return True

    def _node(self, seen: Seen) -> Node:
        found, word = seen
        extra = {
            "status": word,
            "tags": dict(found.tags),
            "location": found.location,
            "size": found.size,
            "image": found.image,
        }
        created = dt.datetime.fromtimestamp(found.created, dt.UTC) if found.created else None
        private = [_ADDRESS] if word != words.TERMINATED else []
        return Node(found.id, found.name, _STATES[word], [], private, self, None, None, extra, created)


@contextmanager
def _raising() -> Iterator[None]:
    """The cloud's refusals as what libcloud's drivers raise for them."""
    try:
        yield
    except RefusalError as refusal:
        raise BaseHTTPError(refusal.status, str(refusal)) from refusal  # type: ignore[no-untyped-call]
    except DirectoryError as error:
        status = 400 if error.definite else 500
        raise BaseHTTPError(status, f"{error.code}: {error}") from error  # type: ignore[no-untyped-call]
