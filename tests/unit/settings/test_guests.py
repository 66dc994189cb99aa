"""Guests of a simulated cloud, as the settings want them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

GUESTS = '[clouds.east]\nprovider = "dummy"\noptions.guests = {{ {} }}\n'


@pytest.fixture
def moon() -> None:
    """The providers that are really installed, in place of this folder's simulated ones."""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], settings.Settings]:
    def loaded(text: str) -> settings.Settings:
        path = tmp_path / "shop.toml"
        path.write_text(text, encoding="utf-8")
        return settings.load(path)

    return loaded


def test_clouds_whose_insides_are_played_are_known(load: Callable[[str], settings.Settings]) -> None:
    found = load(GUESTS.format("crashed_per_h = 1") + '[clouds.west]\nprovider = "dummy"\n[channel]\n')
    assert found.played() == ("east",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GUESTS.format(""), "clouds.east.options.guests needs [channel]: through it guests speak to the monitor."),
        (GUESTS.format("crashed_per_h = -1"), "clouds.east.options.guests.crashed_per_h"),
        (GUESTS.format("crash_per_h = 1"), "did you mean"),
        (
            '[clouds.here]\nprovider = "local"\noptions = { directory = "x", guests = {} }',
            "options.guests is an unknown",
        ),
    ],
    ids=["without a channel", "a negative rate", "an unknown fault", "a cloud of real machines"],
)
def test_guests_where_they_make_no_sense_are_refused_in_a_sentence(
    text: str, sentence: str, load: Callable[[str], settings.Settings]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert sentence in caught.value.message
