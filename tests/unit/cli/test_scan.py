"""``cloudmon scan`` looks for malware in files of this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloudmon.cli.app import app

BAD = b"a sample that is known"
SETTINGS = '[store]\nurl = "memory"\n[clouds.east]\nprovider = "dummy"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "bad.txt").write_text(f"{hashlib.sha256(BAD).hexdigest()}  Test.Sample\n", encoding="utf-8")
    path = tmp_path / "cloudmon.toml"
    path.write_text(f'{SETTINGS}[malware]\nhashes = ["bad.txt"]\n', encoding="utf-8")
    return path


def test_something_found_is_exit_code_2(config: Path, tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    sample.write_bytes(BAD)
    ran = CliRunner().invoke(app, ["scan", "-c", str(config), "-o", "json", str(sample)])
    assert ran.exit_code == 2
    [found] = json.loads(ran.stdout)
    assert (found["path"], found["state"], found["signature"]) == (str(sample), "found", "Test.Sample")


def test_nothing_found_is_exit_code_0_and_a_file_that_cannot_be_read_is_1(config: Path, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    ran = CliRunner().invoke(app, ["scan", "-c", str(config), str(tmp_path / "good")])
    assert (ran.exit_code, ran.stderr) == (0, "nothing was found in 1 files\n")
    assert CliRunner().invoke(app, ["scan", "-c", str(config), str(tmp_path / "nothing")]).exit_code == 1


def test_without_signatures_it_says_where_to_name_them(tmp_path: Path) -> None:
    (tmp_path / "cloudmon.toml").write_text(SETTINGS, encoding="utf-8")
    ran = CliRunner().invoke(app, ["scan", "-c", str(tmp_path / "cloudmon.toml"), str(tmp_path)])
    assert ran.exit_code == 1
    assert "name hashes or rules under [malware]" in ran.stderr
