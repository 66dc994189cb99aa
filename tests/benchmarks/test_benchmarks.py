"""The benchmarks run; what they measure is for `make bench` to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        pytest.param("cold", 2, id="cold"),
        pytest.param("run", 3, id="run"),
        pytest.param("launch", 1, id="launch"),
        pytest.param("ec2", 4, id="ec2"),
        pytest.param("fold", 3, id="fold"),
        pytest.param("agent", 3, id="agent"),
        pytest.param("quiet", 7, id="quiet"),
        pytest.param("channel", 8, id="channel"),
        pytest.param("channel-mutations", 1, id="channel-mutations"),
        pytest.param("attending", 1, id="attending"),
        pytest.param("reports", 1, id="reports"),
        pytest.param("detection", 5, id="detection"),
        pytest.param("guests", 4, id="guests"),
    ],
)
def test_a_quick_run_prints_every_figure(name: str, figures: int) -> None:
    done = run("--quick", name)
    assert done.stderr == ""
    heading, *lines, end = done.stdout.splitlines()
    assert heading.startswith("FIGURE")
    assert end.startswith(f"  ({name}: ")
    assert len(lines) == figures
    assert done.returncode == 0


def test_a_benchmark_that_does_not_exist_is_named() -> None:
    done = run("--quick", "nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
