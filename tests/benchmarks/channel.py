"""The appliance channel: reports stored each second, what a full report costs, agents that wait, mutated requests.

One process serves, on SQLite on disk as a service does; another is all the agents. Both share this machine's
processors, so the agents' work is kept small: everything but the signature is made beforehand.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figures import Figure

AGENTS = 500
CONNECTIONS = 200
RATE = 1_600.0
"""Reports a second that the agents send, answered or not."""
SECONDS = 60.0
WAITING = 10_000
MUTATIONS = 1_000_000
FULL_CONNECTIONS = 8
STORED = AGENTS
"""Agents with a row in the store; those beyond only wait, and stand where the channel keeps agents in memory."""
AHEAD_S = 2.0


def figures(
    folder: Path,
    *,
    agents: int = AGENTS,
    connections: int = CONNECTIONS,
    rate: float = RATE,
    seconds: float = SECONDS,
    waiting: int = WAITING,
) -> Iterator[Figure]:
    """In the clear and with TLS: reports a second and how long they take, a full report, agents that wait."""
    for tls in (False, True):
        how = "with TLS" if tls else "in the clear"
        with Served(folder / f"tls-{tls}", agents=max(agents, waiting), tls=tls) as told:
            before = children.cpu_s(told["pid"])
            load = {"agents": agents, "connections": connections, "rate": rate, "seconds": seconds}
            said = children.ask("channel", "reports", told=told, **load)
            cpu_s = children.cpu_s(told["pid"]) - before
            cost = (
                f"server: {cpu_s / said['seconds']:.0%} of a processor, {cpu_s / said['reports'] * 1_000:.2f} ms each"
            )
            yield Figure(
                f"reports of 1 KB taken and stored, {how}",
                said["reports"] / said["seconds"],
                "/s",
                1_500,
                at_least=True,
                beside=f"{said['reports']:,} over {connections} connections; {cost}",
            )
            yield Figure(
                f"99 of a hundred of them, {how}, within", said["p99_s"] * 1_000, "ms", 100,
                beside=f"half within {said['p50_s'] * 1_000:.0f} ms, all within {said['max_s'] * 1_000:.0f} ms",
            )  # fmt: skip
            said = children.ask("channel", "fulls", told=told, agents=agents, seconds=min(seconds, 10.0))
            yield Figure(
                f"full report of 45 KB, {how}: processor time", said["cpu_s"] / said["reports"] * 1_000, "ms", 5,
                beside=f"{said['reports']:,} of {said['bytes']:,} bytes over {FULL_CONNECTIONS} connections",
            )  # fmt: skip
            empty = children.resident_mib(told["pid"])
            words = json.dumps({"told": told, "agents": waiting})
            with children.running([sys.executable, "-m", "tests.benchmarks.channel", "wait", words]) as them:
                held = int((them.stdout.readline() if them.stdout else "") or 0)
                resident = children.resident_mib(told["pid"])
            yield Figure(
                f"{held:,} agents that wait for a command, {how}: resident", resident, "MiB", 700,
                beside=f"{empty:.0f} MiB before",
            )  # fmt: skip


def mutations(_folder: Path, *, requests: int = MUTATIONS) -> Iterator[Figure]:
    """How many mutated requests the verifier lets through: none."""
    from tests.support import mutated

    began = time.process_time()
    passed = mutated.let_through(requests, random.Random(requests))
    took = time.process_time() - began
    yield Figure(
        f"of {requests:,} mutated requests the verifier accepts", passed, "", 0.0,
        beside=f"{requests / took:,.0f} a second",
    )  # fmt: skip


# --- the server ---------------------------------------------------------------------------------------------------


class Served:
    """A process that serves a channel for so many agents, and what its agents must know."""

    def __init__(self, folder: Path, *, agents: int, tls: bool) -> None:
        folder.mkdir(parents=True)
        told = json.dumps({"folder": str(folder), "agents": agents, "tls": tls})
        self._running = children.running([sys.executable, "-m", "tests.benchmarks.channel", "serve", told])

    def __enter__(self) -> dict[str, Any]:
        process = self._running.__enter__()
        told = json.loads(process.stdout.readline() if process.stdout else "{}")
        time.sleep(AHEAD_S + 1.5)  # it takes nothing that a predecessor may have taken
        return {**told, "pid": process.pid}

    def __exit__(self, *error: Any) -> None:
        self._running.__exit__(*error)


def serve(folder: str, agents: int, tls: bool) -> None:
    """Be a service's channel, on a store of its own, until this process is ended."""
    import datetime as dt

    from cloudmon.api import channel as routes
    from cloudmon.api import server
    from cloudmon.channel import keys
    from cloudmon.channel.authority import open_authority
    from cloudmon.channel.channel import Channel
    from cloudmon.clock import SystemClock
    from cloudmon.engine import collection
    from cloudmon.model.guests import Agent, Enrolment
    from cloudmon.model.identity import ApplianceId
    from cloudmon.model.sets import SetSpec, Template
    from cloudmon.settings import ChannelSettings
    from cloudmon.store import open_store

    collection.seldom()  # as the command does
    clock = SystemClock()
    now = clock.now()
    place = Path(folder)
    store = open_store(f"sqlite:///{place}/cloudmon.db", log_key=b"k" * 32, anchor_dir=place, now=now)
    owner = store.monitors.begin(host="h", pid=1, now=now)
    spec = SetSpec("storefront", agents, Template("web", {"*": "image-1"}))
    uid = store.sets.put(owner, uid=None, spec=spec, author="file:x", now=now).uid
    for at in range(1, agents + 1):
        appliance = ApplianceId(uid, at)
        agent = Agent(appliance, "default", 1, f"{at:032x}", "0.1.0", now, 1)
        enrolment = Enrolment(f"a-{uid}-{at}-1", appliance, "default", 1, "x", now, now + dt.timedelta(minutes=15))
        if at <= STORED:
            store.agents.enrol(owner, agent, enrolment=enrolment, now=now)
    authority = open_authority(place / "channel", ["127.0.0.1"], now) if tls else None
    key = b"a key of thirty-two bytes, longer"
    channel = Channel(store, lambda: owner, clock, ChannelSettings(), key, authority, lambda _reports: None)
    for at in range(STORED + 1, agents + 1):
        appliance = ApplianceId(uid, at)
        channel.roster._agents[appliance] = Agent(appliance, "default", 1, f"{at:032x}", "0.1.0", now, 1)
    listening = server.serve_channel(
        routes.application(channel), "127.0.0.1", 0, authority.context() if authority is not None else None
    )
    them = []
    for at in range(1, agents + 1):
        found = keys.new(ApplianceId(uid, at), 1, 1, now=int(now.timestamp()))
        them.append([found.id, keys.secret_of(key, found.id).hex(), f"{at:032x}"])
    (place / "agents.json").write_text(json.dumps(them))
    ca = str(place / "channel" / "ca.pem") if tls else ""
    sys.stdout.write(json.dumps({"port": listening.port, "agents": str(place / "agents.json"), "ca": ca}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


# --- the agents ---------------------------------------------------------------------------------------------------


class Voice(asyncio.Protocol):
    """One connection, on which agents speak in turn. Says when it is free for the next."""

    def __init__(self, on_free: Callable[[Voice], None]) -> None:
        self._on_free = on_free
        self._received = b""
        self.took: list[float] = []
        self.wrong = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._on_free(self)

    def say(self, request: bytes, due: float) -> None:
        """Send a request that was due at that instant."""
        self._due = due
        self._transport.write(request)

    def leave(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.index(b"content-length: ") + 16
        length = int(head[at : head.index(b"\r\n", at)])
        if len(rest) < length:
            return
        self.took.append(time.perf_counter() - self._due)
        self.wrong += not (head.startswith(b"HTTP/1.1 200") and b'"taken":true' in rest)
        self._received = b""
        self._on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Crowd:
    """Agents that report at a rate of their own, whether or not they are answered in time: what has to wait for a free
    connection has been waiting since it was due."""

    def __init__(self, agents: list[Any], config: str, rate: float, seconds: float) -> None:
        self._turns = {at: _turns(agent, config) for at, agent in enumerate(agents)}
        self._agents = agents
        self._free: deque[Voice] = deque()
        self._of: dict[Voice, list[int]] = {}
        self._rate = rate
        self._most = int(rate * seconds)
        self._due = self._sent = 0
        self.began = 0.0
        self.voices: list[Voice] = []

    async def report(self, port: int, connections: int, context: ssl.SSLContext | None) -> None:
        """Connect, report, and end."""
        loop = asyncio.get_running_loop()
        for at in range(connections):
            _, voice = await loop.create_connection(lambda: Voice(self._free.append), "127.0.0.1", port, ssl=context)
            self._of[voice] = list(range(at, len(self._agents), connections))
            self.voices.append(voice)
        # Each agent's first words come before the clock runs: a service that has just begun is measured elsewhere.
        await self._speak(len(self._agents) * 2, self._rate / 4)
        for voice in self.voices:
            voice.took.clear()
        await self._speak(self._most, self._rate)
        for voice in self.voices:
            voice.leave()

    async def _speak(self, count: int, rate: float) -> None:
        self._due, self._sent = count, 0
        self.began = time.perf_counter()
        while self._sent < count:
            self._go(rate)
            await asyncio.sleep(0.001)
        while len(self._free) < len(self.voices):
            await asyncio.sleep(0.001)

    def _go(self, rate: float) -> None:
        now = time.perf_counter()
        while self._free and self._sent < self._due:
            due = self.began + self._sent / rate
            if due > now:
                return
            self._sent += 1
            voice = self._free.popleft()
            mine = self._of[voice]
            mine.append(mine.pop(0))
            voice.say(_request("/channel/v1/report", self._agents[mine[0]], next(self._turns[mine[0]])), due)


def _request(path: str, agent: Any, body: bytes) -> bytes:
    from cloudmon.channel import signing

    key_id, secret, _ = agent
    nonce = f"{random.getrandbits(128):032x}"
    headers = signing.sign_request(
        bytes.fromhex(secret), key_id, method="POST", path=path, body=body, created=int(time.time()), nonce=nonce
    )
    lines = [b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % (path.encode(), len(body))]
    lines += [b"%b: %b\r\n" % pair for pair in headers]
    return b"".join([*lines, b"\r\n", body])


def _content(agent: Any, seq: int, **other: Any) -> dict[str, Any]:
    return {
        "v": 1, "instance": agent[2], "boot": "b1", "seq": seq, "at": time.time(), "offset_s": 0.0, "version": "0.1.0",
        "why": "interval", "config": "", "results": [], **other,
    }  # fmt: skip


def _processes(turn: int, count: int) -> dict[str, Any]:
    return {
        str(1_000 + at): {
            "name": f"worker-{at}", "user": "www-data", "command": f"/usr/sbin/nginx: worker process {at}",
            "state": "S", "since": 1_790_000_000 + at, "cpu": round(0.01 * ((turn + at) % 90), 2),
            "rss_mib": 40 + (turn * 7 + at) % 200,
        }
        for at in range(count)
    }  # fmt: skip


def _turns(agent: Any, config: str) -> Iterator[bytes]:
    """A full report, then differences of about 1 KB that build on each other. Their hashes are as good as true ones:
    what a state is hashed to is the agent's own time, not the server's."""
    import hashlib

    from cloudmon.model import states

    sections = {"processes": _processes(0, 6)}
    before = states.state_hash(sections)
    body = _content(agent, 1, kind="full", base="", hash=before, sections=sections)
    yield json.dumps({**body, "config": config}).encode()
    seq = 1
    while True:
        seq += 1
        after = hashlib.sha256(b"%s %d" % (agent[0].encode(), seq)).hexdigest()
        body = _content(
            agent, seq, kind="diff", base=before, hash=after, sections={"processes": {"set": _processes(seq, 4)}}
        )
        yield json.dumps({**body, "config": config}).encode()
        before = after


def reports(told: dict[str, Any], agents: int, connections: int, rate: float, seconds: float) -> dict[str, Any]:
    """Agents that report at their rate; how many were taken a second, and how long each took since it was due."""
    return asyncio.run(_reports(told, Crowd(_agents(told, agents), _config(), rate, seconds), connections))


def _agents(told: dict[str, Any], count: int) -> list[Any]:
    found: list[Any] = json.loads(Path(told["agents"]).read_text())
    return found[:count]


async def _reports(told: dict[str, Any], crowd: Crowd, connections: int) -> dict[str, Any]:
    await crowd.report(told["port"], connections, _trust(told))
    ended = time.perf_counter()
    took = sorted(one for voice in crowd.voices for one in voice.took)
    wrong = sum(voice.wrong for voice in crowd.voices)
    if wrong:
        raise RuntimeError(f"{wrong} of {len(took)} reports were not taken")
    return {
        "reports": len(took),
        "seconds": ended - crowd.began,
        "p50_s": took[len(took) // 2],
        "p99_s": took[len(took) * 99 // 100],
        "max_s": took[-1],
    }


def _config() -> str:
    """Hash of the configuration in force, so that no reply brings it."""
    from cloudmon.channel import configs
    from cloudmon.model.sets import Template

    return configs.of_template(Template("web", {"*": "image-1"})).hash


def fulls(told: dict[str, Any], agents: int, seconds: float) -> dict[str, Any]:
    """Agents send full reports of 45 KB; the server's processor time for them."""
    return asyncio.run(_fulls(told, _agents(told, agents), seconds))


async def _fulls(told: dict[str, Any], agents: list[Any], seconds: float) -> dict[str, Any]:
    from cloudmon.model import states

    config = _config()
    packages = {
        f"lib{name}-dev": {"version": f"1.{name % 40}.{name % 7}-2+deb12u1", "arch": "amd64", "manager": "dpkg"}
        for name in range(388)
    }
    sections = {"packages": packages, "processes": _processes(0, 100)}
    stop = time.perf_counter() + seconds
    sent = {"bytes": 0, "turn": 0}

    def next_one(voice: Voice) -> None:
        if time.perf_counter() >= stop:
            voice.leave()
            return
        agent = agents[sent["turn"] % len(agents)]
        sent["turn"] += 1
        content = _content(
            agent, 1_000_000 + sent["turn"], kind="full", base="", hash=states.state_hash(sections), sections=sections
        )  # fmt: skip
        content["config"] = config
        body = json.dumps(content, separators=(",", ":")).encode()
        sent["bytes"] = len(body)
        voice.say(_request("/channel/v1/report", agent, body), time.perf_counter())

    before = children.cpu_s(told["pid"])
    context = _trust(told)
    voices = []
    for _ in range(FULL_CONNECTIONS):
        loop = asyncio.get_running_loop()
        voices.append(
            (await loop.create_connection(lambda: Voice(next_one), "127.0.0.1", told["port"], ssl=context))[1]
        )
    await asyncio.gather(*(voice.ended for voice in voices))
    taken, wrong = sum(len(voice.took) for voice in voices), sum(voice.wrong for voice in voices)
    if wrong:
        raise RuntimeError(f"{wrong} of {taken} full reports were not taken")
    return {"reports": taken, "bytes": sent["bytes"], "cpu_s": children.cpu_s(told["pid"]) - before}


def _trust(told: dict[str, Any]) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=told["ca"]) if told["ca"] else None


def wait(told: dict[str, Any], agents: int) -> None:
    """Be all the agents, each waiting for a command; says how many when they do."""
    asyncio.run(_wait(told, _agents(told, agents)))


async def _wait(told: dict[str, Any], agents: list[Any]) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    config = _config()
    context = _trust(told)
    held = []
    for agent in agents:
        held.append((agent, *await asyncio.open_connection("127.0.0.1", told["port"], ssl=context)))
    body = json.dumps({"v": 1, "wait_s": 55, "config": config, "have": []}).encode()
    for agent, _, writer in held:
        writer.write(_request("/channel/v1/poll", agent, body))
    await asyncio.sleep(10)
    waiting = sum(not reader._buffer and not reader.at_eof() for _, reader, _ in held)
    sys.stdout.write(f"{waiting}\n")
    sys.stdout.flush()
    await asyncio.sleep(60)


if __name__ == "__main__":
    parts = {"serve": serve, "wait": wait}
    if sys.argv[1] in parts:
        parts[sys.argv[1]](**json.loads(sys.argv[2]))
    else:
        children.answer({"reports": reports, "fulls": fulls})
