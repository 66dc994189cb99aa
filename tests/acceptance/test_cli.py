"""The command line as a person uses it: real processes, one store, one simulated cloud in a file."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("cloudmon")
PATIENCE_S = 60.0
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What moves a terminal's cursor or makes its letters bold."""

SETTINGS = """
[store]
url = "sqlite:///shop.db"
[monitor]
state_dir = "state"
poll_interval_s = 0.3
health_port = 0
[clouds.east]
provider = "dummy"
listing_lag_s = 0.2
[clouds.east.options]
world = "east.world"
[templates.web]
images = { "*" = "web-1" }
[sets.storefront]
template = "web"
count = 2
"""


class Shop:
    """A folder with settings, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cloudmon.toml").write_text(SETTINGS, encoding="utf-8")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("CLOUDMON_")}

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert found.returncode == code, f"{arguments}: {found.returncode}\n{found.stdout}\n{found.stderr}"
        assert "Traceback" not in found.stderr
        return found

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        found = json.loads(self(*arguments, "-o", "json", code=code).stdout)
        assert isinstance(found, list)
        return found

    def stored(self, question: str) -> list[Any]:
        """What the store's file holds, asked without a process for each look; nothing while it is being made."""
        try:
            with closing(sqlite3.connect(f"file:{self.folder}/shop.db?mode=ro", uri=True)) as store:
                return [value for (value,) in store.execute(question)]
        except sqlite3.OperationalError:
            return []

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        """``cloudmon run`` beside the other commands."""
        process = subprocess.Popen(
            [COMMAND, "run"], cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: self.stored("SELECT pid FROM monitors") == [process.pid])
            assert [row["pid"] for row in self.json("monitors")] == [process.pid]
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.1)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_from_plan_to_usage_without_a_service(shop: Shop) -> None:
    """Plan says 2, apply brings it about, plan says 0; then everything is explained, metered and whole."""
    assert [row["action"] for row in shop.json("plan", code=2)] == ["create", "launch", "launch"]
    shop("apply", code=1)
    shop("apply", "--yes")
    assert shop.json("plan") == []
    assert [(row["appliance"], row["state"]) for row in shop.json("status")] == [
        ("storefront/1", "running"),
        ("storefront/2", "running"),
    ]
    shop("act", "storefront/2", "replace", "--reason", "acceptance")
    told = shop("why", "storefront/2").stdout
    assert "acceptance" in told
    assert "incarnation 2" in told
    assert {"field": "incarnation", "before": None, "after": 2}.items() <= next(
        row for row in shop.json("diff", "storefront/2", "--since", "1h") if row["field"] == "incarnation"
    ).items()
    assert {row["dimension"] for row in shop.json("usage", "--by", "monitor")} >= {"monitor.cpu", "monitor.calls"}
    assert shop.json("audit", "verify") == []
    shop("sets", "retire", "storefront", "--reason", "over", "--yes")
    assert shop.json("status") == []


def test_beside_a_running_service(shop: Shop) -> None:
    """The service does what is asked; it ends on SIGTERM in good order, and says so in the store."""
    with shop.serving() as service:
        wait_until(lambda: shop.stored("SELECT state FROM appliances") == ["running", "running"])
        assert [row["state"] for row in shop.json("status")] == ["running", "running"]
        assert [row["stale"] for row in shop.json("status")] == [False, False]
        assert shop("act", "storefront/*", "reboot", "--reason", "acceptance").stdout == "reboot of 2 appliances done\n"
        shop("sets", "protect", "storefront", "--for", "1h", "--reason", "acceptance")
        refused = shop("sets", "retire", "storefront", "--reason", "over", "--yes", code=1)
        assert "is protected by cli:" in refused.stderr
        assert "already runs" in shop("run", code=1).stderr
        began = time.monotonic()
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE_S) == 0
        assert time.monotonic() - began < PATIENCE_S
    (monitor,) = shop.json("monitors")
    assert monitor["state"] == "ended"
    assert shop.json("audit", "verify") == []


def test_an_interrupted_command_has_asked_all_the_same(shop: Shop) -> None:
    """Ctrl-C is exit code 130; the request stays and the next monitor does it."""
    shop("apply", "--yes")
    text = (shop.folder / "cloudmon.toml").read_text(encoding="utf-8")
    slow = text.replace('world = "east.world"', 'world = "east.world"\nstop_s = 3600')
    (shop.folder / "cloudmon.toml").write_text(slow, encoding="utf-8")
    asking = [COMMAND, "act", "storefront/1", "stop", "--reason", "acceptance"]
    with subprocess.Popen(asking, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: bool(shop.stored("SELECT id FROM intents WHERE verb = 'stop'")))
        assert any(row["verb"] == "stop" for row in shop.json("actions"))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, error) == (130, "cloudmon: interrupted\n")
    assert shop.json("status", "storefront/1")[0]["wanted"] == "stopped"


def test_the_settings_file_is_named_by_the_environment(shop: Shop) -> None:
    (shop.folder / "cloudmon.toml").rename(shop.folder / "other.toml")
    assert "cloudmon.toml" in shop("status", code=1).stderr
    shop("status", CLOUDMON_CONFIG="other.toml")


def test_a_reader_that_goes_away_is_no_traceback(shop: Shop) -> None:
    """``cloudmon … | head -1``."""
    shop("apply", "--yes")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        found = subprocess.run(
            [COMMAND, "offers", "-o", "json"],
            cwd=shop.folder, env=shop.environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert "Traceback" not in found.stderr


def test_a_terminal_gets_a_table_as_wide_as_it_is(shop: Shop) -> None:
    """And a status line while something is under way, on stderr, gone when it is done."""
    screen, terminal = pty.openpty()
    size = shop.environment | {"COLUMNS": "110", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [COMMAND, "plan"], cwd=shop.folder, env=size, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        seen = STEERING.sub("", b"".join(iter(lambda: _read(screen), b"")).decode())
        assert process.wait(PATIENCE_S) == 2
    os.close(screen)
    assert "looking at the clouds" in seen
    table = seen[seen.index("APPLIANCE") :].splitlines()
    assert "create" in table[1]
    assert max(len(line.rstrip()) for line in table) <= 110


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:
        return b""  # the other side is closed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_commands(shop: Shop, shell: str) -> None:
    words = {"COMP_WORDS": "cloudmon st", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "cloudmon st"}
    found = shop("", code=0, _CLOUDMON_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args", **words)
    assert "status" in found.stdout
