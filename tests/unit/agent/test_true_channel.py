"""The shipped agent and the monitor's own channel, over TLS: the two understand each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Appliance
from spoken import KEY, Estate
from stub_monitor import StubMonitor

from cloudmon.api import channel as routes
from cloudmon.api.server import serve_channel
from cloudmon.channel import shipping
from cloudmon.channel.authority import open_authority
from cloudmon.channel.channel import Channel
from cloudmon.clock import SystemClock
from cloudmon.model import states
from cloudmon.model.tenants import EVERYONE

PATIENCE_S = 60.0


class TrueMonitor:
    """As much of the service as agents speak to."""

    def __init__(self, folder: Path) -> None:
        self.estate = Estate(count=1, clock=SystemClock(), url=f"sqlite:///{folder}/store.db")
        authority = open_authority(folder / "authority", ["127.0.0.1"], self.estate.clock.now())
        self.estate.channel.close()
        self.estate.channel = Channel(
            self.estate.store,
            lambda: self.estate.owner,
            self.estate.clock,
            self.estate.settings,
            KEY,
            authority,
            self.estate.told.extend,
        )
        self.server = serve_channel(routes.application(self.estate.channel), "127.0.0.1", 0, authority.context())

    @property
    def words(self) -> list[str]:
        return [
            "--url",
            f"https://127.0.0.1:{self.server.port}",
            "--enrol",
            self.estate.channel.token(self.estate.id(), 1),
        ]

    def close(self) -> None:
        self.estate.channel.close()
        self.server.stop()
        self.estate.store.close()


@pytest.fixture
def true_monitor(tmp_path: Path) -> Iterator[TrueMonitor]:
    made = TrueMonitor(tmp_path)
    yield made
    made.close()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (said := found()):
        assert time.monotonic() < end, "not seen in time"
        time.sleep(0.05)
    return said


def test_they_enrol_report_and_add_up_to_the_same(
    true_monitor: TrueMonitor, appliance: Appliance, monitor: StubMonitor
) -> None:
    estate = true_monitor.estate
    first = appliance.start(*true_monitor.words, enrol=False)
    until(estate.state)
    assert estate.state().sections["system"]["agent"]["version"] == shipping.version()
    appliance.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nmallory:x:0:0::/root:/bin/sh\n")
    until(lambda: "mallory" in estate.state().sections["accounts"])
    state = estate.state()
    assert state.hash == states.state_hash(state.sections)
    first.kill()
    first.wait()
    appliance.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    appliance.start("--url", true_monitor.words[1], enrol=False)
    until(lambda: "mallory" not in estate.state().sections["accounts"])
    agent = estate.store.agents.get(EVERYONE, estate.id())
    assert agent is not None
    assert abs(agent.offset_s) < 5
    assert agent.serial == 1
    appliance.end()  # who hangs up last must not be the monitor
    kinds = [report.kind for report in estate.told]
    assert kinds.count("full") == 2


def test_a_token_for_another_is_refused(true_monitor: TrueMonitor, appliance: Appliance, monitor: StubMonitor) -> None:
    words = true_monitor.words
    words[-1] = words[-1][:-4] + "AAAA"
    done = appliance.run(*words, "--once", enrol=False)
    assert done.returncode == 3, done.stderr
    assert true_monitor.estate.told == []
