"""A libcloud driver for the dummy cloud, as honest as a driver of a real one: it raises what libcloud's drivers raise,
reads every page, and puts the cloud's own words into ``extra``."""

from __future__ import annotations

import datetime as dt
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError, MalformedResponseError
from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeLocation, NodeSize

from cloudmon.model.nodes import CommandResult, NodeEvent, PeerGroup
from cloudmon_providers._libcloud import own
from cloudmon_providers._libcloud.own import OwnDriver
from cloudmon_providers.dummy import words
from cloudmon_providers.dummy.catalogue import Shelf
from cloudmon_providers.dummy.faults import CloudFaultError, CloudRefusalError, Fault
from cloudmon_providers.dummy.machine import Machine
from cloudmon_providers.dummy.world import Order, World

_STATES = {word: own.THEIRS[state] for word, state in words.STATES.items()}


class DummyCloudDriver(OwnDriver):
    """libcloud's view of a :class:`~cloudmon_providers.dummy.world.World`."""

    name = "cloudmon's dummy cloud"
    type = "cloudmon_dummy"

    def __init__(self, world: World) -> None:
        super().__init__("dummy", world)
        self.world = world
        # The world keeps the nodes that it lists, and the connection its driver: with a firm hold on this one they
        # would keep a world that nobody else holds.
        self._myself: NodeDriver = weakref.proxy(self)
        self.connection.driver = self._myself

    @contextmanager
    def raising(self) -> Iterator[None]:
        """The world's refusals and faults as what libcloud's drivers raise for them."""
        try:
            yield
        except CloudRefusalError as refusal:
            raise BaseHTTPError(refusal.status, str(refusal)) from refusal  # type: ignore[no-untyped-call]
        except CloudFaultError as error:
            raise _as_libcloud(error.fault, error.retry_after_s) from error

    def list_nodes(self, *_: Any, **__: Any) -> list[Node]:
        nodes, following = self.ex_list_page()
        found = list(nodes)
        while following:
            nodes, following = self.ex_list_page(following)
            found.extend(nodes)
        return found

    def ex_list_page(self, begin: str = "") -> tuple[Sequence[Node], str]:
        """One page, and where the next one begins (empty: nowhere)."""
        with self.raising():
            return self.world.page(self._node, begin)

    def ex_get_node(self, node_id: str) -> Node:
        """One node, as it is now."""
        with self.raising():
            node: Node = self.world.get(self._node, node_id)
            return node

    def create_node(  # type: ignore[override]  # noqa: PLR0913 - libcloud's own signature, as drivers narrow it
        self,
        name: str,
        size: NodeSize,
        image: NodeImage,
        location: NodeLocation,
        ex_token: str = "",
        ex_tags: Mapping[str, str] | None = None,
        ex_userdata: str = "",
        ex_spot: bool = False,
        **unknown: object,
    ) -> Node:
        with self.raising():
            if unknown:
                raise CloudRefusalError(400, "UnknownParameter", f"no such parameter: {', '.join(sorted(unknown))}")
            shelf = Shelf(location.id, size.id, ex_spot)
            order = Order(name, shelf, image.id, ex_token, dict(ex_tags or {}), ex_userdata)
            node: Node = self.world.create(self._node, order)
            return node

    def ex_snapshot_node(self, node_id: str, name: str) -> str:
        """Keep what is on a node's volumes; the id of that."""
        with self.raising():
            return self.world.snapshot(node_id, name)

    def ex_forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        """Keep it no longer."""
        with self.raising():
            self.world.forget(node_id, name, kept)

    def ex_wall(self, verb: str, node_id: str) -> None:
        """``isolate_node`` or ``release_node``."""
        with self.raising():
            self.world.wall(verb, node_id)

    def ex_open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        """A group of peers and who is in it."""
        with self.raising():
            self.world.open_peers(group, joining, leaving)

    def ex_close_peers(self, name: str) -> None:
        """The end of a group."""
        with self.raising():
            self.world.close_peers(name)

    def ex_list_peers(self) -> list[PeerGroup]:
        """Every group."""
        with self.raising():
            return self.world.list_peers()

    def ex_start_command(self, node_id: str, argvs: Sequence[Sequence[str]]) -> str:
        """Run programs in a node, as far as one can see; the id of the whole."""
        with self.raising():
            return self.world.start_command(node_id, argvs)

    def ex_command_result(self, command_id: str) -> CommandResult | None:
        """What they came to."""
        with self.raising():
            return self.world.command_result(command_id)

    def ex_events(self) -> Sequence[NodeEvent]:
        """What the cloud tells and was not taken yet."""
        with self.raising():
            return self.world.events()

    def _node(self, machine: Machine, word: str) -> Node:
        extra = {
            "status": word,
            "tags": machine.tags,
            "location": machine.location,
            "size": machine.size,
            "image": machine.image,
            "spot": machine.spot,
            "volumes": machine.volumes,
            "isolated": machine.isolated,
            "peers": machine.peers,
        }
        created = dt.datetime.fromtimestamp(machine.created, dt.UTC)
        ended = word == words.TERMINATED
        if ended and machine.ended is not None:
            extra["ended"] = dt.datetime.fromtimestamp(machine.ended, dt.UTC)
        public, private = ([], []) if ended else (machine.public, machine.private)
        return Node(machine.id, machine.name, _STATES[word], public, private, self._myself, None, None, extra, created)


def _as_libcloud(fault: Fault, retry_after_s: float) -> Exception:
    if fault is Fault.OUTAGE:
        return requests.exceptions.ConnectionError("the dummy cloud is out")
    if fault is Fault.REJECTED:
        return InvalidCredsError("AuthFailure: the dummy cloud rejects these credentials")
    if fault is Fault.THROTTLE:
        return RateLimitReachedError(headers={"retry-after": str(retry_after_s)})  # type: ignore[no-untyped-call]
    if fault is Fault.SERVER_ERROR:
        return BaseHTTPError(500, "InternalError: the dummy cloud stumbled")  # type: ignore[no-untyped-call]
    if fault is Fault.MALFORMED:
        return MalformedResponseError("Failed to parse", body="<html>not the dummy cloud</html>")
    return requests.exceptions.ReadTimeout("the dummy cloud did not answer in time")
