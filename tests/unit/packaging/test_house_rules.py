"""Rules of the house that no linter knows: who may ask the machine for the time or the environment, and words that
say nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted([*(ROOT / "cloudmon").rglob("*.py"), *(ROOT / "providers").rglob("*.py")])

TIME = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "time.sleep",
}  # fmt: skip
AMBIENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
SAYS_NOTHING = {
    "cluster",
    "backend",
    "sync",
    "master",
    "brake",
    "util",
    "utils",
    "manager",
    "helper",
    "helpers",
    "handler",
}


def called_by_the_name_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every dotted name that a module uses, written as its last two parts, with aliases of modules undone."""
    alias: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias |= {name.asname: name.name for name in node.names if name.asname}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for name in node.names:
                alias[name.asname or name.name] = f"{node.module}.{name.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ".".join([*dotted(node.value, alias).split("."), node.attr][-2:]), node.lineno
        elif isinstance(node, ast.Name) and node.id in alias:
            yield ".".join(alias[node.id].split(".")[-2:]), node.lineno


def dotted(node: ast.expr, alias: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, alias)}.{node.attr}"
    return alias.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def defined(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno


def words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def uses(source: str, names: set[str]) -> list[str]:
    return [f"{line}: {name}" for name, line in called_by_the_name_of(ast.parse(source)) if name in names]


def offences(paths: list[Path], names: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{use}" for path in paths for use in uses(path.read_text(encoding="utf-8"), names)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "import time as t\nt.monotonic()",
        "from time import sleep\nsleep(1)",
        "from time import time as now\nnow()",
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
        "import datetime as dt\ndefault = dt.date.today",
    ],
)
def test_the_scan_sees_every_way_to_ask_for_the_time(source: str) -> None:
    assert uses(source, TIME)


def test_only_the_clock_asks_the_machine_for_the_time_or_sleeps() -> None:
    # The agent runs elsewhere and has a clock of its own.
    clocks = {ROOT / "cloudmon/clock.py", ROOT / "cloudmon/agent/clock.py"}
    # A provider of real processes waits for real processes, whatever the clock says that it is handed.
    local = ROOT / "providers/cloudmon_providers/local"
    assert offences([path for path in SOURCES if path not in clocks and path.parent != local], TIME) == []


def test_only_settings_read_the_environment() -> None:
    assert uses("import os\nos.environ['A']", AMBIENT)
    assert uses("from os import environ\nenviron['A']", AMBIENT)
    apart = {ROOT / "cloudmon/agent/surroundings.py"}
    paths = [path for path in SOURCES if path.parent != ROOT / "cloudmon/settings" and path not in apart]
    assert offences(paths, AMBIENT) == []


def test_no_name_of_ours_says_nothing() -> None:
    assert words("SyncManager") & SAYS_NOTHING == {"sync", "manager"}
    assert words("synchronous_fsync_handlers") & SAYS_NOTHING == set()
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        for name, line in [(path.stem, 1), *defined(ast.parse(path.read_text(encoding="utf-8")))]
        if words(name) & SAYS_NOTHING
    ]
    assert found == []


def test_no_file_is_longer_than_anybody_can_justify() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert {path: count for path, count in lines.items() if count > 450} == {}
