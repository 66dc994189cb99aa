"""Taking reports of appliances: differences of 1 KB, many to a transaction, each durable."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import children, launch
from tests.benchmarks.figures import REPEATS, Figure, median, spread

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TOGETHER = 50
PROCESSES = 6


def figures(
    folder: Path, *, reports: int = 20_000, appliances: int = 1_000, repeats: int = REPEATS
) -> Iterator[Figure]:
    """Reports a second that a store on this disk takes, each from another appliance than the one before."""
    rates, commits = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            url = f"sqlite:///{place}/store.db"
            rates.append(children.ask("reports", "taken", url=url, reports=reports, appliances=appliances)["rate"])
            commits.append(launch.commit_s(Path(place)))
    yield Figure(
        f"reports of 1 KB taken, {TOGETHER} together, SQLite synchronous=FULL",
        median(rates),
        "/s",
        3_000,
        at_least=True,
        beside=f"{spread(rates, '/s')}; a bare commit takes {median(commits) * 1000:.1f} ms here",
    )


def taken(url: str, reports: int, appliances: int) -> dict[str, Any]:
    """Take differences of so many appliances in turn, after a full report of each."""
    from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind
    from cloudmon.model.identity import ApplianceId
    from cloudmon.model.sets import SetSpec, Template
    from cloudmon.store import open_store

    store = open_store(url, log_key=b"k" * 32, anchor_dir=None, now=NOW)
    owner = store.monitors.begin(host="here", pid=1, now=NOW)
    spec = SetSpec("shops", appliances, Template("web", {"*": "image"}))
    aset = store.sets.put(owner, uid=None, spec=spec, author="bench", now=NOW)
    process = {"name": "nginx", "user": "www", "command": "nginx: worker process " + "x" * 40, "since": 1769000000}
    items = {str(pid): {**process, "state": "S", "cpu": 0.02, "rss_mib": 12} for pid in range(1000, 1000 + PROCESSES)}
    difference = {"processes": {"set": items, "del": ["999"]}}

    def report(ordinal: int, seq: int) -> Report:
        before, after = (hashlib.sha256(f"{ordinal}/{at}".encode()).hexdigest() for at in (seq - 1, seq))
        kind, body = (ReportKind.FULL, {"processes": items}) if seq == 1 else (ReportKind.DIFF, difference)
        at = NOW + dt.timedelta(seconds=seq)
        return Report(
            ApplianceId(aset.uid, ordinal), "default", 1, "instance", "boot", seq, kind, before, after, "interval",
            at, at, body, version="1", offset_s=0.01,
        )  # fmt: skip

    for ordinal in range(1, appliances + 1):
        of = ApplianceId(aset.uid, ordinal)
        token = Enrolment(f"a-{ordinal}", of, "default", 1, "bench", NOW, NOW)
        store.agents.enrol(owner, Agent(of, "default", 1, "instance", "1", NOW, 0), enrolment=token, now=NOW)
    store.reports.take(owner, [report(ordinal, 1) for ordinal in range(1, appliances + 1)], now=NOW)
    coming = [report(1 + number % appliances, 2 + number // appliances) for number in range(reports)]
    began = time.perf_counter()
    for at in range(0, reports, TOGETHER):
        if not all(store.reports.take(owner, coming[at : at + TOGETHER], now=NOW)):
            raise RuntimeError("a report was not taken")
    seconds = time.perf_counter() - began
    store.close()
    return {"rate": reports / seconds}


if __name__ == "__main__":
    children.answer({"taken": taken})
