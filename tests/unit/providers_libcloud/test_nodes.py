"""Driver nodes become the model's, whole where they can be read, and never at the cost of the others."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from libcloud.compute.base import Node as DriverNode
from libcloud.compute.base import NodeImage, NodeSize
from libcloud.compute.types import NodeState as DriverState

from cloudmon.errors import UnexpectedAnswer
from cloudmon.model.identity import TAG_ESTATE, TAG_TOKEN
from cloudmon.model.nodes import Node, NodeState
from cloudmon_providers._libcloud import Dialect
from cloudmon_providers._libcloud.nodes import Reader, without_repeats

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TAGS = {TAG_TOKEN: "cm1-a-b-1-1", TAG_ESTATE: "a", "colour": "red"}


def driver_node(node_id: Any = "vm-1", state: Any = DriverState.RUNNING, **other: Any) -> DriverNode:
    values: dict[str, Any] = {"size": None, "image": None, "extra": {"tags": TAGS}, "created_at": NOON, **other}
    return DriverNode(node_id, "web", state, ["198.18.0.1"], ["10.0.0.1"], None, **values)


def read_one(node: object, **dialect: Any) -> Node:
    (found,) = Reader(Dialect(**dialect)).read([node])
    return found


def test_a_node_is_read_in_full() -> None:
    size, image = NodeSize("s", "s", 1, 1, 1, 0.0, None), NodeImage("img", "img", None)
    extra = {"tags": TAGS, "zone": "here-1"}
    node = read_one(driver_node(size=size, image=image, extra=extra), location_field="zone")
    assert node == Node(
        id="vm-1",
        name="web",
        state=NodeState.RUNNING,
        word="running",
        token="cm1-a-b-1-1",
        estate="a",
        location="here-1",
        size="s",
        image="img",
        public_addresses=["198.18.0.1"],
        private_addresses=["10.0.0.1"],
        created_at=NOON,
        tags=TAGS,
    )


@pytest.mark.parametrize("state", list(DriverState), ids=str)
def test_every_state_of_libcloud_has_a_place(state: DriverState) -> None:
    node = read_one(driver_node(state=state))
    assert isinstance(node.state, NodeState)
    assert node.word == state.value


@pytest.mark.parametrize(
    ("word", "expected"),
    [("shelved", NodeState.STOPPED), ("running", NodeState.RUNNING), ("dreaming", NodeState.UNKNOWN)],
    ids=["the cloud's own", "libcloud's", "new to us"],
)
def test_the_cloud_s_word_decides(word: str, expected: NodeState) -> None:
    node = read_one(
        driver_node(state=DriverState.UNKNOWN, extra={"vm_state": word}),
        words={"shelved": NodeState.STOPPED},
        word_field="vm_state",
    )
    assert (node.state, node.word) == (expected, word)


def test_where_the_cloud_s_word_is_missing_libcloud_s_stands() -> None:
    node = read_one(driver_node(extra={}), word_field="vm_state")
    assert (node.state, node.word) == (NodeState.RUNNING, "running")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, None),
        (NOON, NOON),
        (NOON.replace(tzinfo=None), NOON),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=5))), NOON),
        ("2026-03-01T12:00:00Z", NOON),
    ],
    ids=["unsaid", "aware", "naive", "elsewhere", "text"],
)
def test_an_instant_is_aware_utc_however_it_is_told(told: object, expected: dt.datetime | None) -> None:
    node = read_one(driver_node(created_at=None, extra={"launched": told}), created_field="launched")
    assert node.created_at == expected
    assert node.created_at is None or node.created_at.tzinfo is dt.UTC


@pytest.mark.parametrize("zone", ["a", 7], ids=["read at once", "read slowly"])
@pytest.mark.parametrize(
    ("word", "told", "expected"),
    [
        ("terminated", "2026-03-01T12:00:00Z", NOON),
        ("terminated", NOON.replace(tzinfo=None), NOON),
        ("terminated", None, None),
        ("running", NOON, None),
    ],
    ids=["text", "naive", "unsaid", "of one that lives"],
)
def test_only_a_terminated_node_says_when_it_ended(
    zone: object, word: str, told: object, expected: dt.datetime | None
) -> None:
    node = read_one(
        driver_node(extra={"vm_state": word, "zone": zone, "ended": told}),
        word_field="vm_state",
        location_field="zone",
        ended_field="ended",
    )
    assert (node.word, node.ended_at) == (word, expected)


@pytest.mark.parametrize(
    "odd",
    [
        driver_node("odd", extra={"tags": ["not", "a", "mapping"]}),
        driver_node("odd", created_at="yesterday"),
        driver_node("odd", size="not a size"),
        driver_node("odd", state=object()),
    ],
    ids=["tags", "instant", "size", "state"],
)
def test_an_odd_node_is_listed_as_unknown_and_the_others_in_full(odd: DriverNode) -> None:
    before, found, after = Reader(Dialect()).read([driver_node("a"), odd, driver_node("b")])
    assert (before.id, before.state) == ("a", NodeState.RUNNING)
    assert (found.id, found.state) == ("odd", NodeState.UNKNOWN)
    assert (after.id, after.state) == ("b", NodeState.RUNNING)


def test_numbers_where_text_should_be_are_read_as_text() -> None:
    node = read_one(driver_node(extra={"zone": 7, "tags": {**TAGS, "count": 3}}), location_field="zone")
    assert (node.state, node.location, node.token) == (NodeState.RUNNING, "7", "cm1-a-b-1-1")


def test_an_odd_node_keeps_its_owner() -> None:
    node = read_one(driver_node(created_at="yesterday"))
    assert (node.token, node.estate) == ("cm1-a-b-1-1", "a")


@pytest.mark.parametrize(
    "item",
    [{"id": "vm-1"}, None, "vm-1", ["vm-1"], driver_node(0), driver_node("")],
    ids=["mapping", "none", "text", "list", "id 0", "empty id"],
)
def test_what_is_no_node_is_no_listing(item: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        Reader(Dialect()).read([driver_node(), item])


def test_a_node_that_two_pages_show_is_there_once_as_the_later_page_has_it() -> None:
    early, late = read_one(driver_node(state=DriverState.PENDING)), read_one(driver_node())
    assert without_repeats([early, late]) == [late]


def test_two_different_nodes_of_one_id_are_no_listing() -> None:
    first, second = read_one(driver_node()), read_one(driver_node())._replace(token="cm1-a-b-2-1")
    with pytest.raises(UnexpectedAnswer, match="vm-1"):
        without_repeats([first, second])


ODD = st.none() | st.text() | st.integers() | st.booleans() | st.binary() | st.lists(st.text())


@given(
    extra=st.dictionaries(
        st.sampled_from(["tags", "status", "zone", "at"]),
        ODD | st.dictionaries(st.sampled_from([TAG_TOKEN, TAG_ESTATE, "colour"]), ODD),
    ),
    state=st.sampled_from(list(DriverState)) | ODD,
    created=ODD | st.datetimes(),
)
@example(extra={"tags": {TAG_TOKEN: 0}}, state=None, created=None)
def test_whatever_a_driver_puts_into_a_node_it_stays_listed(extra: Any, state: Any, created: Any) -> None:
    dialect = Dialect(word_field="status", location_field="zone", created_field="at", ended_field="at")
    (node,) = Reader(dialect).read([driver_node(extra=extra, state=state, created_at=created)])
    assert node.id == "vm-1"
    assert isinstance(node.state, NodeState)
    assert all(isinstance(text, str) for text in (node.word, node.location, node.size, node.image))
    assert node.token is None or isinstance(node.token, str)
    assert node.ended_at is None or node.ended_at.tzinfo is dt.UTC
    assert node.created_at is None or node.created_at.tzinfo is dt.UTC
