"""The shared adapter over a driver that does what drivers do: the contract's promises hold all the same."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import Node as DriverNode
from libcloud.compute.base import NodeDriver, NodeLocation, NodeSize
from libcloud.compute.types import NodeState as DriverState

from cloudmon.errors import NotFound, Refused, UnexpectedAnswer, Unsupported
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon.provider import abilities
from cloudmon.testing import FakeClock
from cloudmon_providers._libcloud import Dialect, LibcloudProvider

TOKEN = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
TAGS = dict(ownership_tags(TOKEN, set_name="web", tenant="default"))
REQUEST = NodeRequest(str(TOKEN), "web-1", Offer("east", "small", "here", 1, 1024, 10), "img", TAGS, "#!/bin/sh")


class Driver(NodeDriver):
    """Answers what the test told it to; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def _answer(self, verb: str, otherwise: Any = True, **arguments: Any) -> Any:
        self.calls.append((verb, arguments))
        answer = self.answers.get(verb, otherwise)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list_nodes(self) -> Any:
        return self._answer("list_nodes", [])

    def create_node(self, **arguments: Any) -> Any:
        return self._answer("create_node", node(), **arguments)

    def destroy_node(self, node: DriverNode) -> Any:
        return self._answer("destroy_node", id=node.id)

    def stop_node(self, node: DriverNode) -> Any:
        return self._answer("stop_node", id=node.id)

    def list_locations(self) -> list[NodeLocation]:
        return [NodeLocation("here", "here", "", self), NodeLocation("there", "there", "", self)]

    def list_sizes(self, location: NodeLocation | None = None) -> list[NodeSize]:
        return [NodeSize("small", "small", 1024, 10, 0, 0.0, self, extra={"cpu": "2"})]


class Plain(LibcloudProvider):
    def __init__(self, driver: Driver, **dialect: Any) -> None:
        clock = FakeClock()
        super().__init__("east", now=clock.now, driver_class=Driver, dialect=Dialect(**dialect))
        self.given = driver
        self.connected = 0

    def connect(self) -> Driver:
        self.connected += 1
        return self.given


def node(node_id: str = "vm-1", tags: dict[str, str] | None = None, **other: Any) -> DriverNode:
    values: dict[str, Any] = {"state": DriverState.RUNNING, "created_at": None, **other}
    return DriverNode(
        node_id, "web-1", public_ips=[], private_ips=[], driver=None, extra={"tags": tags or {}}, **values
    )


