"""Every file in config/ is a settings file that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmon import settings

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "config").glob("*.toml"))


@pytest.fixture
def moon() -> None:
    """The providers that are really installed, in place of this folder's simulated ones."""


def test_there_are_examples() -> None:
    assert {"dummy", "guests", "local", "minimal", "postgres", "aws"} <= {path.stem for path in EXAMPLES}


def test_a_simulated_world_lies_beside_the_settings_file_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[clouds.east]\nprovider = "dummy"\noptions.world = "../var/east.world"', encoding="utf-8")
    assert settings.load(path).options("east").model_dump()["world"] == str(tmp_path.parent / "var/east.world")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads_and_wants_something(path: Path) -> None:
    loaded = settings.load(path)
    assert loaded.specs()
    assert all(loaded.options(cloud) for cloud in loaded.clouds)
