"""`cloudmon doctor` prints what it found, and its exit code says whether all is in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from cloudmon.cli.doctor import doctor
from cloudmon.cli.options import Format

GOOD = """
[monitor]
state_dir = "state"
[store]
url = "sqlite:///state/store.db"
[clouds.east]
provider = "dummy"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_where_nothing_is_wrong_it_just_ends(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(config, Format.TABLE)
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert ["cloud", "east", "good"] in rows


def test_where_something_is_wrong_it_ends_with_1_and_says_what_to_do(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(GOOD + "[clouds.west]\nprovider = 'dumy'", encoding="utf-8")
    with pytest.raises(typer.Exit) as caught:
        doctor(config, Format.JSON)
    assert caught.value.exit_code == 1
    found = json.loads(capsys.readouterr().out)
    assert [(row["subject"], row["verdict"]) for row in found] == [("versions", "good"), ("settings", "wrong")]
    assert 'did you mean "dummy"' in found[1]["found"]
    assert found[1]["next"] == "change clouds.west.provider"


def test_a_file_that_is_not_there_is_wrong_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        doctor(tmp_path / "gone.toml", Format.TABLE)
    assert "`cloudmon init` writes one" in capsys.readouterr().out
