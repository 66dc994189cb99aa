"""Templates of call arguments."""

from __future__ import annotations

import base64

import pytest

from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon_providers.generic import templates

TOKEN = Token("e" * 12, "s" * 12, 3, 1)
REQUEST = NodeRequest(
    str(TOKEN), "storefront-3", Offer("shelf", "s1", "north", 1, 1, 1), "img", {"cloudmon:set": "web", "a:b": "c"}, "hé"
)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        pytest.param("{tags}", {"cloudmon-set": "web", "a:b": "c"}, id="a table alone stays a table"),
        pytest.param("{tag_pairs}", ["cloudmon-set=web", "a:b=c"], id="pairs"),
        pytest.param(
            "{tag_items}", [{"key": "cloudmon-set", "value": "web"}, {"key": "a:b", "value": "c"}], id="items"
        ),
        pytest.param("x {name} at {location}", "x storefront-3 at north", id="within text"),
        pytest.param({"a": ["{size}", 3, None, True]}, {"a": ["s1", 3, None, True]}, id="deep, what is no text stays"),
        pytest.param("{user_data_base64}", base64.b64encode("hé".encode()).decode(), id="base64"),
        pytest.param("no placeholder", "no placeholder", id="plain text"),
        pytest.param("{}", "{}", id="braces of somebody else"),
    ],
)
def test_a_template_is_rendered(template, rendered) -> None:
    values = templates.values(REQUEST, tag_separator="-", pair_separator="=")
    assert templates.render(template, values) == rendered


def test_an_object_of_the_driver_is_stood_for_by_its_id() -> None:
    (found,) = templates.render(["{object:net-1}"], {})
    assert found.id == "net-1"


def test_placeholders_are_found_however_deep() -> None:
    assert templates.placeholders({"a": [{"b": "{token}-{name}"}], "c": 3}) == {"token", "name"}


def test_ownership_tags_survive_a_cloud_without_colons() -> None:
    tags = ownership_tags(TOKEN, set_name="web", tenant="default")
    assert set(templates.spelt(tags, "_")) == {
        "cloudmon_estate", "cloudmon_token", "cloudmon_set", "cloudmon_tenant"
    }  # fmt: skip
