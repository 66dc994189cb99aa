"""A libcloud driver for machines that are processes of this one: it raises what libcloud's drivers raise, and puts the
cloud's own words into ``extra``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import Node, NodeImage, NodeLocation, NodeSize

from cloudmon_providers._libcloud import own
from cloudmon_providers._libcloud.own import OwnDriver
from cloudmon_providers.local import images, words
from cloudmon_providers.local.cloud import Cloud, Order, RefusalError, Seen
from cloudmon_providers.local.directory import DirectoryError

_STATES = {word: own.THEIRS[state] for word, state in words.STATES.items()}
_ADDRESS = "127.0.0.1"
"""Of every node: they share the machine's own network."""


class LocalDriver(OwnDriver):
    """libcloud's view of a :class:`~cloudmon_providers.local.cloud.Cloud`."""

    name = "cloudmon's local machines"
    type = "cloudmon_local"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__("local", cloud)
        self.cloud = cloud

    @contextmanager
    def raising(self) -> Iterator[None]:
        """The cloud's refusals as what libcloud's drivers raise for them."""
        try:
            yield
        except RefusalError as refusal:
            raise BaseHTTPError(refusal.status, str(refusal)) from refusal  # type: ignore[no-untyped-call]
        except DirectoryError as error:
            status = 400 if error.definite else 500
            raise BaseHTTPError(status, f"{error.code}: {error}") from error  # type: ignore[no-untyped-call]

    def list_nodes(self, *_: Any, **__: Any) -> list[Node]:
        with self.raising():
            return [self._node(seen) for seen in self.cloud.everything()]

    def ex_get_node(self, node_id: str) -> Node:
        """One node, as it is now."""
        with self.raising():
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
        with self.raising():
            if unknown:
                raise RefusalError(400, "UnknownParameter", f"no such parameter: {', '.join(sorted(unknown))}")
            order = Order(name, size.id, location.id, image.id, ex_token, dict(ex_tags or {}), ex_userdata)
            return self._node(self.cloud.create(order))

    def list_images(self, location: NodeLocation | None = None) -> list[NodeImage]:  # noqa: ARG002 - libcloud's signature
        return [NodeImage(name, name, self) for name in images.names(self.cloud.settings.images)]

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
