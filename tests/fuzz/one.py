"""One target under atheris, in a process of its own: ``python -m tests.fuzz.one ROOM NAME SECONDS CORPUS KEEP``."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    import atheris  # type: ignore[import-untyped, unused-ignore]

    room_name, name, seconds, corpus, keep = sys.argv[1:]
    # What is imported in here is watched; what was imported before is not.
    with atheris.instrument_imports(include=["cloudmon.agent", "cloudmon.channel", "cloudmon.model"]):
        room = importlib.import_module(f"tests.fuzz.{room_name}")
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={keep}", corpus], room.TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
