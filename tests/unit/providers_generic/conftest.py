"""A driver of no cloud: keeps its nodes in memory, and can be told what to leave out."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from libcloud.compute.base import Node, NodeDriver, NodeImage, NodeLocation, NodeSize
from libcloud.compute.types import NodeState

from cloudmon_providers.generic import GenericProvider
from cloudmon_providers.generic.options import GenericOptions

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)


class ShelfDriver(NodeDriver):
    """What a driver of libcloud looks like, shelf included."""

    name = "Shelf"

    def __init__(self, key: str, secret: str | None = None, region: str = "here", **named: Any) -> None:
        self.key, self.secret, self.region, self.named = key, secret, region, named
        self.shelf: list[Node] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.connection = types.SimpleNamespace(timeout=None, request=None)  # type: ignore[assignment]

    def list_nodes(self, **arguments: Any) -> list[Node]:
        self.asked.append(("list_nodes", arguments))
        return list(self.shelf)

    def list_sizes(self, location: NodeLocation | None = None) -> list[NodeSize]:
        extra = {"vcpus": 2}
        return [
            NodeSize("s1", "small", 2_048, 20, 1, 0.05, self, extra),
            NodeSize("s2", "big", 8_192, 80, 1, 0.0, self, extra),
        ]

    def list_locations(self) -> list[NodeLocation]:
        self.asked.append(("list_locations", {}))
        return [NodeLocation("1", "north", "", self), NodeLocation("2", "south", "", self)]

    def list_images(self, location: NodeLocation | None = None) -> list[NodeImage]:
        return [NodeImage("img", "an image", self)]

    def create_node(  # type: ignore[override]
        self,
        name: str,
        size: NodeSize,
        image: NodeImage,
        location: NodeLocation | None = None,
        ex_metadata: dict[str, str] | None = None,
        ex_tags: list[str] | None = None,
        ex_network: Any = None,
        ex_userdata: str | None = None,
    ) -> Node:
        arguments = {key: value for key, value in locals().items() if key not in ("self", "name")}
        self.asked.append(("create_node", {"name": name, **arguments}))
        extra = {"metadata": ex_metadata or {}, "tags": ex_tags or []}
        self.shelf.append(Node(f"n{len(self.shelf)}", name, NodeState.RUNNING, [], [], self, size, image, extra))
        return self.shelf[-1]

    def destroy_node(self, node: Node) -> bool:
        self.shelf = [found for found in self.shelf if found.id != node.id]
        return True

    def ex_write_tags(self, resource: Node, tags: dict[str, str]) -> bool:
        self.asked.append(("ex_write_tags", {"resource": resource.id, "tags": tags}))
        for node in self.shelf:
            if node.id == resource.id:
                node.extra["metadata"] = {**node.extra["metadata"], **tags}
        return True

    def ex_stop_node(self, node: Node) -> None:
        self.asked.append(("ex_stop_node", {"node": node}))

    def ex_pause_node(self, node: Node) -> None:
        self.asked.append(("ex_pause_node", {"node": node}))

    def ex_unpause_node(self, node: Node) -> None:
        self.asked.append(("ex_unpause_node", {"node": node}))


Make = Callable[..., GenericProvider]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The importable module with the driver; tests may put other drivers into it."""
    module = types.ModuleType("shelf_drivers")
    module.Shelf = ShelfDriver  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shelf_drivers", module)
    return module


@pytest.fixture
def make(shelf: types.ModuleType) -> Make:
    """Makes a provider over the driver; options can be given by name."""

    def provider(**options: object) -> GenericProvider:
        given = {
            "driver": "shelf_drivers:Shelf",
            "key": "the-key",
            "fields": {"tags": "extra.metadata"},
            "create": {"ex_metadata": "{tags}"},
            "location_by": "name",
            **options,
        }
        return GenericProvider("shelf", GenericOptions.model_validate(given), now=lambda: NOW, timeout_s=7)

    return provider


@dataclass
class Api:
    """A cloud's JSON API: what it answers by method and path, and what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def bodies(self, route: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == route]


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            route = f"{self.command} {self.path.split('?')[0]}"
            found.asked.append((route, json.loads(body) if body else None))
            status, answer = found.answers.get(route, (404, {"message": "no such route"}))
            text = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()
