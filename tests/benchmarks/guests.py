"""``config/guests.toml`` as it stands: ten thousand simulated machines boot, their guests enrol, are struck by faults
and put right, all in the one process that monitors them."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, median

GUESTS = 10_000
WATCHED_S = 300.0
"""How long they are watched once all have enrolled; what strikes one in the first half has time to be put right."""
PATIENCE_S = 1_800.0


def figures(
    folder: Path, *, guests: int = GUESTS, watched_s: float = WATCHED_S, hurry: float = 1.0
) -> Iterator[Figure]:
    """How long it takes, and what it costs.

    Arguments:
        hurry: faults strike so many times as often, and rules and reports wait so much less.
    """
    log = folder / "log"
    with _Running(_settings(folder, guests, hurry), log) as process:
        began, pid = time.perf_counter(), process.pid
        _until(lambda: _enrolled(folder) >= guests, process)
        enrolled_s, busy_s = time.perf_counter() - began, children.cpu_s(pid)
        since = dt.datetime.now(dt.UTC)
        time.sleep(watched_s)
        share = (children.cpu_s(pid) - busy_s) / watched_s
        resident = children.resident_mib(pid)
    took = _took(log, since, since + dt.timedelta(seconds=watched_s / 2))
    well = sorted(one for times in took.values() for one in times if one is not None)
    struck = sum(map(len, took.values()))
    yield Figure(
        f"{guests:,} guests of the simulated cloud: all enrolled after",
        enrolled_s,
        "s",
        600,
        beside=f"from the command on; processor time until then {busy_s:.0f} s",
    )
    yield Figure(f"{guests:,} guests: resident, the monitor included", resident, "MiB", 700)
    yield Figure(f"{guests:,} guests: processors, the monitor included", share, "", 1, beside=f"{watched_s:g} s")
    told = ", ".join(f"{fault} {median(known):.0f} s" for fault, known in sorted(_known(took).items()))
    yield Figure(
        f"{guests:,} guests: from a fault to when it was put right, half",
        median(well) if well else float("inf"),
        "s",
        60,
        beside=f"{len(well)} of {struck} struck; {told}",
    )


def _settings(folder: Path, guests: int, hurry: float) -> Path:
    """The example with a folder and ports of its own. Without silence: it is found after minutes, whatever is done."""
    from cloudmon.testing.stage import free_port

    text = (children.ROOT / "config" / "guests.toml").read_text(encoding="utf-8")
    for old, new in {
        "../var/guests": str(folder),
        "poll_interval_s = 15": f"poll_interval_s = {max(0.5, 15 / hurry)}\nhealth_port = 0\nlog_format = 'json'\n"
        "log_level = 'debug'",
        "port = 8789": f"port = {free_port()}",
        "silent_per_h = 0.02": "silent_per_h = 0",
        "quiet_s = 300": f"quiet_s = {60 / hurry}",
        'report_interval_s = "2m"': f"report_interval_s = {max(1, round(120 / hurry))}",
        "count = 10_000": f"count = {guests}",
    }.items():
        if old not in text:
            raise RuntimeError(f"the example has no {old}")
        text = text.replace(old, new)
    if hurry > 1:
        text = re.sub(r"_per_h = (0\.\d+)", lambda found: f"_per_h = {float(found[1]) * hurry}", text)
        text = re.sub(r'(for|backoff) = "\d+[sm]"', r"\1 = 1", text)
    path = folder / "guests.toml"
    path.write_text(text, encoding="utf-8")
    return path


class _Running:
    """The service on a settings file, its log in a file; ended with the block."""

    def __init__(self, settings: Path, log: Path) -> None:
        self._command = [str(children.COMMAND), "run", "-c", str(settings)]
        self._log = log

    def __enter__(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def _until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError("the guests did not enrol")
        time.sleep(0.5)


def _enrolled(folder: Path) -> int:
    if not (folder / "cloudmon.db").exists():
        return 0
    with closing(sqlite3.connect(folder / "cloudmon.db")) as store:
        try:
            found: int = store.execute("SELECT count(*) FROM agents").fetchone()[0]
        except sqlite3.OperationalError:
            return 0  # it is being made
    return found


def _took(log: Path, since: dt.datetime, until: dt.datetime) -> dict[str, list[float | None]]:
    """By fault, how long each took that struck in that time; None for one that is not over."""
    open_: dict[tuple[str, str], bool] = {}
    took: dict[str, list[float | None]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        said = json.loads(line) if line.startswith('{"guest"') else {}
        key = (said.get("guest", ""), said.get("fault", ""))
        if said.get("event") == "a guest is struck":
            open_[key] = since <= dt.datetime.fromisoformat(said["at"]) < until
        elif said.get("event") == "a guest is well again" and open_.pop(key, False):
            took.setdefault(key[1], []).append(said["took_s"])
    for (_, fault), counts in open_.items():
        if counts:
            took.setdefault(fault, []).append(None)
    return took


def _known(took: dict[str, list[float | None]]) -> dict[str, list[float]]:
    known = {fault: [one for one in times if one is not None] for fault, times in took.items()}
    return {fault: times for fault, times in known.items() if times}
