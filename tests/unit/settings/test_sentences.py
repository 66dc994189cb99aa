"""Each fault of a settings file is one sentence: where, key, value, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError

Write = Callable[..., Path]

BASE = """
[clouds.east]
provider = "moon"
{cloud}
[templates.web]
images = {{ {images} }}
{template}
[sets.storefront]
template = "{name}"
{wanted}
{rest}
"""


def text(  # the parts of a file that a fault may stand in
    *,
    cloud: str = "",
    images: str = '"*" = "i"',
    template: str = "",
    name: str = "web",
    wanted: str = "count = 3",
    rest: str = "",
) -> str:
    return BASE.format(cloud=cloud, images=images, template=template, name=name, wanted=wanted, rest=rest)


DURATION = "must be a duration: seconds, or text such as 90s, 15m, 2h, 30d, 1y."

FAULTS = [
    pytest.param(text(rest="[monitr]"), 'monitr = {} is an unknown key; did you mean "monitor"?', id="unknown group"),
    pytest.param(
        text(rest="[monitor]\npol_interval_s = 5"),
        'monitor.pol_interval_s = 5 is an unknown key; did you mean "poll_interval_s"?',
        id="unknown key",
    ),
    pytest.param(
        text(rest="[sweep]\nzzz = 5"),
        "sweep.zzz = 5 is an unknown key; known: duplicates, orphans.",
        id="unknown key near none",
    ),
    pytest.param(
        text(rest='_env_file = "x"'), 'sets.storefront._env_file = "x" is an unknown key', id="underscore key"
    ),
    pytest.param(
        text(wanted="count = 3\nhealing.laddr = []"),
        'sets.storefront.healing.laddr = [] is an unknown key; did you mean "ladder"?',
        id="unknown key in a nested table",
    ),
    pytest.param(
        text(wanted='count = "three"'), 'sets.storefront.count = "three" must be a whole number.', id="wrong type"
    ),
    pytest.param(text(wanted="count = true"), "sets.storefront.count = true must be a number.", id="true is no number"),
    pytest.param(text(wanted="count = 1.5"), "sets.storefront.count = 1.5 must be a whole number.", id="half a member"),
    pytest.param(text(wanted="count = -1"), "sets.storefront.count = -1 must not be negative.", id="negative count"),
    pytest.param(
        text(wanted="count = 100001"), "sets.storefront.count = 100001 must be at most 100000.", id="count too large"
    ),
    pytest.param(text(wanted=""), "sets.storefront.count is missing.", id="missing key"),
    pytest.param(
        text(name="wep"), 'sets.storefront.template = "wep" names no template; did you mean "web"?', id="no template"
    ),
    pytest.param(
        text(wanted='count = 1\nclouds = ["eats"]'),
        'sets.storefront.clouds = "eats" names no cloud; did you mean "east"?',
        id="no cloud",
    ),
    pytest.param(
        text(images='"weast" = "i"'),
        'templates.web.images.weast speaks of an unknown cloud; did you mean "east"?',
        id="image for no cloud",
    ),
    pytest.param(
        text(template="options.est = {}"),
        'templates.web.options.est speaks of an unknown cloud; did you mean "east"?',
        id="create options for no cloud",
    ),
    pytest.param(
        text(template="options.east.dept = 3"),
        'templates.web.options.east.dept is an unknown key; did you mean "depth"?',
        id="unknown create option",
    ),
    pytest.param(
        text(template='options.east.depth = "x"'),
        'templates.web.options.east.depth = "x" must be a whole number.',
        id="create option of a wrong type",
    ),
    pytest.param(
        text(images='"far" = "i"', rest='[clouds.far]\nprovider = "moon"', wanted='count = 1\nclouds = ["east"]'),
        'sets.storefront.template = "web" has an image for none of the set\'s clouds (east).',
        id="template without an image for the set's clouds",
    ),
    pytest.param(text(images=""), "templates.web.images must not be empty.", id="no image at all"),
    pytest.param(
        text(cloud="calls_per_s = 0"), "clouds.east.calls_per_s = 0 must be more than 0.", id="rate of nought"
    ),
    pytest.param(text(rest="[monitor]\npoll_jitter = 1"), "monitor.poll_jitter = 1 must be at most 0.5.", id="jitter"),
    pytest.param(text(cloud="calls_per_s = nan"), "clouds.east.calls_per_s = nan must be", id="not a number"),
    pytest.param(
        text(cloud="listing_lag_s = -1"),
        "clouds.east.listing_lag_s = -1 must be a duration from 0 to 1000y.",
        id="negative",
    ),
    pytest.param(
        text(cloud='listing_lag_s = "soon"'), f'clouds.east.listing_lag_s = "soon" {DURATION}', id="no duration"
    ),
    pytest.param(
        text(wanted='count = 1\nlease.end = "tomorrow"'),
        'sets.storefront.lease.end = "tomorrow" must be an instant in ISO 8601, such as 2027-01-31T18:00:00+01:00.',
        id="no instant",
    ),
    pytest.param(
        text(wanted='count = 1\nlease = { start = "2027-01-02T00:00:00Z", end = "2027-01-02T00:00:00Z" }'),
        "sets.storefront.lease has an end that is not after its start.",
        id="end not after start",
    ),
    pytest.param(
        text(wanted='count = 1\nlease = { duration = "1d", end = "2027-01-02T00:00:00Z" }'),
        "sets.storefront.lease has both end and duration; keep one.",
        id="two ends",
    ),
    pytest.param(
        text(wanted='count = 1\nlease = { duration = "900y", start = "9500-01-02T00:00:00Z" }'),
        "sets.storefront.lease ends after the year 9999.",
        id="end beyond time",
    ),
    pytest.param(
        text(wanted='count = 1\nhealing.ladder = ["rebot"]'),
        "sets.storefront.healing.ladder.0 = \"rebot\" must be one of 'reboot', 'stop-start' or 'replace'.",
        id="no rung",
    ),
    pytest.param(
        text(wanted='count = 1\nhealing.ladder = ["reboot", "reboot"]'),
        "sets.storefront.healing.ladder = ['reboot', 'reboot'] must name each rung once.",
        id="rung twice",
    ),
    pytest.param(
        text(wanted='count = 1\nhealing = { backoff_s = "2h", backoff_max_s = "1h" }'),
        "sets.storefront.healing has a backoff_max_s below its backoff_s.",
        id="pauses that shrink",
    ),
    pytest.param(
        text(rest='[clouds."a b"]\nprovider = "moon"'),
        'clouds."a b" = "a b" must be a name of letters, digits and inner hyphens, at most 40 characters.',
        id="bad name",
    ),
    pytest.param(
        text(rest=f'[sets.{"a" * 41}]\ntemplate = "web"\ncount = 1'),
        "must be a name of letters, digits and inner hyphens",
        id="long name",
    ),
    pytest.param(
        text(rest='[clouds.west]\nprovider = "mooon"'),
        'clouds.west.provider = "mooon" is no installed provider; did you mean "moon"?',
        id="unknown provider",
    ),
    pytest.param(
        text(rest='[clouds.west]\nprovider = "mars"'),
        'clouds.west.provider = "mars" cannot be used: '
        "provider 'mars' (mars_provider_that_is_not_there:Mars) cannot be imported",
        id="provider that cannot be imported",
    ),
    pytest.param(
        text(rest='[clouds.west]\nprovider = "rock"'),
        "is installed as provider 'rock' and is none.",
        id="provider that is none",
    ),
    pytest.param(
        text(cloud='options.regoin = "far"'),
        'clouds.east.options.regoin is an unknown key; did you mean "region"?',
        id="unknown option",
    ),
    pytest.param(
        text(cloud='options.seed = "x"'),
        'clouds.east.options.seed = "x" must be a whole number.',
        id="option of wrong type",
    ),
    pytest.param(text(cloud="options = 3"), "clouds.east.options = 3 must be a table.", id="options that are no table"),
    pytest.param(
        text(cloud='prices.big = { per_hour = "0" }'),
        'clouds.east.prices.big.per_hour = "0" must be more than 0.',
        id="price of nought",
    ),
    pytest.param(
        text(rest='[store]\nurl = "mysql://x"'),
        'store.url = "mysql://x" must be "memory", sqlite:///<path> or postgresql://<user>@<host>/<name>.',
        id="unknown store",
    ),
    pytest.param(
        text(rest='[store]\nurl = "postgresql://cm@127.0.0.1:abc/x"'),
        'store.url = "postgresql://cm@127.0.0.1:abc/x" has "abc" for a port, which is no number from 1 to 65535.',
        id="port that is none",
    ),
    pytest.param(
        text(rest='[store]\nurl = "postgresql://cm@db:/x"'),
        'store.url = "postgresql://cm@db:/x" has "" for a port, which is no number from 1 to 65535.',
        id="port left out behind its colon",
    ),
    pytest.param(
        text(rest='[store]\nurl = "postgresql://cm:hunter2@[::1]:65536/x"'),
        'store.url = "postgresql://cm:***@[::1]:65536/x" has "65536" for a port, which is no number from 1 to 65535.',
        id="port too high",
    ),
    pytest.param(
        text(template='user_data = "a"\nuser_data_file = "b"'),
        "templates.web has both user_data and user_data_file; keep one.",
        id="user data twice",
    ),
    pytest.param(
        text(template='user_data_file = "b.sh"'), "templates.web.user_data_file = ", id="user data that is not there"
    ),
    pytest.param(
        text(rest='[store]\npassword_file = "gone"'),
        "cannot be read: No such file or directory.",
        id="secret that is not there",
    ),
    pytest.param(
        text(cloud='options.secret_key_file = "gone"'),
        "clouds.east.options.secret_key_file = ",
        id="option's secret that is not there",
    ),
    pytest.param(
        text(cloud='options = { secret_key_file = "gone", secret_key = "x" }'),
        "clouds.east.options has both secret_key and secret_key_file; keep one.",
        id="option's secret twice",
    ),
    pytest.param(
        'author = "x"\n[sets.a]\ntemplate = "b"\ncount = 1',
        "sets.a has nowhere to live: no cloud is configured.",
        id="no clouds",
    ),
    pytest.param('_env_file = "x"', '_env_file = "x" is an unknown key.', id="key that a library would take"),
    pytest.param("clouds = 3", "clouds = 3 must be a table.", id="group that is no table"),
]


@pytest.mark.parametrize(("written", "sentence"), FAULTS)
def test_a_fault_is_one_sentence_with_file_key_value_and_what_would_be_right(
    write: Write, written: str, sentence: str
) -> None:
    path = write(text=written)
    with pytest.raises(SettingsError) as caught:
        settings.load(path)
    assert sentence in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message
    assert caught.value.file == str(path)


def test_an_error_carries_its_key_and_value_as_data(write: Write) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(write("[monitor]\nworkers_per_cloud = 0"))
    assert (caught.value.key, caught.value.value) == ("monitor.workers_per_cloud", "0")


def test_of_several_faults_the_first_is_shown_and_the_rest_counted(write: Write) -> None:
    path = write("[monitor]\nworkers_per_cloud = 0\ndrain_s = -1\n[sweep]\norphans = 3")
    with pytest.raises(SettingsError, match=r"workers_per_cloud .* \(2 more; `cloudmon doctor` shows all\)$"):
        settings.load(path)
    assert [p.key for p in settings.problems(path)] == ["monitor.workers_per_cloud", "monitor.drain_s", "sweep.orphans"]


def test_a_misspelt_key_is_named_before_what_is_missing_because_of_it(write: Write) -> None:
    path = write('[sets.other]\ntemplate = "web"\ncuont = 1')
    with pytest.raises(SettingsError, match=r'cuont = 1 is an unknown key; did you mean "count"\? \(1 more'):
        settings.load(path)


def test_a_wrong_type_hides_no_wrong_reference(write: Write) -> None:
    path = write('[sets.other]\ntemplate = "wep"\ncount = "x"')
    assert [p.key for p in settings.problems(path)] == ["sets.other.count", "sets.other.template"]


def test_a_good_file_has_no_problems(write: Write) -> None:
    assert settings.problems(write()) == ()


SECRETS = [
    pytest.param('[clouds.w]\nprovider = "moon"\noptions.secret_kee = "hunter2"', id="misspelt secret option"),
    pytest.param('[clouds.w]\nprovider = "moon"\noptions.secret_key = ["hunter2"]', id="secret option of a wrong type"),
    pytest.param('[store]\npasswrd = "hunter2"', id="misspelt password"),
    pytest.param('[store]\npassword = ["hunter2"]', id="password of a wrong type"),
    pytest.param('[store]\nurl = "postgres://me:hunter2@host/db"', id="password in a refused URL"),
    pytest.param('[store]\nurl = "postgresql://me:a/hunter2@host:x/db"', id="password with a slash"),
    pytest.param('[store]\nurl = "postgresql://me:a@hunter2@host:x/db"', id="password with an at"),
    pytest.param('[store]\nurl = "postgresql://me:a?hunter2@host:x/db"', id="password with a question mark"),
    pytest.param('[templates.w]\nimages = {"*" = "i"}\nuser_data = ["hunter2"]', id="user data"),
    pytest.param('[templates.w]\nimages = {"*" = "i"}\nuser_dat = "hunter2"', id="misspelt user data"),
]


@pytest.mark.parametrize("written", SECRETS)
def test_a_secret_is_in_no_sentence(write: Write, written: str) -> None:
    found = settings.problems(write(written))
    assert found
    for problem in found:
        assert "hunter2" not in problem.message + problem.value


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml: there is no such file; `cloudmon init` writes one\.$"):
        settings.load(tmp_path / "gone.toml")


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory\.$"):
        settings.load(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'author = "\xff"')
    with pytest.raises(SettingsError, match=r"is no UTF-8 text \(byte 11\)\.$"):
        settings.load(path)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        pytest.param("[store]\nurl = memory\n", "line 2, column 7", id="value without quotes"),
        pytest.param("a = 1\nb = ", "line 2, column 5", id="end of the file"),
        pytest.param("a = 1\na = 2\n", "line 2", id="key twice"),
    ],
)
def test_bad_toml_is_named_with_line_and_column(write: Write, written: str, place: str) -> None:
    with pytest.raises(SettingsError, match=f"no valid TOML at {place}"):
        settings.load(write(text=written))
