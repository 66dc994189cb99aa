"""The channel over sockets: real requests, changed ones, ones without end; in the clear and with TLS."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mutated import bent
from spoken import Estate, Said, Speaker, believed
from structlog.testing import capture_logs

from cloudmon.api import channel as routes
from cloudmon.api import server as servers
from cloudmon.api.server import Server, serve_channel
from cloudmon.channel import configs, signing
from cloudmon.channel.authority import Authority, open_authority
from cloudmon.clock import SystemClock
from cloudmon.errors import SettingsError
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import ChannelSettings
from cloudmon.testing.guest_words import AFTER, BEFORE

MUTATIONS = 5_000
PATIENCE_S = 5.0


class Served:
    """An estate whose channel listens on a socket."""

    def __init__(self, authority: Authority | None = None) -> None:
        self.estate = Estate(settings=ChannelSettings(report_max_kib=64))
        app = routes.application(self.estate.channel)
        tls = None if authority is None else authority.context()
        self.server: Server = serve_channel(app, "127.0.0.1", 0, tls)

    @property
    def port(self) -> int:
        return self.server.port

    def close(self) -> None:
        self.estate.channel.close()
        self.server.stop()
        self.estate.store.close()

    def post(self, said: Said, **more: Any) -> httpx.Response:
        headers = [(name.decode(), value.decode()) for name, value in said.headers]
        url = f"http://127.0.0.1:{self.port}{said.path}"
        return httpx.post(url, content=said.body, headers=headers, timeout=30, trust_env=False, **more)

    def joined(self) -> Speaker:
        speaker = self.estate.speaker()
        speaker.enrolled(self.post(speaker.enrol()).json())
        return speaker


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def test_an_agent_enrols_reports_and_polls_over_a_socket(served: Served) -> None:
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    answer = served.post(said)
    assert answer.status_code == 200
    assert answer.json()["taken"] is True
    assert answer.headers["content-type"] == "application/json"
    assert believed(speaker.secret, said, 200, [(n.lower(), v) for n, v in answer.headers.raw], answer.content)
    assert served.post(speaker.say("poll", speaker.poll(0))).json()["commands"] == []


def test_refusals_say_nothing(served: Served) -> None:
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    served.post(said)
    for wrong in (said, said._replace(headers=[]), said._replace(headers=said.headers[:2])):
        answer = served.post(wrong)
        assert (answer.status_code, answer.content) == (401, b"")
        assert not {"signature", "www-authenticate", "server"} & set(answer.headers)
    answer = httpx.get(f"http://127.0.0.1:{served.port}/channel/v1/report", trust_env=False)
    assert (answer.status_code, answer.content) == (404, b"")


# --- bodies without end -------------------------------------------------------------------------------------------


def raw(served: Served, *pieces: bytes, most: int = 1 << 16) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # it hung up in the middle, which is its right
        found = b""
        try:
            while len(found) < most and (more := connection.recv(most)):
                found += more
        except OSError:
            pass
    return found


def lines(said: Said, *more: bytes) -> bytes:
    """The head of a request."""
    head = [b"POST %b HTTP/1.1" % said.path.encode(), b"host: x", b"connection: close"]
    head += [b"%b: %b" % pair for pair in said.headers]
    return b"\r\n".join([*head, *more, b"", b""])


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(served: Served) -> None:
    speaker = served.joined()
    for length in (64 * 1024 + 1, 10**11, 10**18):
        said = speaker.say("report", b"x")
        assert raw(served, lines(said, b"content-length: %d" % length)).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_its_length_is_cut_off(served: Served) -> None:
    speaker = served.joined()
    said = speaker.say("report", b"x")
    pieces = [b"%x\r\n%b\r\n" % (1 << 14, b"x" * (1 << 14))] * 40
    assert raw(served, lines(said, b"transfer-encoding: chunked"), *pieces).startswith(b"HTTP/1.1 413 ")


def test_a_report_in_pieces_is_taken(served: Served) -> None:
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (said.body[:7], said.body[7:100], said.body[100:])]
    answer = raw(served, lines(said, b"transfer-encoding: chunked"), *pieces, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"taken":true' in answer


def test_nobodys_body_is_read_before_his_head_was_verified(served: Served) -> None:
    """A million bytes of a stranger stay where they are."""
    said = served.estate.speaker().enrol()
    stranger = said._replace(headers=said.headers[:2])
    assert raw(served, lines(stranger, b"content-length: 1000000")).startswith(b"HTTP/1.1 401 ")


def test_a_body_that_does_not_come_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BODY_S", 0.05)
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(lines(said, b"content-length: 100") + b"{")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401 ")


def test_who_hangs_up_in_the_middle_harms_nobody(served: Served) -> None:
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    whole = lines(said, b"content-length: %d" % len(said.body)) + said.body
    for end in (10, 100, 300, len(whole) - 20):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
            connection.sendall(whole[:end])
    assert served.post(said).json()["taken"] is True


# --- changed requests ---------------------------------------------------------------------------------------------


async def _sent(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read(64)
    except (OSError, TimeoutError):
        return b""  # what is no HTTP, or never ends, has no answer
    finally:
        writer.close()


async def _all(port: int, requests: list[bytes], most: int = 24) -> list[bytes]:
    gate = asyncio.Semaphore(most)

    async def one(request: bytes) -> bytes:
        async with gate:
            return await _sent(port, request)

    return await asyncio.gather(*map(one, requests))


def changed(said: Said, rng: random.Random) -> bytes:
    """The request with one thing changed that its signature is about, as bytes for a socket."""
    target, body = said.path.encode(), said.body
    values = [value for _, value in said.headers]
    place = rng.randrange(6)
    if place == 0:
        while (other := bent(target, rng)).strip(b" \t\r\n").rstrip(b"?").partition(b"#")[0] == target:
            pass  # an empty query is none, and no server is told a fragment
        target = other
    elif place == 1:
        body = bent(body, rng)
    else:
        at = rng.randrange(3)
        while (other := bent(values[at], rng)).strip(b" \t\r\n") == values[at]:
            pass  # blanks around a value are not part of it
        values[at] = other
    names = [name for name, _ in said.headers]
    head = [b"POST %b HTTP/1.1" % target, b"host: x", b"connection: close", b"content-length: %d" % len(body)]
    head += [b"%b: %b" % pair for pair in zip(names, values, strict=True)]
    return b"\r\n".join([*head, b"", body])


def test_of_thousands_of_changed_requests_over_http_none_is_accepted(served: Served) -> None:
    rng = random.Random(11)
    speaker = served.joined()
    good = [speaker.say("report", speaker.full(BEFORE if at % 2 else AFTER)) for at in range(4)]
    good += [speaker.say("poll", speaker.poll(0)) for _ in range(4)]
    requests = [changed(good[at % len(good)], rng) for at in range(MUTATIONS)]
    with capture_logs() as logs:
        answers = asyncio.run(_all(served.port, requests))
    assert {answer[9:12] for answer in answers} <= {b"401", b"404", b"400", b""}
    assert sum(not answer for answer in answers) < MUTATIONS / 100
    assert not [line for line in logs if line["log_level"] == "error"]
    assert served.estate.told == []
    assert [served.post(said).status_code for said in good] == [200] * len(good)


def test_bytes_changed_anywhere_upset_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed framing too: what comes in is then at most the request as it was signed, once."""
    monkeypatch.setattr(routes, "BODY_S", 0.2)
    monkeypatch.setitem(globals(), "PATIENCE_S", 0.5)
    rng = random.Random(12)
    speaker = served.joined()
    said = speaker.say("report", speaker.full())
    whole = lines(said, b"content-length: %d" % len(said.body)) + said.body
    with capture_logs() as logs:
        answers = asyncio.run(_all(served.port, [bent(whole, rng) for _ in range(1_000)]))
    assert {answer[9:10] for answer in answers if answer} <= {b"2", b"4"}
    assert sum(answer[9:12] == b"200" for answer in answers) <= 1
    assert not [line for line in logs if line["log_level"] == "error"]
    assert served.post(speaker.say("poll", speaker.poll(0))).status_code == 200


