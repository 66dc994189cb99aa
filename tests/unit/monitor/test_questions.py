"""One question to an appliance over the network: what an answer is, and what is wrong with it."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from dataclasses import replace

import pytest
from asked_of import answering
from receivers import certificate

from cloudmon.model.probes import Probe, Tls
from cloudmon.monitor.questions import Answer, asked


def page(port: int, **other: object) -> Probe:
    return Probe(port=port, path="/health", timeout_s=2, **other)  # type: ignore[arg-type]


def wrong(probe: Probe, address: str = "127.0.0.1") -> str:
    return asyncio.run(asked(probe, address)).error


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
            return (await asked(Probe(tcp=80), "127.0.0.1")).error
        finally:
            monkeypatch.undo()

    with pytest.raises(OSError, match="Too many open files"):
        asyncio.run(ask())


# --- by TLS -----------------------------------------------------------------------------------------------------------

WELL = b"HTTP/1.1 200 OK\r\n\r\n"
END = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=36_500)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's TLS for shop.example and 127.0.0.1, and the authority to believe it by."""
    tls, file = certificate(tmp_path_factory.mktemp("tls"), ["shop.example", "127.0.0.1"])
    return tls, file.read_text(encoding="utf-8")


def by_tls(port: int, ca: str = "", *, verify: bool = True, host: str = "") -> Answer:
    return asyncio.run(asked(page(port, host=host, tls=Tls(verify, ca)), "127.0.0.1"))


def test_a_good_certificate_is_one_for_the_name_or_for_the_address(shown: tuple[ssl.SSLContext, str]) -> None:
    tls, ca = shown
    named: list[str | None] = []
    tls.sni_callback = lambda _, name, __: named.append(name)
    with answering(WELL, tls=tls) as (port, heard):
        assert by_tls(port, ca) == Answer("", END)
        assert by_tls(port, ca, host="shop.example") == Answer("", END)
    assert named == [None, "shop.example"]
    assert heard[0].startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
    assert b"Host: shop.example:%d\r\n" % port in heard[1]


def test_a_certificate_that_is_not_believed_is_wrong_and_is_not_asked_anything(
    shown: tuple[ssl.SSLContext, str],
) -> None:
    tls, ca = shown
    with answering(WELL, tls=tls) as (port, heard):
        assert by_tls(port) == Answer("its certificate is not accepted: self-signed certificate")
        other = by_tls(port, ca, host="else.example")
    assert other.error == (
        "its certificate is not accepted: hostname mismatch, certificate is not valid for 'else.example'"
    )
    assert other.certificate_until is None
    assert heard == []


def test_whoever_believes_anybody_is_still_told_when_the_certificate_ends(shown: tuple[ssl.SSLContext, str]) -> None:
    with answering(WELL, tls=shown[0]) as (port, _):
        assert by_tls(port, verify=False, host="else.example") == Answer("", END)


def test_what_is_wrong_with_the_answer_does_not_hide_the_certificate(shown: tuple[ssl.SSLContext, str]) -> None:
    tls, ca = shown
    with answering(b"HTTP/1.1 302 Found\r\n\r\n", b"", b"x" * 100_000, tls=tls) as (port, _):
        assert by_tls(port, ca) == Answer("answered with status 302, not 200", END)
        assert by_tls(port, ca) == Answer("the connection was closed without an answer", END)
        assert by_tls(port, ca) == Answer("what answered does not speak HTTP", END)


def test_who_speaks_no_tls_or_says_nothing_is_told_apart(shown: tuple[ssl.SSLContext, str]) -> None:
    with answering(WELL) as (port, _):
        assert by_tls(port).error == "what answered does not speak TLS"
    with answering(b"") as (port, _):
        assert by_tls(port).error == "the connection was closed without an answer"
    with answering(None) as (port, _):
        slow = replace(page(port, tls=Tls()), timeout_s=0.05)
        assert wrong(slow) == "no answer within 0.05 s"
