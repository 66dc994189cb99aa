"""A call whose answer is lost is sent once, whatever the environment tells libcloud."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from libcloud.common.base import Connection
from libcloud.compute.base import Node as DriverNode
from libcloud.compute.base import NodeDriver

from cloudmon.errors import Unreachable
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon_providers._libcloud import Dialect, LibcloudProvider

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
TOKEN = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
REQUEST = NodeRequest(
    str(TOKEN),
    "web-1",
    Offer("east", "small", "here", 1, 1024, 10),
    "img",
    dict(ownership_tags(TOKEN, set_name="web", tenant="default")),
)


class Driver(NodeDriver):
    """libcloud's own connection, to a cloud on this machine."""

    connectionCls = Connection  # noqa: N815 - libcloud's name

    def __init__(self, port: int, timeout_s: float = 30) -> None:
        self.connection: Any = Connection(
            secure=False, host="127.0.0.1", port=port, timeout=timeout_s, retry_delay=0.05
        )

    def create_node(self, **arguments: Any) -> DriverNode:
        self.connection.request("/nodes", method="POST", data="one more")
        raise AssertionError("answered")


class Cloud(LibcloudProvider):
    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__("east", now=lambda: NOW, driver_class=Driver, dialect=Dialect(honours_tokens=True))

    def connect(self) -> Driver:
        return Driver(self.port)


class Deaf:
    """Takes every request and answers none."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.port: int = listening.getsockname()[1]
        self.taken: list[bytes] = []

    def take(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                self.taken.append(connection.recv(65_536).partition(b" ")[0])


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Deaf(listening)
        threading.Thread(target=found.take, daemon=True).start()
        yield found


@pytest.mark.parametrize("environment", ["", "1"], ids=["as it is", "told to retry"])
def test_a_create_is_sent_once(deaf: Deaf, monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", environment)
    with pytest.raises(Unreachable) as caught:
        Cloud(deaf.port).create_node(REQUEST)
    assert not caught.value.definite
    assert deaf.taken == [b"POST"]


def test_libcloud_itself_would_send_it_again(deaf: Deaf, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the law above can fail."""
    monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "1")
    with pytest.raises(OSError, match="Remote end closed|reset|aborted"):
        Driver(deaf.port, timeout_s=1).create_node()
    assert len(deaf.taken) > 1
