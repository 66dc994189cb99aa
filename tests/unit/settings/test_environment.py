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


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        pytest.param(
            "CLOUDMON_SETS__STORFRONT__COUNT",
            "3",
            'sets.storfront.template is missing, and {file} has no sets.storfront; did you mean "storefront"?',
            id="misspelt set",
        ),
        pytest.param(
            "CLOUDMON_SETS__STORFRONT",
            '{"count": 3}',
            'sets.storfront.template is missing, and {file} has no sets.storfront; did you mean "storefront"?',
            id="misspelt set, as a table",
        ),
        pytest.param(
            "CLOUDMON_CLOUDS__EAST_2__LISTING_LAG_S",
            "3",
            'clouds.east-2.provider is missing, and {file} has no clouds.east-2; did you mean "east"?',
            id="no such cloud",
        ),
        pytest.param(
            "CLOUDMON_CLOUDS__EAST__PRICES__BIG__CURRENCY",
            "EUR",
            "clouds.east.prices.big.per_hour is missing, and {file} has no clouds.east.prices.",
            id="half a table that is no named one",
        ),
    ],
)
def test_what_variables_alone_made_and_left_incomplete_is_their_fault(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """The file would be searched in vain: a misspelt name in a variable is the fault most often."""
    monkeypatch.setenv(variable, value)
    path = write()
    sentences = [problem.message for problem in settings.problems(path)]
    assert f"environment variable {variable}: {sentence.format(file=path)}" in sentences


def test_what_the_file_began_and_left_incomplete_stays_the_files_fault(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDMON_SETS__BACK__COUNT", "3")
    path = write("[sets.back]\ncount = 2\n")
    assert [problem.message for problem in settings.problems(path)] == [f"{path}: sets.back.template is missing."]
