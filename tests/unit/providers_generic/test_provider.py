"""The generic adapter over a driver in memory."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from libcloud.compute.base import NodeDriver
from pydantic import ValidationError

from cloudmon import errors
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer, Price
from cloudmon.provider import abilities

TOKEN = Token("e" * 12, "s" * 12, 3, 1)
REQUEST = NodeRequest(
    token=str(TOKEN),
    name="storefront-3",
    offer=Offer("shelf", "s1", "north", 2, 2_048, 20),
    image="img",
    tags=ownership_tags(TOKEN, set_name="storefront", tenant="default"),
    user_data="#!/bin/sh\n",
)


def calls(provider, name):
    return [arguments for called, arguments in provider.driver.asked if called == name]


def test_tags_go_into_the_create_call_and_come_back_from_the_listing(make) -> None:
    provider = make()
    made = provider.create_node(REQUEST)
    (asked,) = calls(provider, "create_node")
    assert asked["ex_metadata"] == REQUEST.tags
    assert (asked["size"].price, asked["location"].id) == (0.05, "1")  # the driver's own objects
    (listed,) = provider.list_nodes().nodes
    assert (listed.id, listed.token, listed.estate) == (made.id, str(TOKEN), TOKEN.estate)


def test_where_there_are_no_tokens_the_tag_is_looked_for_first(make) -> None:
    provider = make()
    assert provider.create_node(REQUEST).id == provider.create_node(REQUEST).id
    assert len(calls(provider, "create_node")) == 1


def test_where_tokens_are_honoured_nobody_looks(make) -> None:
    provider = make(honours_tokens=True)
    provider.create_node(REQUEST)
    assert not calls(provider, "list_nodes")


def test_a_cloud_without_tags_tells_by_the_name(make) -> None:
    provider = make(name="{token}", create={})
    provider.create_node(REQUEST)
    provider.create_node(REQUEST)
    (node,) = provider.list_nodes().nodes
    assert (node.name, node.token, node.estate) == (str(TOKEN), str(TOKEN), TOKEN.estate)


def test_arguments_without_user_data_are_left_out(make) -> None:
    provider = make(create={"ex_metadata": "{tags}", "ex_userdata": "{user_data}"})
    provider.create_node(REQUEST)
    provider.create_node(dataclasses.replace(REQUEST, token=str(TOKEN._replace(ordinal=4)), user_data="", tags={}))
    assert [asked["ex_userdata"] for asked in calls(provider, "create_node")] == ["#!/bin/sh\n", None]


def test_the_template_says_otherwise_than_the_cloud_where_it_wants(make) -> None:
    provider = make(create={"ex_metadata": "{tags}", "ex_network": "{object:net-1}"})
    provider.create_node(dataclasses.replace(REQUEST, options={"ex_network": "{object:net-2}"}))
    assert calls(provider, "create_node")[0]["ex_network"].id == "net-2"


@pytest.mark.parametrize("argument", ["ex_metadata", "name", "size", "ex_unknown"])
def test_a_template_can_neither_touch_whose_node_it_is_nor_misspell(make, argument) -> None:
    provider = make()
    with pytest.raises(errors.Refused, match=argument):
        provider.create_node(dataclasses.replace(REQUEST, options={argument: "x"}))
    assert not calls(provider, "create_node")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"offer": dataclasses.replace(REQUEST.offer, size="s9")}, id="size"),
        pytest.param({"offer": dataclasses.replace(REQUEST.offer, location="east")}, id="location"),
        pytest.param({"image": "img9"}, id="image"),
    ],
)
def test_what_the_driver_does_not_sell_is_not_found(make, other) -> None:
    provider = make(fetched=("size", "image", "location"))
    with pytest.raises(errors.NotFound):
        provider.create_node(dataclasses.replace(REQUEST, **other))


def test_what_is_not_fetched_is_a_thin_reference(make) -> None:
    provider = make(fetched=())
    provider.create_node(REQUEST)
    (asked,) = calls(provider, "create_node")
    assert (asked["size"].id, asked["image"].id, asked["location"].id) == ("s1", "img", "north")
    assert not calls(provider, "list_locations")


# --- tags in a second call --------------------------------------------------------------------------------------------

AFTER = {
    "create": {},
    "tag_after_create": {
        "method": "ex_write_tags",
        "arguments": {"resource": "{node}", "tags": "{tags}"},
        "accept_risk": True,
    },
}


def test_tags_are_written_by_a_second_call_where_that_was_accepted(make) -> None:
    provider = make(**AFTER)
    provider.create_node(REQUEST)
    (node,) = provider.list_nodes().nodes
    assert dict(node.tags) == REQUEST.tags


def test_a_node_that_was_made_and_not_tagged_is_found_by_its_name_and_tagged(make) -> None:
    provider = make(**AFTER)
    provider.create_node(REQUEST)
    provider.driver.shelf[0].extra["metadata"] = {}  # as if cloudmon had died between the calls
    provider.create_node(REQUEST)
    (node,) = provider.list_nodes().nodes
    assert (node.id, node.token) == ("n0", str(TOKEN))


def test_a_node_of_the_same_name_and_another_token_is_left_alone(make) -> None:
    provider = make(**AFTER)
    first = provider.create_node(REQUEST)
    token = TOKEN._replace(incarnation=2)
    tags = ownership_tags(token, set_name="storefront", tenant="default")
    second = provider.create_node(dataclasses.replace(REQUEST, token=str(token), tags=tags))
    assert first.id != second.id


def test_a_failure_of_the_second_call_is_never_taken_for_nothing_made(make, monkeypatch) -> None:
    provider = make(**AFTER)

    def broken(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(type(provider.driver), "ex_write_tags", broken)
    with pytest.raises(errors.UnexpectedAnswer, match="n0 was made, but not tagged") as caught:
        provider.create_node(REQUEST)
    assert not caught.value.definite


# --- verbs ------------------------------------------------------------------------------------------------------------


def test_abilities_are_found_by_looking(make) -> None:
    assert abilities(make()) == {"stop_node", "suspend_node", "resume_node"}


def test_a_verb_can_be_named_and_taken_away(make) -> None:
    found = abilities(make(verbs={"tag_node": "ex_write_tags", "stop_node": ""}))
    assert found == {"tag_node", "suspend_node", "resume_node"}


def test_a_verb_that_the_driver_lacks_is_unsupported(make) -> None:
    with pytest.raises(errors.Unsupported):
        make().start_node("n0")


def test_tags_written_later_are_spelt_as_the_cloud_takes_them(make) -> None:
    provider = make(verbs={"tag_node": "ex_write_tags"}, tag_separator="-")
    provider.tag_node("n0", {"cloudmon:set": "web", "a:b": "c"})
    assert calls(provider, "ex_write_tags")[0]["tags"] == {"cloudmon-set": "web", "a:b": "c"}


def test_drivers_that_look_at_more_than_the_id_get_the_listed_node(make) -> None:
    provider = make(reference="listed")
    made = provider.create_node(REQUEST)
    provider.stop_node(made.id)
    assert calls(provider, "ex_stop_node")[0]["node"] is provider.driver.shelf[0]
    with pytest.raises(errors.NotFound):
        provider.stop_node("n9")
    provider.destroy_node("n9")


# --- offers, connection, proof ----------------------------------------------------------------------------------------


def test_offers_are_sizes_at_locations_without_prices_unless_somebody_says_what_they_mean(make) -> None:
    found = make(locations=("n*",)).list_offers()
    assert [(offer.key, offer.vcpus, offer.price) for offer in found] == [
        ("shelf/north/s1", 2, None),
        ("shelf/north/s2", 2, None),
    ]


@pytest.mark.parametrize(("per", "per_hour"), [("hour", "0.05"), ("month", "0.000068")])
def test_a_price_is_by_the_hour_and_zero_is_unknown(make, per, per_hour) -> None:
    small, big = make(prices={"per": per, "currency": "EUR"}, locations=("north",)).list_offers()
    assert small.price == Price(Decimal(per_hour), "EUR", "libcloud", dt.date(2026, 11, 1))
    assert big.price is None


def test_credentials_arguments_and_timeout_reach_the_constructor(make) -> None:
    driver = make(secret_argument="region", secret="there", arguments={"project": "p"}).driver
    assert (driver.key, driver.region, driver.named) == ("the-key", "there", {"project": "p", "timeout": 7})
    assert driver.connection.timeout == 7  # this constructor does not hand it on


def test_arguments_that_a_constructor_does_not_take_are_refused(make, shelf) -> None:
    class Narrow(NodeDriver):
        def __init__(self, key: str) -> None:
            """Takes no timeout and nothing else."""

    shelf.Narrow = Narrow
    with pytest.raises(ValidationError, match="project") as caught:
        make(driver="shelf_drivers:Narrow", arguments={"project": "p"})
    assert "the-key" not in str(caught.value)


@pytest.mark.parametrize("name", ["shelf_drivers:Nothing", "no_such_module:Driver", "shelf_drivers:types"])
def test_a_driver_that_cannot_be_loaded_is_told(make, shelf, name) -> None:
    shelf.types = types
    with pytest.raises(ValidationError, match="driver"):
        make(driver=name)


@pytest.mark.parametrize(
    ("root", "answer", "believed"),
    [
        pytest.param("servers", {"servers": []}, True, id="the key is there"),
        pytest.param("servers", {"error": "x"}, False, id="another document"),
        pytest.param("[]", [], True, id="a list"),
        pytest.param("{urn:x}Answer", ET.Element("{urn:x}Answer"), True, id="the element"),
        pytest.param("{urn:x}Answer", ET.Element("{urn:y}Answer"), False, id="an element of another namespace"),
        pytest.param("servers", None, False, id="no answer"),
        pytest.param("", {"error": "x"}, True, id="nothing asked"),
    ],
)
def test_an_empty_listing_is_believed_when_an_answer_proves_it(make, monkeypatch, root, answer, believed) -> None:
    provider = make(listing_root=root)

    class Connection:
        timeout = 7

        def request(self, path: str) -> types.SimpleNamespace:
            return types.SimpleNamespace(object=answer)

    provider.driver.connection = Connection()

    def nothing(driver) -> list[object]:
        driver.connection.request("/servers")
        return []

    monkeypatch.setattr(type(provider.driver), "list_nodes", nothing)
    if believed:
        assert provider.list_nodes().nodes == []
    else:
        with pytest.raises(errors.UnexpectedAnswer):
            provider.list_nodes()
    assert "request" not in vars(provider.driver.connection)