def test_the_measure_sees_a_channel_that_does_not_look(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(13)
    speaker = served.joined()
    said = speaker.say("poll", speaker.poll(0))
    monkeypatch.setattr(signing, "request_fits", lambda *_, **__: True)
    answers = asyncio.run(_all(served.port, [changed(said, rng) for _ in range(100)]))
    assert any(answer[9:12] == b"200" for answer in answers)


# --- TLS and the end ----------------------------------------------------------------------------------------------


def test_with_tls_the_channel_is_trusted_by_its_authority_alone(tmp_path: Path) -> None:
    authority = open_authority(tmp_path, ["127.0.0.1"], SystemClock().now())
    served = Served(authority)
    try:
        url = f"https://127.0.0.1:{served.port}/channel/v1/agent.pyz"
        trusts = ssl.create_default_context(cadata=authority.ca_pem.decode())
        assert httpx.get(url, verify=trusts, trust_env=False).content == b"PK"
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, verify=ssl.create_default_context(), trust_env=False)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url.replace("https", "http"), trust_env=False)
    finally:
        served.close()


def test_the_authoritys_certificate_is_shown_to_anybody(tmp_path: Path) -> None:
    authority = open_authority(tmp_path, ["127.0.0.1"], SystemClock().now())
    served = Served()
    try:
        served.estate.channel._authority = authority
        found = httpx.get(f"http://127.0.0.1:{served.port}/channel/v1/ca.pem", trust_env=False)
        assert found.content == authority.ca_pem
        assert served.estate.channel.token(served.estate.id(), 1).split(".")[1] == authority.ca_hash
    finally:
        served.close()


def test_who_waits_is_let_go_when_the_channel_ends(served: Served) -> None:
    async def story() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(lines(said, b"content-length: %d" % len(said.body)) + said.body)
        while not served.estate.channel.waiting:
            await asyncio.sleep(0.01)
        await asyncio.get_running_loop().run_in_executor(None, served.estate.channel.close)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()

    speaker = served.joined()
    found = served.estate.store.sets.get(EVERYONE, served.estate.aset.uid)
    assert found is not None
    speaker.config = configs.of_template(found.spec.template).hash
    said = speaker.say("poll", speaker.poll(50))
    asyncio.run(story())
    served.server.stop()
    assert not served.server.alive


def test_an_address_that_cannot_be_had_is_a_wrong_setting(served: Served) -> None:
    with pytest.raises(SettingsError, match=f"127.0.0.1:{served.port}") as caught:
        servers.serve_channel(routes.application(served.estate.channel), "127.0.0.1", served.port, None)
    assert caught.value.key == "channel.port"


def test_a_thread_that_computes_gives_way_to_answers_sooner_than_python_makes_it() -> None:
    pythons_own = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    served = Served()
    try:
        assert sys.getswitchinterval() == pytest.approx(servers.TURN_S)
    finally:
        served.close()
        sys.setswitchinterval(pythons_own)
