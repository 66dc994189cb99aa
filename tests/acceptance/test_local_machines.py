"""An estate of real machines on this one, as ``config/local.toml`` has it: launched, disturbed, healed and retired."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import machines
import pytest
from local_estate import Local
from served import until

from cloudmon.model.actions import IntentState, Verb


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Local]:
    estate = Local(tmp_path, "web", "clock")
    yield estate
    estate.end()


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