@pytest.mark.parametrize(
    "answer",
    [None, {}, "", b"<xml/>", {"nodes": []}, 5, [None], [{"id": "vm-1"}], KeyError("main_ip"), AttributeError("find")],
    ids=repr,
)
def test_an_answer_that_is_no_list_of_nodes_is_no_listing(answer: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        Plain(Driver(list_nodes=answer)).list_nodes()


@pytest.mark.parametrize(
    "answer", [[], None, True, {}, [node("a"), node("b")]], ids=["empty list", "none", "true", "mapping", "two nodes"]
)
def test_a_create_that_answers_with_no_node_is_not_understood(answer: object) -> None:
    """libcloud's drivers can answer a create with an empty list; whether a node was made is not known then."""
    with pytest.raises(UnexpectedAnswer) as caught:
        Plain(Driver(create_node=answer)).create_node(REQUEST)
    assert not caught.value.definite


def test_a_create_that_answers_with_a_list_of_one_is_understood() -> None:
    assert Plain(Driver(create_node=[node()])).create_node(REQUEST).id == "vm-1"


def test_the_create_call_carries_the_tags_and_the_template_s_options() -> None:
    driver = Driver()
    request = NodeRequest(REQUEST.token, "web-1", REQUEST.offer, "img", TAGS, "#!/bin/sh", {"ex_network": "n1"})
    Plain(driver).create_node(request)
    (arguments,) = [arguments for verb, arguments in driver.calls if verb == "create_node"]
    assert arguments["ex_tags"] == TAGS
    assert arguments["ex_network"] == "n1"
    assert arguments["ex_userdata"] == "#!/bin/sh"
    assert (arguments["size"].id, arguments["image"].id, arguments["location"].id) == ("small", "img", "here")


def test_a_created_node_whose_tags_are_not_shown_yet_has_the_call_s() -> None:
    made = Plain(Driver(create_node=node())).create_node(REQUEST)
    assert (made.token, made.estate) == (str(TOKEN), "aaaaaaaaaaaa")
    assert made.tags == TAGS


def test_a_create_answered_with_another_s_node_is_not_understood() -> None:
    other = dict(ownership_tags(TOKEN._replace(ordinal=2), set_name="web", tenant="default"))
    with pytest.raises(UnexpectedAnswer, match="token"):
        Plain(Driver(create_node=node(tags=other))).create_node(REQUEST)


def test_without_tokens_the_tag_is_looked_for_and_the_oldest_kept() -> None:
    old, new = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    driver = Driver(list_nodes=[node("new", TAGS, created_at=new), node("old", TAGS, created_at=old), node("else")])
    assert Plain(driver).create_node(REQUEST).id == "old"
    assert [verb for verb, _ in driver.calls] == ["list_nodes"]


def test_without_tokens_a_node_that_has_ended_is_not_the_one() -> None:
    driver = Driver(list_nodes=[node("gone", TAGS, state=DriverState.TERMINATED)])
    assert Plain(driver).create_node(REQUEST).id == "vm-1"


def test_without_tokens_nothing_is_made_when_the_look_fails() -> None:
    driver = Driver(list_nodes=KeyError("main_ip"))
    with pytest.raises(UnexpectedAnswer):
        Plain(driver).create_node(REQUEST)
    assert [verb for verb, _ in driver.calls] == ["list_nodes"]


def test_with_tokens_nobody_looks() -> None:
    driver = Driver()
    Plain(driver, honours_tokens=True).create_node(REQUEST)
    assert [verb for verb, _ in driver.calls] == ["create_node"]


def test_a_destroy_of_what_is_gone_is_quiet() -> None:
    Plain(Driver(destroy_node=BaseHTTPError(404, "no such node"))).destroy_node("vm-1")


def test_a_destroy_that_is_answered_with_false_is_no_order_taken() -> None:
    with pytest.raises(UnexpectedAnswer):
        Plain(Driver(destroy_node=False)).destroy_node("vm-1")


def test_the_boolean_of_a_stop_is_no_truth() -> None:
    Plain(Driver(stop_node=False)).stop_node("vm-1")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (DriverState.STOPPED, None),
        (DriverState.STOPPING, None),
        (DriverState.RUNNING, Refused),
        (DriverState.TERMINATED, NotFound),
    ],
    ids=str,
)
def test_a_refused_stop_is_quiet_where_it_is_so_already(state: DriverState, expected: type[Exception] | None) -> None:
    driver = Driver(stop_node=BaseHTTPError(409, "wrong state"), list_nodes=[node(state=state)])
    if expected is None:
        Plain(driver).stop_node("vm-1")
        return
    with pytest.raises(expected):
        Plain(driver).stop_node("vm-1")


def test_what_the_driver_lacks_is_found_by_looking() -> None:
    provider = Plain(Driver())
    assert abilities(provider) == {"stop_node"}
    with pytest.raises(Unsupported):
        provider.start_node("vm-1")
    with pytest.raises(Unsupported):
        provider.tag_node("vm-1", {"a": "b"})
    assert provider.connected == 0


def test_a_single_node_is_found_in_the_listing_where_the_driver_has_no_verb_for_it() -> None:
    provider = Plain(Driver(list_nodes=[node("a"), node("b")]))
    assert provider.get_node("b").id == "b"
    with pytest.raises(NotFound):
        provider.get_node("c")


def test_reset_makes_a_new_driver_at_the_next_call() -> None:
    provider = Plain(Driver())
    provider.list_nodes()
    provider.list_nodes()
    provider.reset()
    provider.list_nodes()
    assert provider.connected == 2


def test_offers_of_a_driver_have_no_price_that_nobody_vouches_for() -> None:
    offers = Plain(Driver()).list_offers()
    assert [offer.key for offer in offers] == ["east/here/small", "east/there/small"]
    assert {offer.price for offer in offers} == {None}
    assert offers[0].vcpus == 2


def test_a_connection_that_fails_is_translated_too() -> None:
    class Unconnectable(Plain):
        def connect(self) -> Driver:
            raise KeyError("no such region")

    with pytest.raises(UnexpectedAnswer):
        Unconnectable(Driver()).list_nodes()
