"""What a settings file means once it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon.model.sets import Healing, Lease, Needs, Template
from cloudmon.settings.root import Settings
from cloudmon.settings.wanted import HealingSettings, NeedsSettings, TemplateSettings

Write = Callable[..., Path]
NOON = dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC)


def test_the_author_is_the_file_unless_it_says_otherwise(write: Write) -> None:
    assert settings.load(write()).author == "file:shop"
    assert settings.load(write(text='author = "ops"')).author == "ops"


def test_an_empty_file_is_a_monitor_that_wants_nothing(write: Write) -> None:
    loaded = settings.load(write(text=""))
    assert loaded.specs() == ()
    assert loaded.monitor.health_address == "127.0.0.1"


def test_paths_are_relative_to_the_settings_file_and_made_absolute(write: Write, tmp_path: Path) -> None:
    (tmp_path / "boot.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    path = write('[templates.x]\nimages = {"*" = "i"}\nuser_data_file = "boot.sh"\n[store]\nlog_key_file = "k"\n')
    loaded = settings.load(path)
    assert loaded.store.url == f"sqlite:///{tmp_path}/var/cloudmon.db"
    assert loaded.monitor.state_dir == tmp_path / "var"
    assert loaded.store.log_key_file == tmp_path / "k"
    assert loaded.templates["x"].user_data == "#!/bin/sh"


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "sqlite:////srv/cloudmon.db",
        "postgresql://me@db/cloudmon",
        "postgresql://me:p:w@[::1]:5433/cloudmon?sslmode=require",
        "postgresql://me@/cloudmon?host=/run/postgresql",
    ],
)
def test_a_store_that_is_nowhere_relative_stays_as_it_is(write: Write, url: str) -> None:
    assert settings.load(write(f'[store]\nurl = "{url}"')).store.url == url


def test_reading_the_same_file_twice_gives_equal_settings_and_sets(write: Write) -> None:
    path = write('lease.duration = "30d"')
    assert settings.load(path) == settings.load(path)
    assert settings.load(path).specs() == settings.load(path).specs()


def test_a_set_becomes_a_spec_whole_in_itself(write: Write) -> None:
    (spec,) = settings.load(write('clouds = ["east"]\ntenant = "acme"')).specs()
    assert (spec.name, spec.count, spec.tenant, spec.clouds) == ("storefront", 3, "acme", ("east",))
    assert spec.template == Template(name="web", images={"*": "web-1"})
    assert spec.healing == Healing()
    assert spec.lease == Lease()


@pytest.mark.parametrize(
    ("written", "lease"),
    [
        pytest.param('{ duration = "30d" }', Lease(duration_s=2_592_000), id="duration alone waits for admission"),
        pytest.param(
            '{ start = "2027-01-01T12:00:00Z", duration = "1h" }',
            Lease(start=NOON, end=NOON + dt.timedelta(hours=1)),
            id="duration from a start is an end",
        ),
        pytest.param("{ end = 2027-01-01T12:00:00 }", Lease(end=NOON), id="no offset means UTC"),
        pytest.param('{ end = "2027-01-01T13:00:00+01:00" }', Lease(end=NOON), id="an offset is honoured"),
        pytest.param("{ end = 2027-01-01 }", Lease(end=NOON.replace(hour=0)), id="a date is its first instant"),
        pytest.param(
            '{ end = 2027-01-01T12:00:00Z, grace = "1h30m", warn = ["1h", 60, "1d", "60m"] }',
            Lease(end=NOON, grace_s=5_400, warn_s=(86_400, 3_600, 60)),
            id="warnings in order, each once",
        ),
    ],
)
def test_a_lease_is_what_was_written(write: Write, written: str, lease: Lease) -> None:
    (spec,) = settings.load(write(f"lease = {written}")).specs()
    assert spec.lease == lease


def test_the_order_of_clouds_makes_no_new_generation(write: Write) -> None:
    more = '[clouds.west]\nprovider = "moon"\n'
    one = settings.load(write(f'clouds = ["east", "west"]\n{more}')).specs()
    assert one == settings.load(write(f'clouds = ["west", "east", "west"]\n{more}')).specs()


@pytest.mark.parametrize(
    ("group", "model", "other"),
    [
        pytest.param(HealingSettings, Healing, set(), id="healing"),
        pytest.param(NeedsSettings, Needs, set(), id="needs"),
        pytest.param(TemplateSettings, Template, {"user_data_file", "name", "file_hashes"}, id="template"),
    ],
)
def test_a_group_has_the_fields_of_its_model(group: type[settings.Settings], model: type, other: set[str]) -> None:
    assert set(group.model_fields) ^ {field.name for field in fields(model)} == other


@pytest.mark.parametrize(
    ("group", "model"), [(HealingSettings, Healing), (NeedsSettings, Needs)], ids=["healing", "needs"]
)
def test_a_group_has_the_defaults_of_its_model(group: type, model: type) -> None:
    assert model(**dict(group())) == model()


def test_options_are_an_instance_of_the_providers_model(write: Write, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n", encoding="utf-8")
    loaded = settings.load(
        write('[clouds.west]\nprovider = "moon"\noptions = { seed = 7, secret_key_file = "key", keys_file = "k" }')
    )
    options = loaded.options("west")
    assert options.model_dump() == {"region": "near", "seed": 7, "secret_key": SecretStr("s3cret"), "keys_file": "k"}
    assert loaded.options("east").model_dump()["seed"] == 0


def test_options_that_were_not_checked_are_refused() -> None:
    unchecked = Settings.model_validate({"author": "x", "clouds": {"east": {"provider": "moon"}}})
    with pytest.raises(SettingsError, match="were not checked"):
        unchecked.options("east")


def test_settings_and_unknown_keys_are_frozen_out(write: Write) -> None:
    loaded = settings.load(write())
    with pytest.raises(ValueError, match="frozen"):
        loaded.monitor.drain_s = 9


def test_a_price_keeps_the_digits_that_were_written(write: Write) -> None:
    path = write(
        '[clouds.west]\nprovider = "moon"\n'
        'prices = { s = { per_hour = 0.1 }, m = { per_hour = "0.20", dated = 2026-11-01 } }'
    )
    found = settings.load(path).clouds["west"].price_overrides(NOON.date())
    assert (found["s"].per_hour, found["s"].dated) == (Decimal("0.1"), NOON.date())
    assert (str(found["m"].per_hour), found["m"].source, found["m"].dated) == ("0.20", "config", dt.date(2026, 11, 1))


def test_no_secret_is_in_a_repr(write: Write, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2", encoding="utf-8")
    path = write(
        '[clouds.west]\nprovider = "moon"\noptions.secret_key = "hunter2"\n'
        '[store]\nurl = "postgresql://me:hunter2@db/x"\npassword_file = "pw"\n'
        '[templates.x]\nimages = {"*" = "i"}\nuser_data = "hunter2"\n'
    )
    loaded = settings.load(path)
    assert "hunter2" not in repr(loaded)
    assert loaded.store.url_shown == "postgresql://me:***@db/x"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("postgresql://me@db:5432/x", "postgresql://me:p%40ss%2Fw@db:5432/x", id="user"),
        pytest.param("postgresql://me:old@db/x", "postgresql://me:p%40ss%2Fw@db/x", id="wins over the URL's"),
        pytest.param("memory", "memory", id="no password wanted"),
    ],
)
def test_a_password_file_goes_into_the_url(write: Write, tmp_path: Path, url: str, expected: str) -> None:
    (tmp_path / "pw").write_text("p@ss/w\n", encoding="utf-8")
    loaded = settings.load(write(f'[store]\nurl = "{url}"\npassword_file = "pw"'))
    assert loaded.store.url_with_password == expected


def test_a_password_and_a_password_file_are_one_too_many(write: Write, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("a", encoding="utf-8")
    with pytest.raises(SettingsError, match="store has both password and password_file; keep one"):
        settings.load(write('[store]\npassword = "b"\npassword_file = "pw"'))
