"""Any cloud that libcloud reaches, by configuration alone: libcloud's own EC2 driver against moto's server."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path

import generic_ec2
import pytest
import shop as shops
from shop import REASON, Shop

from cloudmon.model.identity import TAG_ESTATE, TAG_SET, TAG_TOKEN, Token
from cloudmon.testing.clock import FakeClock

# libcloud's own EC2 signing asks for the time in a way that Python 3.12 and newer warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def toml(value: object) -> str:
    """A value as a settings file writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def shop(moto_ec2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """``web`` with two appliances, wanted on the one cloud; nothing is done yet."""
    options = "\n".join(f"{key} = {toml(value)}" for key, value in generic_ec2.options(moto_ec2).items())
    text = f"""{shops.HEAD}
[clouds.anywhere]
provider = "generic"
listing_lag_s = 1
calls_per_s = 1000
burst = 1000
[clouds.anywhere.options]
{options}
[clouds.anywhere.prices]
"t3.micro" = {{ per_hour = "0.02" }}
[templates.web]
images = {{ "*" = "ami-12c6146b" }}
needs = {{ vcpus = 2, memory_mib = 1024 }}
[sets.web]
template = "web"
count = 2
"""
    # The endpoint lives by the machine's clock, and says when instances were launched.
    return shops.opened(tmp_path, FakeClock(dt.datetime.now(dt.UTC).replace(microsecond=0)), monkeypatch, text)


def instances() -> dict[str, tuple[str, dict[str, str]]]:
    """State and tags of every instance, from moto itself: no driver stands between."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - a second, which only the tests with moto pay

    found = [
        instance
        for regions in ec2_backends.values()
        for backend in regions.values()
        for reservation in backend.reservations.values()
        for instance in reservation.instances
    ]
    return {one.id: (one.state, {tag["key"]: tag["value"] for tag in one.get_tags()}) for one in found}


def test_from_nothing_to_nothing(shop: Shop) -> None:
    """Plan, apply, stop, retire; all told and metered."""
    rows = shop.json("plan", code=2)
    assert [(row["subject"], row["action"]) for row in rows] == [
        ("web", "create"),
        ("web/1", "launch"),
        ("web/2", "launch"),
    ]
    assert {row["price_per_hour"] for row in rows[1:]} == {"0.02"}
    assert instances() == {}
    shop("apply", "--yes")
    assert shop.states() == {"web/1": "running", "web/2": "running"}
    made = instances()
    assert set(made) == set(shop.nodes().values())
    for name, node in shop.nodes().items():
        state, tags = made[node]
        token = Token.parse(tags[TAG_TOKEN])
        assert token is not None
        assert (state, tags[TAG_SET], tags[TAG_ESTATE]) == ("running", "web", token.estate)
        assert (token.ordinal, token.incarnation) == (int(name[-1]), 1)
    assert shop.json("plan") == []
    shop("act", "web/2", "stop", *REASON)
    assert instances()[shop.nodes()["web/2"]][0] == "stopped"
    shop("sets", "retire", "web", *REASON, "--yes")
    assert {state for state, _ in instances().values()} == {"terminated"}
    assert set(instances()) == set(made)
    used = shop.json("usage", "--by", "appliance")
    assert {row["subject"] for row in used} == {"web/1", "web/2"}
    assert not any(row["open"] for row in used)
    assert shop.json("audit", "verify") == []


def test_a_plan_that_launches_nothing_says_why(shop: Shop) -> None:
    shop.edit("vcpus = 2", "vcpus = 64")
    found = shop("plan", code=2)
    assert "waits: web/1 and 1 more: no offer fits: 2 of 64 vcpus" in found.stderr
    assert [row["action"] for row in shop.json("plan", code=2)] == ["create"]
