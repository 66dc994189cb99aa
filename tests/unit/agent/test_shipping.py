"""The one file that is shipped."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cloudmon
from cloudmon.agent import version
from cloudmon.channel import shipping

FOLDER = Path(cloudmon.__file__).parent / "agent"
SOURCES = sorted(FOLDER.rglob("*.py"))


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_module_is_python_3_9_of_the_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert imports(tree) <= sys.stdlib_module_names - {"tomllib"}
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) == "zip" and node.keywords
    ]


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_alternatives_of_types_are_written_in_annotations_only(path: Path) -> None:
    """``X | Y`` of types is an error in Python 3.9 where it is evaluated."""
    tree = ast.parse(path.read_text())
    if any(isinstance(node, ast.Name) and node.id == "Optional" for node in ast.walk(tree)):
        return
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if annotation is not None
        for inner in ast.walk(annotation)
    }
    evaluated = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and id(node) not in annotations
        and isinstance(node.right, ast.Constant)
        and node.right.value is None
    ]
    assert evaluated == []


def test_it_is_small_and_the_same_each_time_it_is_built() -> None:
    first = shipping.build()
    shipping.build.cache_clear()
    assert shipping.build() == first
    assert len(first) <= 200_000
    assert first.startswith(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2020, 1, 1, 0, 0, 0)}
        names = set(archive.namelist())
    assert names == {"__main__.py"} | {
        f"{shipping.NAME}/{path.relative_to(FOLDER).as_posix()}" for path in SOURCES if path.name != "__main__.py"
    }


def test_it_is_built_without_importing_the_agent() -> None:
    code = "import sys; from cloudmon.channel import shipping; shipping.build(); print('cloudmon.agent' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_it_runs_by_itself_and_says_its_version(tmp_path: Path) -> None:
    file = tmp_path / "cloudmon-agent.pyz"
    file.write_bytes(shipping.build())
    words = [sys.executable, "-I", "-S", "-W", "error", str(file), "--version"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/", env={})
    assert ran.stdout == f"cloudmon-agent {shipping.version()}\n"
    assert shipping.version().startswith(f"{cloudmon.__version__}+")
    assert cloudmon.__version__ == version.VERSION


def test_one_that_is_built_for_a_monitor_needs_to_be_told_its_token_alone(tmp_path: Path) -> None:
    """And another one that takes its place knows where that is."""
    state = tmp_path / "state"
    for url, code, said in (
        ("https://127.0.0.1:1", 3, "--enrol"),
        ("", 3, "--enrol"),
        ("https://other:1", 3, "--enrol"),
    ):
        file = tmp_path / "cloudmon-agent.pyz"
        file.write_bytes(shipping.build(url))
        command = [sys.executable, str(file), "--state", str(state), "--once"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
        assert json.loads((state / "where.json").read_text(encoding="utf-8"))["url"] == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["--nonsense"], 2, "unrecognized arguments", id="option"),
        pytest.param(["--enrol", "cm1.x"], 2, "not of the form cm1.", id="token"),
        pytest.param(["--enrol-file", "/no/such/token"], 1, "/no/such/token: No such file", id="token's file"),
        pytest.param(["--url", "ftp://a"], 2, "not of the form https://host:port", id="address"),
        pytest.param(["--url", "https://a/path"], 2, "has a path", id="address with a path"),
        pytest.param([], 2, "--url https://host:port", id="no address"),
        pytest.param(["--url", "https://127.0.0.1:1", "--once"], 3, "--enrol", id="no token"),
        pytest.param(["--root", "/no/such/folder"], 2, "is no directory", id="root"),
        pytest.param(
            ["--url", "https://127.0.0.1:1", "--ca", "/no/such/ca"], 1, "/no/such/ca: No such", id="authority"
        ),
    ],
)
def test_misuse_is_one_sentence_and_a_code(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(shipping.build())
    command = [sys.executable, str(file), "--state", str(tmp_path / "state"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == code
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
