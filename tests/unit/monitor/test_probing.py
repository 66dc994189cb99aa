"""Asking appliances over the network: what an answer is, and who is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Collection, Iterator

import pytest

from cloudmon.clock import SystemClock
from cloudmon.model.identity import ApplianceId
from cloudmon.model.probes import Probe
from cloudmon.monitor.outside import Target
from cloudmon.monitor.probing import Prober, asked

SHOP = ApplianceId("set", 1)
SOON_S = 5.0


@contextlib.contextmanager
def answering(*answers: bytes | None, host: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """A port that gives one answer a connection, the last again and again (None: none ever), and what it was asked."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    heard: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        left = list(answers)
        while True:
            try:
                talking, _ = listening.accept()
            except OSError:
                return
            answer = left.pop(0) if len(left) > 1 else left[0]
            heard.append(talking.recv(4_096))
            if answer is None:
                held.append(talking)
                continue
            with talking, contextlib.suppress(OSError):
                talking.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in held:
            one.close()


def page(port: int, **other: object) -> Probe:
    return Probe(port=port, path="/health", timeout_s=2, **other)  # type: ignore[arg-type]


def wrong(probe: Probe, address: str = "127.0.0.1") -> str:
    return asyncio.run(asked(probe, address))


# --- one question -----------------------------------------------------------------------------------------------------


def test_a_port_that_accepts_a_connection_is_well_and_one_that_refuses_is_not() -> None:
    with answering(b"") as (port, _):
        assert wrong(Probe(tcp=port)) == ""
    assert wrong(Probe(tcp=port)) == "connection refused"


def test_a_page_is_asked_for_as_itself_and_well_with_its_status() -> None:
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, heard):
        assert wrong(page(port, status=204)) == ""
        assert wrong(page(port)) == "answered with status 204, not 200"
    assert heard[0].startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (elsewhere, heard):
        away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\n\r\n" % elsewhere
        with answering(away) as (port, _):
            assert wrong(page(port)) == "answered with status 302, not 200"
    assert heard == []


def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        assert wrong(page(port)) == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answered does not speak HTTP"),
        (b"x" * 1_000_000, "what answered does not speak HTTP"),
        (b"", "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, ""),
    ],
    ids=["another protocol", "a flood", "nothing", "a large page"],
)
def test_nothing_but_the_first_line_is_read(answer: bytes, expected: str) -> None:
    with answering(answer) as (port, _):
        assert wrong(page(port)) == expected


def test_who_does_not_answer_in_time_is_not_well() -> None:
    with answering(None) as (port, _):
        assert wrong(Probe(port=port, path="/", timeout_s=0.05)) == "no answer within 0.05 s"


def test_an_address_of_ip_6_is_asked_as_well() -> None:
    try:
        with answering(b"HTTP/1.1 200 OK\r\n\r\n", host="::1") as (port, heard):
            assert wrong(page(port), "::1") == ""
            assert b"Host: [::1]:%d\r\n" % port in heard[0]
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_what_is_wrong_with_this_machine_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    async def ask() -> str:
        monkeypatch.setattr(socket, "socket", full)  # the loop has its own by now
        try:
            return await asked(Probe(tcp=80), "127.0.0.1")
        finally:
            monkeypatch.undo()

    with pytest.raises(OSError, match="Too many open files"):
        asyncio.run(ask())


# --- again and again --------------------------------------------------------------------------------------------------

News = queue.Queue[Collection[ApplianceId]]


@pytest.fixture
def news() -> News:
    return queue.Queue()


@pytest.fixture
def prober(news: News) -> Iterator[Prober]:
    found = Prober(SystemClock(), news.put, chance=lambda: 0.5)
    yield found
    found.close(SOON_S)


def target(port: int, incarnation: int = 1, interval_s: float = 0.02, timeout_s: float = 2) -> Target:
    probe = Probe(tcp=port, interval_s=interval_s, timeout_s=timeout_s)
    return Target(SHOP, "web", incarnation, probe, "127.0.0.1")


def until(condition: Callable[[], bool]) -> None:
    """Looks often; a condition that never comes true fails."""
    waiting = threading.Event()
    for _ in range(int(SOON_S / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to be")


def test_a_first_answer_is_news_and_the_same_once_more_is_not(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        assert news.get(timeout=SOON_S) == {SHOP}
        first = prober.answers(SHOP)["web"]
        assert (first.ok, first.error, first.incarnation, first.address) == (True, "", 1, "127.0.0.1")
        until(lambda: prober.answers(SHOP)["web"].at > first.at)
        assert prober.answers(SHOP)["web"].since == first.since
    assert news.empty()


def test_each_failure_is_news_for_as_long_as_rules_look_back(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        news.get(timeout=SOON_S)
    for _ in range(3):
        assert news.get(timeout=SOON_S) == {SHOP}
    found = prober.answers(SHOP)["web"]
    assert (found.ok, found.error) == (False, "connection refused")


def test_what_a_former_node_said_is_forgotten(prober: Prober, news: News) -> None:
    with answering(b"") as (port, _):
        prober.aim([target(port)])
        news.get(timeout=SOON_S)
        prober.aim([target(port, incarnation=2)])
        assert prober.answers(SHOP).get("web") is None or prober.answers(SHOP)["web"].incarnation == 2
        news.get(timeout=SOON_S)
        assert prober.answers(SHOP)["web"].incarnation == 2
        prober.aim([])
        assert prober.answers(SHOP) == {}


def test_the_end_does_not_wait_for_who_does_not_answer(prober: Prober) -> None:
    with answering(None) as (port, heard):
        slow = Target(SHOP, "web", 1, Probe(port=port, path="/", timeout_s=60, interval_s=60), "127.0.0.1")
        prober.aim([slow])
        until(lambda: bool(heard))
        prober.close(SOON_S)
        assert not any(one.name == "probes" for one in threading.enumerate())


def test_no_more_are_asked_at_a_time_than_may_be(news: News) -> None:
    prober = Prober(SystemClock(), news.put, at_once=2, chance=lambda: 0.0)
    with answering(None) as (port, heard):
        probe = Probe(port=port, path="/", timeout_s=0.2, interval_s=60)
        prober.aim([Target(ApplianceId("set", n), "web", 1, probe, "127.0.0.1") for n in range(1, 5)])
        until(lambda: len(heard) == 2)
        assert prober.answers(ApplianceId("set", 1)) == {}
        until(lambda: len(heard) == 4)
        prober.close(SOON_S)
