"""A command that waits for a running monitor, which dies meanwhile: real processes, and the command in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from served import Estate, until
from typer.testing import CliRunner, Result

from cloudmon.cli import asking
from cloudmon.cli.app import app
from cloudmon.model.tenants import EVERYONE

ENDED = "the monitor that was to do it has ended"
ALONE = "no monitor has come; this command goes on by itself"
REASON = ("--reason", "test")
Process = subprocess.Popen[bytes]


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """With one appliance."""
    found = Estate(tmp_path)
    found.settings(found.cloud(), found.set("shop", 1))
    return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "POLL_S", 0.05)
    monkeypatch.setattr(asking, "OWNED_S", 0.05)
    monkeypatch.setattr(asking, "GRACE_S", 0.5)


@contextmanager
def deaf(process: Process) -> Iterator[None]:
    """It lives and holds the store, and does nothing."""
    os.kill(process.pid, signal.SIGSTOP)
    yield
    os.kill(process.pid, signal.SIGCONT)


class Asked:
    """A command under way."""

    def __init__(self, estate: Estate, *arguments: str) -> None:
        self._estate = estate
        self._found: list[Result] = []
        self._thread = threading.Thread(target=self._run, args=([*arguments, "-c", str(estate.path)],))
        self._thread.start()

    def _run(self, arguments: list[str]) -> None:
        self._found.append(CliRunner().invoke(app, arguments))

    def is_pending(self) -> bool:
        with self._estate.store() as store:
            return bool(store.requests.pending(EVERYONE))

    def result(self) -> Result:
        self._thread.join(60)
        return self._found[0]


def rest(estate: Estate) -> None:
    """Until all is as it is wanted and the monitor hardly ticks, so that it is not stopped while it writes."""
    until(lambda: estate.runs("shop", 1), "it runs")
    estate.settings(estate.cloud(), estate.set("shop", 1), poll_s=600)
    until(lambda: estate.asked()[1]["jobs"][0]["interval_s"] == 600, "it rests")
    until(lambda: estate.asked()[1]["jobs"][0]["running_since"] is None, "its last tick is over")


def killed(process: Process) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("command", "states"),
    [
        pytest.param(("act", "shop/1", "stop", *REASON), ["stopped"], id="act"),
        pytest.param(("apply", "--yes"), ["running"], id="apply"),
    ],
)
def test_what_a_killed_monitor_was_asked_for_is_done_by_who_asked(
    estate: Estate, command: tuple[str, ...], states: list[str]
) -> None:
    with estate.running() as process:
        rest(estate)
        os.kill(process.pid, signal.SIGSTOP)
        estate.settings(estate.cloud(), estate.set("shop", 1))  # for whoever comes next
        asked = Asked(estate, *command)
        until(asked.is_pending, "it is asked for")
        killed(process)
        found = asked.result()
    assert found.exit_code == 0, found.output
    assert found.stderr.count(ENDED) == found.stderr.count(ALONE) == 1
    assert [member.state.value for member in estate.members("shop")] == states


def test_a_monitor_that_is_slow_is_not_taken_for_dead(estate: Estate) -> None:
    with estate.running() as process:
        rest(estate)
        with deaf(process):
            found = Asked(estate, "act", "shop/1", "stop", *REASON, "--timeout", "2s").result()
    assert found.exit_code == 1
    assert "is still pending after 2s" in found.stderr
    assert ENDED not in found.stderr


def test_a_monitor_that_is_started_anew_in_time_does_it(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 60.0)
    with estate.running() as process:
        rest(estate)
        os.kill(process.pid, signal.SIGSTOP)
        estate.settings(estate.cloud(), estate.set("shop", 1))  # for whoever comes next
        asked = Asked(estate, "act", "shop/1", "stop", *REASON)
        until(asked.is_pending, "it is asked for")
        killed(process)
    with estate.running() as process:
        found = asked.result()
        assert process.poll() is None
    assert found.exit_code == 0, found.output
    assert ALONE not in found.stderr
