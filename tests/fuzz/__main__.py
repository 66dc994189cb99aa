"""Fuzz the readers of foreign bytes with atheris, guided by what they reach.

    python -m tests.fuzz [--seconds 60] [name …]

Each named target, or every one, runs in a process of its own for so long; what upsets one is printed and kept.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import agent
from tests.fuzz.targets import TARGETS

FOUND = 1
"""Exit code when a target was upset."""
MISSING = 3
"""Exit code when atheris is not installed."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="where what upsets one is kept")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(TARGETS))
    told = parser.parse_args()
    unknown = [name for name in told.names if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris (it has wheels for Linux on x86-64)", file=sys.stderr)
        return MISSING
    upset = []
    for name in told.names or TARGETS:
        runs = _fuzzed(name, told.seconds, told.keep)
        print(f"{name:18} {'well' if runs else 'UPSET'}{f', {runs:,} runs' if runs else ''}", flush=True)
        if not runs:
            upset.append(name)
    return FOUND if upset else 0


def _fuzzed(name: str, seconds: int, keep: Path) -> int:
    """How often a target was run; 0 when something upset it, which is printed then."""
    with tempfile.TemporaryDirectory() as corpus:
        for at, seed in enumerate(TARGETS[name].seeds):
            (Path(corpus) / f"seed-{at}").write_bytes(seed)
        keep.mkdir(exist_ok=True)
        room = "agent" if name in agent.TARGETS else "channel"
        command = [sys.executable, "-m", "tests.fuzz.one", room, name, str(seconds), corpus, f"{keep}/{name}-"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if not any(keep.iterdir()):
        keep.rmdir()
    last = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    if done.returncode == 0 and last:
        return int(last[-1].split()[1])
    print(done.stdout[-4_000:], done.stderr[-6_000:], file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
