"""Providers are found by name; looking up names imports nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from cloudmon import plugins
from cloudmon.errors import SettingsError


def install(monkeypatch: pytest.MonkeyPatch, **providers: str) -> None:
    points = [metadata.EntryPoint(name, value, plugins.PROVIDERS) for name, value in providers.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: points)


def test_the_providers_of_this_distribution_are_installed() -> None:
    assert {"dummy", "local", "aws", "generic"} <= set(plugins.providers())


def test_looking_up_names_imports_no_provider() -> None:
    code = "import sys; from cloudmon import plugins; plugins.providers(); print('cloudmon_providers' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_an_unknown_name_is_answered_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, dummy="a:b", aws="c:d")
    with pytest.raises(SettingsError, match="no provider is called 'dumy'; did you mean \"dummy\""):
        plugins.provider("dumy")


def test_a_name_that_is_near_none_is_answered_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, dummy="a:b", aws="c:d")
    with pytest.raises(SettingsError, match="'xyz'; known: aws, dummy$"):
        plugins.provider("xyz")


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint("aws", value, plugins.PROVIDERS) for value in ("a:b", "c:d")]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: points)
    with pytest.raises(SettingsError, match="two packages offer a provider called 'aws': a:b and c:d; uninstall one"):
        plugins.providers()


def test_one_package_found_twice_is_one_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint("aws", "a:b", plugins.PROVIDERS)] * 2
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: points)
    assert list(plugins.providers()) == ["aws"]


@pytest.mark.parametrize("value", ["os:sep", "os:getcwd"], ids=["not callable", "no settings model"])
def test_what_is_no_provider_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, odd=value)
    with pytest.raises(SettingsError, match="is installed as provider 'odd' and is none"):
        plugins.provider("odd")
