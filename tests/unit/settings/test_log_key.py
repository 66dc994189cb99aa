"""The key of the action log: made once, or taken from where it is kept."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

Write = Callable[..., Path]


def test_a_key_is_made_once_and_is_its_owners_alone(write: Write, tmp_path: Path) -> None:
    loaded = settings.load(write())
    key = settings.log_key(loaded)
    assert len(key) == 64
    assert settings.log_key(loaded) == key
    assert stat.S_IMODE((tmp_path / "var/log.key").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "var").iterdir()] == ["log.key"]


def test_reading_settings_makes_nothing(write: Write, tmp_path: Path) -> None:
    settings.load(write())
    assert [p.name for p in tmp_path.iterdir()] == ["shop.toml"]


def test_two_estates_never_share_a_key(write: Write, tmp_path: Path) -> None:
    one = settings.log_key(settings.load(write('[monitor]\nstate_dir = "a"')))
    assert one != settings.log_key(settings.load(write('[monitor]\nstate_dir = "b"')))


def test_a_named_key_is_read_and_never_made(write: Write, tmp_path: Path) -> None:
    loaded = settings.load(write('[store]\nlog_key_file = "k"'))
    with pytest.raises(SettingsError, match=r"store\.log_key_file\) cannot be had: No such file"):
        settings.log_key(loaded)
    (tmp_path / "k").write_bytes(b"0123456789abcdef\n")
    assert settings.log_key(loaded) == b"0123456789abcdef"


def test_a_key_that_is_too_short_is_refused_without_showing_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"hunter2")
    with pytest.raises(SettingsError, match="7 bytes, at least 16") as caught:
        settings.log_key(settings.load(write('[store]\nlog_key_file = "k"')))
    assert "hunter2" not in caught.value.message
