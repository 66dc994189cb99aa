"""Starting the service: until it serves, and what it takes then."""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import children, estates
from tests.benchmarks.figures import REPEATS, Figure, median, spread

APPLIANCES = 20
START_S = 30.0
TICKS = 3


def figures(folder: Path, *, repeats: int = REPEATS) -> Iterator[Figure]:
    """Time from the command to the first answer, and resident memory after a few ticks."""
    serving, busy, resident, ending = [], [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as place, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
            path = estates.settings(Path(place), APPLIANCES, cloud=estates.IN_MEMORY, port=port)
            free.close()
            began = time.perf_counter()
            with children.running([children.COMMAND, "run", "-c", path]) as process:
                _until(port, "/livez")
                serving.append(time.perf_counter() - began)
                busy.append(children.cpu_s(process.pid))
                _until(port, "/healthz")
                while _runs(port) < TICKS:
                    time.sleep(0.1)
                resident.append(children.resident_mib(process.pid))
                asked = time.perf_counter()
            ending.append(time.perf_counter() - asked)
    yield Figure(
        "`cloudmon run` on dummy: serving after",
        median(serving),
        "s",
        1.5,
        beside=f"{spread(serving, 's')}; processor time until then {median(busy):.2f} s",
    )
    yield Figure("`cloudmon run` on dummy: resident", median(resident), "MiB", 110, beside=spread(resident, "MiB"))
    yield Figure("`cloudmon run` on dummy: ended after SIGTERM", median(ending), "s", 5, beside=spread(ending, "s"))


def _until(port: int, path: str) -> None:
    """Ask until the answer is 200. RuntimeError when it takes too long."""
    deadline = time.perf_counter() + START_S
    while time.perf_counter() < deadline:
        try:
            if _get(port, path)[0] == 200:
                return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{path} did not answer 200 within {START_S:g} s")


def _runs(port: int) -> int:
    jobs = {job["name"]: job for job in json.loads(_get(port, "/healthz")[1])["jobs"]}
    runs: int = jobs["tick"]["runs"] if "tick" in jobs else 0
    return runs


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
