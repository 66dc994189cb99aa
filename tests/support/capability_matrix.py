"""The capability matrix of ``providers/README.md``: a run of the conformance suite as a table.

``python tests/support/capability_matrix.py`` runs the suite on every provider that has a column and writes the table.
As a pytest plugin (``-p capability_matrix --matrix-json FILE``) it keeps the tests that have a column and records them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cloudmon.provider import ABILITIES

ROOT = Path(__file__).parents[2]
README = ROOT / "providers" / "README.md"
BEGIN = "<!-- capability matrix: written by tests/support/capability_matrix.py -->"
END = "<!-- end of the capability matrix -->"
SHOWN = {"passed": "yes", "skipped": "not offered", "failed": "**no**"}
OFFERED = {"passed": "yes", "skipped": "-", "failed": "yes"}
OFFER_LAW = "test_a_node_that_never_was_is_not_found_by"
"""Runs for each verb that is offered, and is skipped for the others."""
OTHER_LAWS = (
    "test_nothing_to_tell_is_an_empty_answer_to",
    "test_nothing_is_known_of_a_command_that_was_never_begun_by",
    "test_what_was_never_kept_and_a_node_that_is_gone_are_quiet_for",
    "test_a_group_that_nobody_is_in_is_quiet_for",
)
"""Likewise, for verbs that are about no node."""

Results = Mapping[str, Mapping[str, str]]
"""Column → law → ``passed``, ``skipped`` or ``failed``."""

_json = pytest.StashKey[dict[str, dict[str, str]]]()


# --- plugin -----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix-json", default="", help="where to write what each law came to")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_json] = {}
    config.pluginmanager.register(_Recorder(config), "capability-matrix-recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if getattr(getattr(item, "cls", None), "column", "")]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


class _Recorder:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        laws = self._config.stash[_json].setdefault(str(properties.get("column", "")), {})
        law = str(properties.get("law", report.nodeid))
        if report.outcome != "passed" or report.when == "call":
            # A law whose nodes could not be ended afterwards is broken too.
            laws[law] = "failed" if laws.get(law) == "failed" else report.outcome

    def pytest_sessionfinish(self) -> None:
        target = self._config.getoption("--matrix-json")
        if target:
            Path(target).write_text(json.dumps(self._config.stash[_json]))


# --- table ------------------------------------------------------------------------------------------------------------


def run(files: Sequence[Path], scratch: Path) -> Results:
    """Run these files' suites in a process of their own; what each law came to, by column."""
    target = scratch / "matrix.json"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-m", "pytest", "-p", "capability_matrix", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--matrix-json", str(target), *map(str, files)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not target.exists():
        raise RuntimeError(f"the suite did not run:\n{done.stdout}\n{done.stderr}")
    found: Results = json.loads(target.read_text())
    return found


def suites() -> list[Path]:
    """Every file that holds a provider to the suite."""
    files = sorted((ROOT / "tests" / "conformance").glob("test_*.py"))
    return [file for file in files if "ProviderConformance" in file.read_text()]


def table(results: Results) -> str:
    """The results in Markdown: which verbs are offered beside the core, then each promise."""
    columns = list(results)
    head = [f"| {{}} | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    offered = [
        _row(f"`{verb}`", [OFFERED.get(_offered(results[column], verb), "") for column in columns])
        for _, verbs in ABILITIES.values()
        for verb in verbs
    ]
    laws = dict.fromkeys(law.partition("[")[0] for column in columns for law in results[column])
    kept = [_row(sentence(law), [_together(results[column], law) for column in columns]) for law in laws]
    tables = ([head[0].format("verb"), head[1], *offered], [head[0].format("promise"), head[1], *kept])
    return "\n\n".join("\n".join(lines) for lines in tables)


def _offered(laws: Mapping[str, str], verb: str) -> str:
    return next((found for law in (OFFER_LAW, *OTHER_LAWS) if (found := laws.get(f"{law}[{verb}]"))), "")


def _row(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def _together(laws: Mapping[str, str], name: str) -> str:
    """One cell for a law and all its parameters: broken once is broken, and kept where offered is kept."""
    outcomes = {outcome for law, outcome in laws.items() if law.partition("[")[0] == name}
    worst = next((each for each in ("failed", "passed", "skipped") if each in outcomes), "")
    return SHOWN.get(worst, "")


def sentence(law: str) -> str:
    """A test's name as the sentence that it is."""
    return law.removeprefix("test_").replace("_", " ")


def in_readme() -> str:
    """The table as it stands in the README."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> int:
    import tempfile  # noqa: PLC0415 - the plugin needs none

    with tempfile.TemporaryDirectory() as scratch:
        results = run(suites(), Path(scratch))
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")
    failed = [f"{column}: {law}" for column, laws in results.items() for law, each in laws.items() if each == "failed"]
    sys.stdout.write("\n".join(failed) + "\n" if failed else f"written: {README}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
