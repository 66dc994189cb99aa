"""`cloudmon init` writes a settings file that works, and never over another."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel, Field

from cloudmon import settings
from cloudmon.cli.init import init
from cloudmon.errors import RequestRefused, SettingsError


@pytest.mark.parametrize("provider", ["dummy", "local", "aws", "generic"])
def test_the_file_of_a_provider_loads_as_it_is(tmp_path: Path, provider: str) -> None:
    path = tmp_path / "mine.toml"
    init(provider, path)
    loaded = settings.load(path)
    assert loaded.clouds["east"].provider == provider
    assert [spec.name for spec in loaded.specs()] == ["storefront"]


def test_what_is_commented_out_is_good_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    init("dummy", path)
    text = path.read_text(encoding="utf-8")
    for line in ("poll_interval_s = 15", "health_port = 8787", 'log_format = "json"', "faults = {", "healing = {"):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    text = text.replace(
        "# [breakers.destructive]\n# per_set = 3\n# window_s", "[breakers.destructive]\nper_set = 3\nwindow_s"
    )
    path.write_text(text.replace("# [sweep]\n# orphans", "[sweep]\norphans"), encoding="utf-8")
    loaded = settings.load(path)
    assert (loaded.monitor.log_format, loaded.breakers.destructive.window_s) == ("json", 3_600)


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(RequestRefused, match=r"mine\.toml is there already; remove it, or name another file"):
        init("dummy", path)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match="cannot be written: No such file or directory"):
        init("dummy", tmp_path / "gone" / "mine.toml")


def test_an_unknown_provider_is_answered_with_the_nearest_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='did you mean "dummy"'):
        init("dumy", tmp_path / "mine.toml")
    assert list(tmp_path.iterdir()) == []


class SunOptions(BaseModel):
    project: str = Field(description="Who pays.")
    zones: tuple[str, ...] = Field(default=("a", "b"), description="Where.")
    token: str | None = None


def test_any_other_providers_file_names_every_option_with_its_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("sun_provider")
    module.Sun = type("Sun", (), {"settings_model": SunOptions})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sun_provider", module)
    point = metadata.EntryPoint("sun", "sun_provider:Sun", "cloudmon.providers")
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [point])
    path = tmp_path / "mine.toml"
    init("sun", path)
    text = path.read_text(encoding="utf-8")
    assert '# Who pays.\nproject = ""        # must be given\n' in text
    assert '# Where.\n# zones = ["a", "b"]\n# token = …\n' in text
    assert settings.load(path).options("east") == SunOptions(project="")
