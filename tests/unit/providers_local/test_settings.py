"""What a local cloud may be told: where it lives, how much it may have, and what it refuses to be used for."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from pydantic import ValidationError

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon_providers.local import LocalSettings


def test_the_directory_is_relative_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "shop.toml"
    path.parent.mkdir()
    path.write_text('[clouds.here]\nprovider = "local"\noptions = { directory = "../var/here", images = "roots" }')
    options = settings.load(path).options("here").model_dump()
    assert (options["directory"], options["images"]) == (str(tmp_path / "var/here"), str(tmp_path / "conf/roots"))


@pytest.mark.parametrize(
    ("directory", "why"),
    [
        ("/", "must be a directory of its own, not / itself"),
        ("/home", "must be a directory of its own, not /home itself"),
        ("/srv", "must be a directory of its own, not /srv itself"),
        ("/srv/../home/.", "must be a directory of its own, not /home itself"),
        ("/etc/cloudmon", "must not lie in /etc, which is the system's"),
        ("/usr/local/cloud", "must not lie in /usr, which is the system's"),
        ("/proc/self/cloud", "must not lie in /proc, which is the system's"),
        ("", "must name a directory"),
        ("a\0b", "must name a directory"),
    ],
)
def test_a_directory_that_others_need_is_refused(directory: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        LocalSettings(directory=directory)


def test_somebodys_home_and_what_holds_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "people" / "ada"
    home.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    ada = pwd.struct_passwd(("ada", "x", 1, 1, "", str(home), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [ada])
    for path in (home, home.parent, tmp_path / "link"):
        with pytest.raises(ValidationError, match="is, or holds, somebody's home"):
            LocalSettings(directory=str(path))
    assert LocalSettings(directory=str(home / "cloud")).directory == str(home / "cloud")
    assert LocalSettings(directory=str(tmp_path / "else")).directory == str(tmp_path / "else")


def test_more_machines_than_a_trial_needs_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[clouds.here]\nprovider = "local"\noptions = { directory = "here", max_nodes = 51 }')
    with pytest.raises(SettingsError, match="must be at most 50: this provider is for trials, tests and demos"):
        settings.load(path)
    assert LocalSettings(directory=str(tmp_path / "here"), max_nodes=50).max_nodes == 50
    assert LocalSettings(directory=str(tmp_path / "here")).max_nodes == 20


def test_an_unknown_key_and_a_missing_directory_are_refused() -> None:
    with pytest.raises(ValidationError, match="directory"):
        LocalSettings.model_validate({})
    with pytest.raises(ValidationError, match="sead"):
        LocalSettings.model_validate({"directory": f"{Path.cwd()}/var/x", "sead": 1})
