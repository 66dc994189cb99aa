"""A service whose cloud tells of changes and runs commands: what stops runs again within seconds, however long the poll
interval, and a job is run where no agent is."""

from __future__ import annotations

import threading
from pathlib import Path

from cloudmon.clock import SystemClock
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.service import Service, open_service
from cloudmon.monitor.serving import REQUESTS_S, Serving
from cloudmon_providers.dummy import DummySettings, open_world
from cloudmon_providers.dummy.world import World

TEXT = """
[store]
url = "memory"
[monitor]
state_dir = "state"
poll_interval_s = 3600
health_port = 0
[clouds.east]
provider = "dummy"
listing_lag_s = 0
options = { world = "memory:told-of", events = true, commands = true }
[templates.web]
images = { "*" = "web-1" }
jobs = { tidy = { argv = ["tidy", "--all"] } }
[sets.shop]
template = "web"
count = 2
[breakers]
first_tick_hold = false
"""
SOON_S = 20.0


def until(service: Service, condition: object) -> None:
    waiting = threading.Event()
    for _ in range(int(SOON_S / 0.05)):
        if condition():  # type: ignore[operator]
            return
        waiting.wait(0.05)
    raise AssertionError(f"not within {SOON_S:g} s: {service.store.members.all(EVERYONE)}")


def quiet(world: World) -> None:
    """Wait until the ticks that follow the boot are over: two looks for work came and found none."""
    waiting, seen = threading.Event(), -1
    while seen != world.calls["list_nodes"]:
        seen = world.calls["list_nodes"]
        waiting.wait(2.5 * REQUESTS_S)


def test_a_machine_stopped_by_hand_runs_again_within_seconds_and_a_job_is_run_without_an_agent(tmp_path: Path) -> None:
    path = tmp_path / "cloudmon.toml"
    path.write_text(TEXT, encoding="utf-8")
    clock, stop = SystemClock(), threading.Event()
    world = open_world(DummySettings(world="memory:told-of", events=True, commands=True), cloud="east", now=clock.now)

    def running() -> bool:
        members = service.store.members.all(EVERYONE)
        return len(members) == 2 and all(one.state is ApplianceState.RUNNING for one in members)

    with open_service(path, clock) as service:
        serving = Serving(service)
        served = threading.Thread(target=serving.run, args=(stop,))
        served.start()
        try:
            until(service, running)
            quiet(world)
            before = world.calls["list_nodes"]
            (machine, other) = (node.id for node in world.nodes_true())
            world.stop_by_hand(machine)
            until(service, lambda: world.calls.get("start_node") == 1)
            until(service, running)
            assert world.calls["list_nodes"] == before, "one machine was looked at, and not all of them"
            now = clock.now()
            told = {"verb": "job_run", "job": "tidy"}
            service.store.requests.add(
                Request("r1", RequestVerb.COMMAND, "default", "shop/2", told, "cli:ann", "so", now)
            )
            until(service, lambda: world.commands)
            listings = world.calls["list_nodes"] - before
        finally:
            stop.set()
            served.join(SOON_S)
    assert not served.is_alive()
    assert [argvs for _, argvs in world.commands] == [[["tidy", "--all"]]]
    assert world.calls["start_node"] == 1
    # One tick for the request, perhaps one for what it changed.
    assert listings <= 2
    assert {node.word for node in world.nodes_true()} == {"running"}
    assert {node.id for node in world.nodes_true()} == {machine, other}
