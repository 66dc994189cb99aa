"""An estate of real machines on this one, as ``config/local.toml`` has it: launched, disturbed, healed and retired."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import machines
import pytest
from served import Estate, until

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.tenants import EVERYONE

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "local.toml"


def free_ports(count: int) -> int:
    """The number before so many ports in a row that nobody listens on."""
    for base in range(20_000 + os.getpid() % 9_000, 32_000, count + 1):
        with suppress(OSError):
            for port in range(base + 1, base + count + 1):
                socket.create_server(("127.0.0.1", port)).close()
            return base
    raise AssertionError("no free ports")


class Local(Estate):
    """The example's estate in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.base = free_ports(3)
        self.directory = folder / "cloud"
        text = EXAMPLE.read_text(encoding="utf-8")
        for old, new in {
            'url = "sqlite:///../var/local/cloudmon.db"': f'url = "{self.url}"',
            'state_dir = "../var/local"': f'state_dir = "state"\nhealth_port = {self.port}\nlog_format = "json"',
            "poll_interval_s = 2\n": "poll_interval_s = 0.3\n",
            'directory = "../var/local/cloud"': 'directory = "cloud"',
            "$((8080 + {ordinal}))": f"$(({self.base} + {{ordinal}}))",
            "fault_after_s = 2": "fault_after_s = 1",
        }.items():
            assert old in text, f"the example has no {old}"
            text = text.replace(old, new)
        self.write(text)

    def page(self, ordinal: int) -> str:
        """What the web server of an appliance answers; empty when nobody does."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.base + ordinal, timeout=2)) as connection:
            try:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()
            except OSError:
                return ""

    def served(self, ordinal: int, incarnation: int = 1) -> bool:
        return self.page(ordinal) == f"web/{ordinal}, incarnation {incarnation}\n"

    def node(self, name: str, ordinal: int) -> str:
        (member,) = (member for member in self.members(name) if member.ordinal == ordinal)
        assert member.node_id
        return member.node_id

    def boot(self, node_id: str) -> str:
        return (machines.folder(self.directory, node_id) / "run" / "boot_id").read_text()

    def actions(self, name: str, ordinal: int) -> list[tuple[Verb, IntentState]]:
        """What was done about an appliance, oldest first."""
        with self.store() as store:
            found = store.sets.named(EVERYONE, name)
            intents = store.intents.of(EVERYONE, found.uid, ordinal) if found is not None else []
        return [(intent.verb, intent.state) for intent in sorted(intents, key=lambda each: each.created_at)]


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Local]:
    estate = Local(tmp_path)
    yield estate
    for number in machines.below(estate.directory):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def test_machines_are_launched_rebooted_healed_and_retired(estate: Local) -> None:
    applied = estate.cli("apply", "--yes")
    assert "web/3 is running" in applied.stderr
    until(lambda: all(estate.served(ordinal) for ordinal in (1, 2, 3)), "every web server serves its page")
    clock, first, second = estate.node("clock", 1), estate.node("web", 1), estate.node("web", 2)
    heartbeat = machines.folder(estate.directory, clock) / "root" / "var" / "run" / "heartbeat"
    until(heartbeat.exists, "the clock ticks")

    with estate.running() as service:
        before = estate.boot(first)
        assert "reboot of 1 appliance done" in estate.cli("act", "web/1", "reboot", "--reason", "test").stdout
        until(lambda: estate.served(1), "it serves again")
        assert estate.boot(first) != before
        assert estate.node("web", 1) == first

        estate.cli("act", "web/3", "suspend", "--reason", "test")
        assert estate.page(3) == ""
        estate.cli("act", "web/3", "resume", "--reason", "test")
        until(lambda: estate.served(3), "it serves on")

        # Pull the plug of one: the monitor sees it down and boots it again.
        before = estate.boot(second)
        os.kill(machines.pid(estate.directory, second), signal.SIGKILL)
        until(lambda: estate.boot(second) != before, "it is booted again")
        until(lambda: estate.served(2) and estate.runs("web", 3), "it is healed")
        assert estate.node("web", 2) == second
        done = IntentState.DONE
        assert estate.actions("web", 2) == [(Verb.LAUNCH, done), (Verb.REBOOT, done)]

        # The monitor's own death is nothing to the machines, and its successor finds them.
        service.kill()
        service.wait()
    assert all(estate.served(ordinal) for ordinal in (1, 2, 3))
    nodes = {path.name for path in (estate.directory / "nodes").iterdir()}
    with estate.running():
        until(lambda: estate.runs("web", 3), "the next one has them")
        assert {path.name for path in (estate.directory / "nodes").iterdir()} == nodes
        for name in ("web", "clock"):
            estate.cli("sets", "retire", name, "--reason", "test", "--yes")
        until(lambda: not machines.below(estate.directory), "no process is left")
        until(lambda: not list((estate.directory / "nodes").iterdir()), "no root is left")
