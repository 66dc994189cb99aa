"""From the arrival of a report that shows a fault to the intent that answers it, in a service with many agents.

One process is the service as ``cloudmon run`` wires it, on SQLite on disk and a simulated cloud; another is the agents.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import channel, children, estates, quiet
from tests.benchmarks.figures import Figure

AGENTS = 10_000
REPORTS = 400
RATE = 10.0
"""Faults a second."""
MORE = """
[channel]
port = {port}
tls = "proxy"
url = "http://127.0.0.1:{port}"

[breakers.disruptive]
per_set = 100000
per_tenant = 100000
per_cloud = 100000

[[policies]]
name = "built-in"
rules = [{{ name = "application-down", for = 0 }}]

[templates.web.applications.site]
match = "site"

"""


def figures(folder: Path, *, agents: int = AGENTS, reports: int = REPORTS) -> Iterator[Figure]:
    """The time that 99 of a hundred take at most."""
    children.ask("attending", "seed", folder=str(folder), agents=agents)
    words = json.dumps({"folder": str(folder), "reports": reports})
    with children.running([sys.executable, "-m", "tests.benchmarks.attending", "serve", words]) as service:
        told = json.loads(service.stdout.readline() if service.stdout else "{}")
        sent = children.ask("attending", "speak", told=told, reports=reports)["sent"]
        said = json.loads(service.stdout.readline() if service.stdout else "{}")
        resident = children.resident_mib(service.pid)
    took = sorted(said["took_s"])
    if len(took) != sent:
        raise RuntimeError(f"{sent} faults were reported, and {len(took)} were acted on")
    yield Figure(
        f"from a report that shows a fault to its intent, {agents:,} agents: 99 of a hundred within",
        took[len(took) * 99 // 100] * 1_000,
        "ms",
        150,
        beside=f"half within {took[len(took) // 2] * 1_000:.0f} ms, all within {took[-1] * 1_000:.0f} ms; "
        f"{sent} at {RATE:g} a second; {resident:.0f} MiB resident",
    )


def _settings(folder: Path, agents: int, port: int) -> Path:
    path = estates.settings(folder, agents)
    text = path.read_text().replace("poll_interval_s = 1\n", "poll_interval_s = 15\n")
    path.write_text(text.replace("[templates.web]\n", MORE.format(port=port) + "[templates.web]\nagent = true\n", 1))
    return path


def seed(folder: str, agents: int) -> dict[str, Any]:
    """An estate whose appliances all run, each with an agent that enrolled a while ago."""
    import datetime as dt

    import sqlalchemy as sa

    from cloudmon.clock import SystemClock
    from cloudmon.model.tenants import EVERYONE
    from cloudmon.settings import load, log_key
    from cloudmon.store import open_store, tables
    from cloudmon.testing.stage import free_port

    place = Path(folder)
    quiet.seed(folder, agents)
    settings = load(_settings(place, agents, free_port()))
    now = SystemClock().now()
    store = open_store(f"sqlite:///{place}/cloudmon.db", log_key=log_key(settings), anchor_dir=None, now=now)
    rows = [
        {
            "set_uid": member.set_uid, "ordinal": member.ordinal, "tenant": member.tenant, "incarnation": 1,
            "instance": f"{number:032x}", "enrolment": f"a-{number}", "version": "0.1.0",
            "enrolled_at": now - dt.timedelta(hours=1), "serial": 1, "boot": "", "seq": 0, "hash": "", "offset_s": 0.0,
            "taken": 0, "boots": [],
        }
        for number, member in enumerate(store.members.all(EVERYONE))
    ]  # fmt: skip
    store._database.write(lambda connection: connection.execute(sa.insert(tables.agents), rows))
    store.close()
    return {}


def serve(folder: str, reports: int) -> None:
    """Be the service. Says where it listens and who its agents are, and, when all was acted on, how long each took."""
    from cloudmon import faultpoints, logs
    from cloudmon.channel import keys
    from cloudmon.cli import channels
    from cloudmon.clock import SystemClock
    from cloudmon.engine import collection
    from cloudmon.model.actions import Verb
    from cloudmon.model.tenants import EVERYONE
    from cloudmon.monitor.service import open_service
    from cloudmon.monitor.serving import Serving
    from cloudmon.settings import channel_key

    collection.seldom()  # as the command does
    clock, stop = SystemClock(), threading.Event()
    logs.configure(clock, form="json", level="error")
    recorded: list[float] = []

    def hook(name: str) -> None:
        if name == "intents.after-record":
            recorded.append(clock.now().timestamp())

    with open_service(Path(folder) / "cloudmon.toml", clock) as service:
        service.begin()
        serving = Serving(service)
        with channels.served(service, serving):
            running = threading.Thread(target=serving.run, args=(stop,), daemon=True)
            running.start()
            # Everybody is looked at once after a start; that is not what is measured.
            time.sleep(channel.AHEAD_S + 6)
            faultpoints.install(hook)
            agents = sorted(service.store.agents.all(EVERYONE), key=lambda one: one.instance)
            settings = service.settings.channel
            key, now = channel_key(service.settings), int(time.time())
            spoken = []
            for agent in agents[:: max(1, len(agents) // reports)][:reports]:
                made = keys.new(agent.appliance, 1, 1, now=now)
                spoken.append([made.id, keys.secret_of(key, made.id).hex(), agent.instance])
            _say({"port": settings.port if settings is not None else 0, "agents": spoken})
            since = clock.now()
            deadline = time.monotonic() + len(spoken) / RATE + 60
            while time.monotonic() < deadline:
                time.sleep(0.5)
                found = [one for one in service.store.intents.recent(EVERYONE, since) if one.verb is Verb.APP_RESTART]
                if len(found) >= len(spoken):
                    break
            heard = {one.appliance: one.received_at for one in service.store.agents.all(EVERYONE) if one.received_at}
            # Those of one turn were recorded together, in the order of the turns.
            turns = sorted({one.created_at for one in found})
            ended = dict(zip(turns, recorded, strict=False))
            _say({"took_s": [ended[one.created_at] - heard[one.appliance].timestamp() for one in found]})
            stop.wait(5)
            stop.set()


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def speak(told: dict[str, Any], reports: int) -> dict[str, Any]:
    """Be agents that report, one after the other, that their application is down."""
    from cloudmon.model import states

    sections = {"applications": {"site": {"state": "down", "since": 1, "restarts": 0}}}
    connection = http.client.HTTPConnection("127.0.0.1", told["port"], timeout=30)
    began = time.perf_counter()
    for number, agent in enumerate(told["agents"]):
        wait_s = began + number / RATE - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        body = channel._content(agent, 1, kind="full", base="", hash=states.state_hash(sections), sections=sections)
        raw = channel._request("/channel/v1/report", agent, json.dumps(body).encode())
        connection.connect() if connection.sock is None else None
        assert connection.sock is not None
        connection.sock.sendall(raw)
        answer = http.client.HTTPResponse(connection.sock)
        answer.begin()
        if answer.status != 200 or b'"taken":true' not in answer.read():
            raise RuntimeError(f"a report was not taken: {answer.status}")
    with contextlib.suppress(OSError):
        connection.close()
    return {"sent": len(told["agents"])}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(**json.loads(sys.argv[2]))
    else:
        children.answer({"seed": seed, "speak": speak})
