"""One target under atheris, in a process of its own: ``python -m tests.fuzz.one NAME SECONDS CORPUS KEEP``."""

from __future__ import annotations

import sys


def main() -> None:
    import atheris  # type: ignore[import-untyped, unused-ignore]

    name, seconds, corpus, keep = sys.argv[1:]
    # What is imported in here is watched; what was imported before is not.
    with atheris.instrument_imports(include=["cloudmon.agent", "cloudmon.channel", "cloudmon.model"]):
        from tests.fuzz.targets import TARGETS
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={keep}", corpus], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
