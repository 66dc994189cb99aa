"""The shipped agent on this machine, at rest, against a monitor that signs and adds up."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import children
from tests.benchmarks.figures import Figure

MEMORY_MIB = 30
CPU_PERCENT = 1.0
FILE_KB = 200
INTERVAL_S = 30


def figures(folder: Path, *, seconds: float = 3 * INTERVAL_S, interval_s: int = INTERVAL_S) -> Iterator[Figure]:
    """Size of the file, peak memory, and processor time once it has enrolled and told everything."""
    from cloudmon.channel import shipping
    from tests.support.stub_monitor import Authority, StubMonitor

    file = folder / "cloudmon-agent.pyz"
    file.write_bytes(shipping.build())
    monitor = StubMonitor(Authority(folder))
    monitor.config["interval_s"] = interval_s
    command = [
        sys.executable,
        str(file),
        "--enrol",
        monitor.token,
        "--url",
        monitor.url,
        "--state",
        str(folder / "state"),
    ]
    agent = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        monitor.until(lambda: monitor.reports, within_s=60)
        first_s = children.cpu_s(agent.pid)
        began, before = time.monotonic(), len(monitor.reports)
        time.sleep(seconds)
        used_s, passed_s = children.cpu_s(agent.pid) - first_s, time.monotonic() - began
        peak_mib = children.peak_mib(agent.pid)
        told = len(monitor.reports) - before
    finally:
        agent.terminate()
        agent.wait(10)
        monitor.close()
    first = len(str(monitor.reports[0]["sections"])) / 1024
    yield Figure("agent: size of the shipped file", file.stat().st_size / 1000, "kB", FILE_KB)
    yield Figure("agent: peak memory", peak_mib, "MiB", MEMORY_MIB, beside=f"first report about {first:.0f} KiB")
    yield Figure(
        f"agent: processor time at rest, reports every {interval_s} s",
        100 * used_s / passed_s,
        "%",
        CPU_PERCENT,
        beside=f"{told} reports in {passed_s:.0f} s; start and first report {first_s:.2f} s of processor time",
    )
