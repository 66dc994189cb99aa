"""Every reader of foreign bytes against bytes that nobody meant: its seeds bent, cut, doubled, or anything at all.

A short look each time; ``python -m tests.fuzz`` looks as long as it is told, guided by what it reaches.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 50
PIECES = (
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\n", b" ", b":", b"\t", b'"', b"\\", b"\\ud800", b"{", b"}", b"[", b"]",
    b",", b"null", b"true", b"-1", b"1e999", b"1e-400", b"NaN", b"9" * 25, b"0.1", b"[" * 600,
    b'{"a":' * 600, b"9" * 400,
    b"-0", b"Infinity", b"\xe2\x98\x83", b"\r\n", b"%", b"=", b"'", b"..", b"/",
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 40), st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))),
    min_size=1,
    max_size=5,
)


def bent(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """A seed with pieces of it replaced."""
    for at, length, piece in edits:
        here = at % (len(seed) + 1)
        seed = seed[:here] + piece + seed[here + length :]
    return seed[:4_096]


ODD = (
    b"null", b"true", b"0", b"-1", b"1.5", b"1e999", b"9" * 25, b"9" * 400, b"-" + b"9" * 400, b'""', b'"x"',
    b'"\\ud800"',
    b'"\\u0000"', b"[]", b"{}", b"[[]]", b'{"a":{}}', b"[1]", b"[" * 3_000 + b"]" * 3_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'"9"', b'"-1"', b'"' + b"9" * 400 + b'"', b'"nan"', b'"/a"',
)  # fmt: skip
"""Values that may stand anywhere in JSON, as they are written."""


def places(found: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value within JSON, and to the whole of it."""
    yield way
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, value in inner:
        yield from places(value, (*way, name))


def replaced(seed: bytes) -> Iterator[bytes]:
    """A seed in JSON with each of its values in turn replaced by every odd one."""
    for way in places(json.loads(seed)):
        found = json.loads(seed)
        inside = found
        for name in way[:-1]:
            inside = inside[name]
        if way:
            inside[way[-1]] = "@@"
        text = json.dumps(found if way else "@@").encode()
        for odd in ODD:
            yield text.replace(b'"@@"', odd)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    return st.one_of(st.builds(bent, st.sampled_from(target.seeds), EDITS), st.binary(max_size=120))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_upsets_it(name: str) -> None:
    """A fault is named with the bytes that show it, cut down to what is needed."""
    target = TARGETS[name]

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs(target))
    def look(raw: bytes) -> None:
        target.run(raw)

    for seed in target.seeds:
        target.run(seed)
        for raw in replaced(seed) if seed.startswith(b"{") else ():
            target.run(raw)
    look()


def test_a_target_is_upset_by_a_fault() -> None:
    """The measure sees what it is there to see."""

    def fails(raw: bytes) -> None:
        assert b"\0" not in raw

    @settings(max_examples=5_000, deadline=None, database=None)
    @given(inputs(Target(fails, (b"abc",))))
    def look(raw: bytes) -> None:
        fails(raw)

    with pytest.raises(AssertionError):
        look()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is NOT INSTALLED: no guided fuzzing here"
)
def test_a_target_runs_under_atheris(tmp_path: Path) -> None:
    done = run("--seconds", "1", "--keep", str(tmp_path / "found"), "passwd")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("passwd")
    assert "well" in done.stdout
    assert not (tmp_path / "found").exists()


def test_a_target_that_does_not_exist_is_named() -> None:
    done = run("nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
