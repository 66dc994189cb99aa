"""Where systemd runs, it is asked; a stand-in of it here writes down what it was asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudmon.agent.applications import Applications
from cloudmon.agent.clock import Clock
from cloudmon.agent.collect import services
from cloudmon.agent.collect.processes import Table
from cloudmon.agent.config import Application
from cloudmon.agent.controls import Controls
from cloudmon.agent.log import Log
from cloudmon.agent.place import Place
from cloudmon.agent.probes import Prober
from cloudmon.agent.rooted import Root

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {folder}/words
case "$1" in
  list-units) echo "web.service loaded active running The web"; echo "getty@tty1.service loaded failed failed tty" ;;
  list-unit-files) echo "web.service enabled enabled"; echo "getty@.service disabled enabled" ;;
  show) cat {folder}/pid 2>/dev/null || echo 0 ;;
  restart|start)
    kill $(cat {folder}/pid 2>/dev/null) 2>/dev/null
    setsid sleep 600 > /dev/null 2>&1 & echo $! > {folder}/pid ;;
  stop) kill $(cat {folder}/pid); rm {folder}/pid ;;
esac
"""
WEB = Application("web", service="web.service")


class Machine:
    """One with systemd, as far as the agent sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        place, clock = Place(str(folder / "state")), Clock()
        prober = Prober(Root(), clock, lambda: None)
        self.applications = Applications(place, Root(), clock, Table(Root(), clock), prober)
        self.applications.declare({"web": WEB})
        self.controls = Controls(place, self.applications, Log())

    def words(self, verb: str) -> list[str]:
        return [line for line in (self.folder / "words").read_text().splitlines() if line.startswith(verb)]

    def state(self) -> str:
        self.applications.look()
        return str(self.applications.section({}, {})["web"]["state"])

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setattr(services, "systemctl", lambda _root: str(program))
    made = Machine(tmp_path)
    yield made
    if (tmp_path / "pid").exists():
        os.kill(made.pid, signal.SIGKILL)


def test_services_are_told_with_whether_they_start_at_boot(machine: Machine) -> None:
    assert services.section(Root()) == {
        "web": {"state": "running", "enabled": True},
        "getty@tty1": {"state": "failed", "enabled": False},
    }


def test_an_application_that_is_a_service_is_started_and_stopped_by_it(machine: Machine) -> None:
    until = Clock().monotonic() + 20
    assert machine.state() == "down"
    assert machine.controls.start(WEB, until).ok
    assert machine.state() == "up"
    before = machine.pid
    assert machine.controls.restart(WEB, until).ok
    assert machine.state() == "up"
    assert machine.applications.section({}, {})["web"]["pid"] == machine.pid != before
    assert machine.applications.section({}, {})["web"]["restarts"] == 0
    assert machine.controls.suspend(WEB).ok
    assert machine.state() == "stopped"
    assert machine.controls.resume(WEB).ok
    assert machine.state() == "up"
    assert machine.controls.stop(WEB, until).ok
    assert machine.state() == "stopped"
    assert machine.words("st") == ["start -- web.service", "stop -- web.service"]
    assert machine.words("re") == ["restart -- web.service"]
    assert set(machine.words("show")) == {"show --property=MainPID --value -- web.service"}


def test_without_systemd_no_services_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "systemctl", lambda _root: None)
    with pytest.raises(OSError, match="systemd does not run here"):
        services.section(Root())


def test_a_directory_has_no_systemd_whatever_the_machine_has(tmp_path: Path) -> None:
    assert services.systemctl(Root(str(tmp_path))) is None
