"""`cloudmon schema` says what settings files may hold, as an editor's checker understands it."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cloudmon.cli import schema

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "config").glob("*.toml"))
GOOD = """
[clouds.east]
provider = "dummy"
[templates.web]
images = { "*" = "web-1" }
[sets.storefront]
template = "web"
count = 2
"""


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    found = schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def as_json(text: str) -> Any:
    return json.loads(json.dumps(tomllib.loads(text), default=dt.date.isoformat))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_fits_the_schema(checker: jsonschema.Draft202012Validator, path: Path) -> None:
    assert list(checker.iter_errors(as_json(path.read_text(encoding="utf-8")))) == []


WRONG = [
    pytest.param("[monitr]", id="unknown group"),
    pytest.param("[monitor]\ndrain = 3", id="unknown key"),
    pytest.param("[monitor]\nworkers_per_cloud = 0", id="number below its limit"),
    pytest.param("[monitor]\npoll_interval_s = 0", id="duration of nought"),
    pytest.param("[monitor]\npoll_jitter = -0.1", id="negative share"),
    pytest.param("[monitor]\nhealth_port = true", id="wrong type"),
    pytest.param('[clouds.west]\nprovider = "dumy"', id="unknown provider"),
    pytest.param('[clouds.west]\nprovider = "dummy"\noptions.sead = 3', id="unknown option"),
    pytest.param('[clouds.west]\nprovider = "dummy"\noptions.faults.throttle = 2', id="option out of range"),
    pytest.param('[clouds.west]\nprovider = "aws"', id="option that must be given"),
    pytest.param('[clouds."a b"]\nprovider = "dummy"', id="bad name"),
    pytest.param('[sets.b]\ntemplate = "web"\ncount = -1', id="negative count"),
    pytest.param('[sets.b]\ntemplate = "web"', id="missing key"),
    pytest.param('[sweep]\norphans = "kill"', id="unknown choice"),
    pytest.param('[[policies]]\nname = "a"\nrules = [{ name = "r", fro = 3 }]', id="unknown key of a rule"),
    pytest.param('[[policies]]\nname = "a"\nrules = [{ name = "r", n_of_m = "often" }]', id="no n of m"),
    pytest.param('[templates.b]\nimages = { "*" = "i" }\nfiles = ["etc/hosts"]', id="relative path inside"),
]


@pytest.mark.parametrize("more", WRONG)
def test_what_settings_refuse_the_schema_refuses(checker: jsonschema.Draft202012Validator, more: str) -> None:
    assert list(checker.iter_errors(as_json(GOOD))) == []
    assert list(checker.iter_errors(as_json(GOOD + more)))


def test_an_option_may_be_given_by_a_file(checker: jsonschema.Draft202012Validator) -> None:
    more = '[clouds.west]\nprovider = "aws"\noptions = { region_file = "r", secret_key_file = "k", access_key = "a" }'
    assert list(checker.iter_errors(as_json(GOOD + more))) == []


def every_key(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    tables = {"settings": found, **found["$defs"]}
    return [
        (f"{name}.{key}", about) for name, table in tables.items() for key, about in table.get("properties", {}).items()
    ]


def test_every_key_of_the_core_says_what_it_means() -> None:
    groups = {"settings.store", "settings.monitor", "settings.clouds", "settings.templates", "settings.sets"}
    groups |= {
        "settings.breakers",
        "settings.sweep",
        "settings.policies",
        "TemplateSettings.needs",
        "SetSettings.lease",
        "SetSettings.healing",
    }
    groups |= {f"BreakerSettings.{name}" for name in ("disruptive", "destructive", "retirement")}
    core = [
        (key, about) for key, about in every_key(schema.json_schema()) if key[0].isupper() or key.startswith("settings")
    ]
    silent = {key for key, about in core if not about.get("description")} - groups
    assert silent == set()


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    schema.schema()
    assert json.loads(capsys.readouterr().out) == schema.json_schema()


def test_policies_as_people_write_them_fit(checker: jsonschema.Draft202012Validator) -> None:
    rules = (Path(__file__).resolve().parents[3] / "cloudmon/detection/RULES.md").read_text(encoding="utf-8")
    assert list(checker.iter_errors(as_json(rules.split("```toml\n")[1].split("```")[0]))) == []


def test_an_inside_as_people_write_it_fits(checker: jsonschema.Draft202012Validator) -> None:
    inside = """
    [templates.shop]
    images = { "*" = "i" }
    files = ["/etc/hosts", { path = "/etc/shop.conf", sha256 = "ab" }]
    accounts = ["root"]
    jobs.tidy = { argv = ["tidy"], timeout_s = "5m" }
    applications.shop = { start = ["shop"], probe = { http = "http://localhost/", timeout_s = 3 } }
    """
    assert list(checker.iter_errors(as_json(GOOD + inside))) == []
