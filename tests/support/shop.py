"""A small estate and the person who runs it: settings, commands in this process, and a monitor that is ticked by hand.

Time is told, so that an hour costs nothing; what commands wait for passes while they wait.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cloudmon.cli import opening
from cloudmon.cli.app import app
from cloudmon.model.findings import Finding
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.reports import TickReport
from cloudmon.monitor.service import Service, open_service
from cloudmon.settings import load
from cloudmon.store import Store
from cloudmon.testing.clock import FakeClock
from cloudmon_providers.dummy import DummySettings, TrueNode, open_world
from cloudmon_providers.dummy.world import World

REASON = ("--reason", "acceptance")
POLL_S = 10
MOST_TICKS = 400
"""After so many ticks what did not come to pass never will."""

HEAD = f"""
[store]
url = "sqlite:///shop.db"
[monitor]
state_dir = "state"
poll_interval_s = {POLL_S}
call_timeout_s = 5
health_port = 0
"""
DUMMY = """
[clouds.{cloud}]
provider = "dummy"
listing_lag_s = 0
calls_per_s = 1000
burst = 1000
[clouds.{cloud}.options]
world = "memory:{name}"
locations = ["{cloud}-1"]
{more}
"""
WEB = """
[templates.web]
images = { "*" = "web-1" }
"""


class Shop:
    """One estate: a folder, a clock and a settings file.

    Arguments:
        folder: where the settings file, the store and the state are.
        clock: what tells everybody the time.
        text: the settings file.
    """

    def __init__(self, folder: Path, clock: FakeClock, text: str) -> None:
        self.clock = clock
        self.path = folder / "cloudmon.toml"
        self.path.write_text(text, encoding="utf-8")
        self._worlds: dict[str, World] = {}

    # --- the person ---------------------------------------------------------------------------------------------------

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """The result of one command, which must end with ``code``."""
        found = CliRunner().invoke(app, [*arguments, "-c", str(self.path)])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == code, f"{arguments}: {found.exit_code}\n{found.stdout}\n{found.stderr}"
        return found

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        found = json.loads(self(*arguments, "-o", "json", code=code).stdout)
        assert isinstance(found, list)
        return found

    def csv(self, *arguments: str, code: int = 0) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self(*arguments, "-o", "csv", code=code).stdout)))

    def states(self, *target: str) -> dict[str, str]:
        """What ``status`` says each appliance is."""
        return {row["appliance"]: row["state"] for row in self.json("status", *target)}

    def nodes(self, *target: str) -> dict[str, str]:
        """The node that ``status`` shows behind each appliance."""
        return {row["appliance"]: row["node"] for row in self.json("status", *target)}

    def edit(self, old: str, new: str) -> None:
        """Change the settings file."""
        text = self.path.read_text(encoding="utf-8")
        assert old in text
        self.path.write_text(text.replace(old, new), encoding="utf-8")

    # --- the monitor --------------------------------------------------------------------------------------------------

    @contextmanager
    def monitor(self) -> Iterator[Watch]:
        """A monitor that runs beside the commands, when it is told to."""
        with open_service(self.path, self.clock) as service:
            service.begin()
            yield Watch(service, self.clock)

    # --- the cloud ----------------------------------------------------------------------------------------------------

    def world(self, cloud: str = "east") -> World:
        """The simulated cloud itself."""
        if cloud not in self._worlds:
            options = load(self.path).options(cloud)
            assert isinstance(options, DummySettings)
            self._worlds[cloud] = open_world(options, cloud=cloud, now=self.clock.true_now)
        return self._worlds[cloud]

    def truth(self, cloud: str = "east") -> Mapping[str, TrueNode]:
        """Every machine that lives, by id, whatever anybody believes."""
        return {node.id: node for node in self.world(cloud).nodes_true()}


class Watch:
    """A monitor that ticks when it is told to."""

    def __init__(self, service: Service, clock: FakeClock) -> None:
        self._service = service
        self._clock = clock

    @property
    def store(self) -> Store:
        return self._service.store

    def tick(self, times: int = 1) -> TickReport:
        """So many ticks, a poll interval apart; the last one's report."""
        for _ in range(times):
            report = self._service.tick()
            self._clock.advance(POLL_S)
        return report

    def over(self, seconds: float) -> TickReport:
        """Ticks for as long as that."""
        return self.tick(max(1, round(seconds / POLL_S)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Ticks until it is so."""
        for _ in range(MOST_TICKS):
            self.tick()
            if condition():
                return
        pytest.fail(f"it did not come to that in {MOST_TICKS} ticks")

    def settle(self) -> None:
        """Ticks until nothing is due any more."""
        self.until(lambda: self.tick().steady)

    def findings(self) -> list[Finding]:
        return list(self.store.findings.open(EVERYONE))

    def seen(self) -> dict[int, str]:
        """What the store says each appliance of the only set is, for loops in which a command would take too long."""
        return {member.ordinal: member.state.value for member in self.store.members.all(EVERYONE)}


def dummy(cloud: str, folder: Path, more: str = "") -> str:
    """The settings of one simulated cloud, of this folder alone."""
    return DUMMY.format(cloud=cloud, name=f"{folder}/{cloud}", more=more)


def text(folder: Path, *parts: str, options: str = "") -> str:
    """A settings file with the cloud ``east``, the template ``web`` and these parts."""
    return "".join([HEAD, dummy("east", folder, options), WEB, *parts])


def opened(folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, settings: str) -> Shop:
    """A shop whose commands live by its clock."""
    monkeypatch.setattr(opening, "clock", lambda: clock)
    return Shop(folder, clock, settings)
