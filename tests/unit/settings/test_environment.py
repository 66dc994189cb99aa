"""The environment wins over the file, and says so when it is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _nothing_of_ours_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [v for v in os.environ if v.upper().startswith("CLOUDMON_")]:
        monkeypatch.delenv(variable)


def test_a_variable_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_SETS__STOREFRONT__COUNT", "7")
    monkeypatch.setenv("CLOUDMON_AUTHOR", "night-shift")
    loaded = settings.load(write())
    assert (loaded.sets["storefront"].count, loaded.author) == (7, "night-shift")
    assert loaded.sets["storefront"].template == "web"


def test_an_underscore_in_a_name_stands_for_its_hyphen_and_case_does_not_count(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDMON_SETS__BACK_OFFICE__COUNT", "2")
    assert settings.load(write('[sets.Back-Office]\ntemplate = "web"\ncount = 1')).sets["Back-Office"].count == 2


def test_lists_and_tables_are_json(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_SETS__STOREFRONT__CLOUDS", '["east"]')
    monkeypatch.setenv("CLOUDMON_SETS__STOREFRONT__LEASE", '{"duration": "1d"}')
    loaded = settings.load(write()).sets["storefront"]
    assert (loaded.clouds, loaded.lease.duration) == (("east",), 86_400)


def test_broken_json_is_named_without_its_text(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_CLOUDS", '{"hunter2"')
    with pytest.raises(SettingsError, match=r"^environment: .*clouds.*JSON") as caught:
        settings.load(write())
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("secret", ["hunter2", "12345", "true", "null", "1e5"])
def test_a_providers_secret_comes_from_the_environment_as_it_was_written(
    write: Write, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("CLOUDMON_CLOUDS__EAST__OPTIONS__SECRET_KEY", secret)
    monkeypatch.setenv("CLOUDMON_CLOUDS__EAST__OPTIONS__SEED", "4")
    options = settings.load(write()).options("east")
    assert options.secret_key.get_secret_value() == secret  # type: ignore[attr-defined]
    assert options.seed == 4  # type: ignore[attr-defined]


def test_a_fault_in_the_environment_is_named_by_its_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_MONITOR__DRAIN_S", "soon")
    with pytest.raises(SettingsError, match=r"^environment variable CLOUDMON_MONITOR__DRAIN_S: monitor") as caught:
        settings.load(write())
    assert caught.value.file == ""


def test_a_misspelt_key_in_the_environment_is_not_overlooked(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_MONITOR__DRAIN", "3")
    with pytest.raises(SettingsError, match=r'CLOUDMON_MONITOR__DRAIN.* unknown key; did you mean "drain_s"'):
        settings.load(write())


def test_a_misspelt_group_in_the_environment_is_not_overlooked(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDMON_MONITR__DRAIN_S", "3")
    with pytest.raises(
        SettingsError, match='CLOUDMON_MONITR__DRAIN_S: monitr is an unknown key; did you mean "monitor"'
    ):
        settings.load(write())


def test_what_a_container_platform_sets_for_a_service_of_our_name_is_left_alone(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDMON_PORT", "tcp://10.0.0.1:8787")
    monkeypatch.setenv("CLOUDMON_SERVICE_HOST", "10.0.0.1")
    assert settings.load(write()).author == "file:shop"
