"""What stands around the packages: pinned versions, the workflow, the Makefile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(
        re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9A-Za-z.+!]+)", line).groups() for line in lines if line[:1] != "#"
    )  # type: ignore[union-attr,misc]


def test_every_requirement_is_pinned_to_a_version_that_satisfies_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {canonicalize_name(name): version for name, version in constraints().items()}
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), text


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = re.search(r'__version__ = "(.+)"', (ROOT / "cloudmon/__init__.py").read_text(encoding="utf-8"))
    assert said is not None
    assert project["version"] == said[1]
    assert f"## {said[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_workflow_may_only_read() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert re.search(r"^permissions:\n  contents: read\n", text, re.MULTILINE)
    assert "write" not in re.sub(r"#.*", "", text)
    assert "secrets." not in text


def test_the_proof_is_executable_and_never_asks() -> None:
    run = ROOT / ".ci/run"
    assert run.stat().st_mode & 0o111
    assert "exec </dev/null" in run.read_text(encoding="utf-8")


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
