"""A settings file tells when it changed, and a broken one leaves the old settings with the caller."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

Write = Callable[..., Path]


def test_a_file_that_was_never_read_is_changed_and_one_that_was_is_not(write: Write) -> None:
    file = settings.SettingsFile(write())
    assert file.changed()
    assert file.reload().author == "file:shop"
    assert not file.changed()


def test_new_content_is_seen_and_read(write: Write) -> None:
    file = settings.SettingsFile(write())
    file.reload()
    write("clouds = ['east']")
    assert file.changed()
    assert file.reload().sets["storefront"].clouds == ("east",)
    assert not file.changed()


def test_touching_a_file_or_writing_the_same_again_is_no_change(write: Write) -> None:
    path = write()
    file = settings.SettingsFile(path)
    file.reload()
    os.utime(path, (1, 1))
    assert not file.changed()
    write()
    assert not file.changed()


def test_a_broken_file_raises_once_and_is_quiet_until_it_is_written_again(write: Write) -> None:
    file = settings.SettingsFile(write())
    file.reload()
    write("count = [")
    assert file.changed()
    with pytest.raises(SettingsError, match="no valid TOML"):
        file.reload()
    assert not file.changed()
    write("tenant = 'acme'")
    assert file.changed()
    assert file.reload().sets["storefront"].tenant == "acme"


def test_a_file_that_goes_away_and_comes_back_is_seen_both_times(write: Write) -> None:
    path = write()
    file = settings.SettingsFile(path)
    file.reload()
    path.unlink()
    assert file.changed()
    with pytest.raises(SettingsError, match="no such file"):
        file.reload()
    assert not file.changed()
    write()
    assert file.changed()


def test_the_files_that_settings_name_are_watched_too(write: Write, tmp_path: Path) -> None:
    (tmp_path / "boot.sh").write_text("one", encoding="utf-8")
    file = settings.SettingsFile(write('[templates.x]\nimages = {"*" = "i"}\nuser_data_file = "boot.sh"'))
    file.reload()
    (tmp_path / "boot.sh").write_text("two", encoding="utf-8")
    assert file.changed()
    assert file.reload().templates["x"].user_data == "two"
    (tmp_path / "boot.sh").unlink()
    assert file.changed()
    with pytest.raises(SettingsError, match="user_data_file"):
        file.reload()
    (tmp_path / "boot.sh").write_text("three", encoding="utf-8")
    assert file.changed()


def test_a_configuration_switched_by_its_link_is_seen(write: Write, tmp_path: Path) -> None:
    old, new = write(name="old.toml"), write("tenant = 'acme'", name="new.toml")
    link = tmp_path / "live.toml"
    link.symlink_to(old)
    file = settings.SettingsFile(link)
    file.reload()
    link.unlink()
    link.symlink_to(new)
    assert file.changed()
    assert file.reload().sets["storefront"].tenant == "acme"
