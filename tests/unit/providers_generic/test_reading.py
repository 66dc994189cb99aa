"""What the configured paths make of a driver's nodes."""

from __future__ import annotations

import datetime as dt
import types

import pytest
from libcloud.compute.base import Node as DriverNode
from libcloud.compute.types import NodeState as DriverState

from cloudmon import errors
from cloudmon.model.identity import TAG_TOKEN, Token
from cloudmon.model.nodes import NodeState
from cloudmon_providers.generic import reading
from cloudmon_providers.generic.options import GenericOptions

TOKEN = Token("e" * 12, "s" * 12, 3, 1)


def driver_node(state=DriverState.RUNNING, name="vm", **extra) -> DriverNode:
    return DriverNode("n1", name, state, [], [], None, extra=extra)  # type: ignore[arg-type]


def options(**given) -> GenericOptions:
    return GenericOptions.model_validate({"driver": "ec2", "create": {"x": "{tags}"}, **given})


@pytest.mark.parametrize(
    ("carried", "given"),
    [
        pytest.param({"cloudmon:token": str(TOKEN), "b": 1}, {}, id="table"),
        pytest.param([f"cloudmon:token={TOKEN}", "b=1"], {}, id="pairs"),
        pytest.param([f"cloudmon:token:{TOKEN}", "b:1"], {"pair_separator": ":"}, id="pairs with a colon"),
        pytest.param([{"Key": "cloudmon:token", "Value": str(TOKEN)}, {"Key": "b", "Value": 1}], {}, id="items"),
        pytest.param({"cloudmon-token": str(TOKEN), "b": "1"}, {"tag_separator": "-"}, id="keys without a colon"),
    ],
)
def test_tags_are_read_in_the_form_that_the_cloud_has(carried, given) -> None:
    assert reading.tags(driver_node(tags=carried), options(**given)) == {TAG_TOKEN: str(TOKEN), "b": "1"}


@pytest.mark.parametrize("nothing", [None, [], {}, "text"])
def test_no_tags_are_no_fault(nothing) -> None:
    assert reading.tags(driver_node(tags=nothing), options()) == {}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        pytest.param("{token}", str(TOKEN), id="alone"),
        pytest.param("vm-{token}", f"vm-{TOKEN}", id="behind"),
        pytest.param("{token}.example.org", f"{TOKEN}.example.org", id="before"),
        pytest.param("{name}-{token}-x", f"store-front-{TOKEN}-x", id="between"),
    ],
)
def test_a_name_made_from_the_token_tells_whose_node_it_is(template, name) -> None:
    found = reading.tags(driver_node(name=name), options(name=template))
    assert found == {"cloudmon:token": str(TOKEN), "cloudmon:estate": TOKEN.estate}


@pytest.mark.parametrize("name", ["", "vm", "cm1-", "cm1-a-b-1-1", f"x{TOKEN}", str(TOKEN) + "x"])
def test_a_name_that_only_looks_like_it_is_nobodys(name) -> None:
    assert reading.tags(driver_node(name=name), options(name="{token}")) == {}


def test_without_a_template_that_has_it_a_name_is_only_a_name() -> None:
    assert reading.tags(driver_node(name=str(TOKEN)), options()) == {}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("extra.a.b", 1),
        ("extra.list.1", "y"),
        ("extra.list.9", None),
        ("extra.list.x", None),
        ("extra.object.zone", "z"),
        ("extra.nothing.at.all", None),
        ("name", "vm"),
        ("", None),
    ],
)
def test_a_path_leads_through_tables_lists_and_objects_or_nowhere(path, found) -> None:
    node = driver_node(a={"b": 1}, list=["x", "y"], object=types.SimpleNamespace(zone="z"))
    assert reading.at(node, path) == found


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-10-31T10:00:00Z", dt.datetime(2026, 10, 31, 10, tzinfo=dt.UTC)),
        (1793440800, dt.datetime(2026, 10, 31, 10, tzinfo=dt.UTC)),
        ("1793440800", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_an_instant_is_read_from_text_or_seconds(value, instant) -> None:
    found = options(fields={"created": "extra.born", "ended": "extra.born"})
    node = reading.lay_out(driver_node(born=value), found)
    assert node.extra["cloudmon_created"] == node.extra["cloudmon_ended"] == instant


def test_without_a_field_for_it_nobody_says_when_a_node_ended() -> None:
    assert reading.dialect(options(), {}).ended_field == ""
    assert reading.dialect(options(fields={"ended": "extra.gone_at"}), {}).ended_field == "cloudmon_ended"


WORDS = {
    "fields": {"words": ["extra.task_state", "extra.vm_state"]},
    "words": {"powering-off": "stopping", "suspending": "unknown", "paused": "suspended", "shelved": "stopped"},
}


@pytest.mark.parametrize(
    ("extra", "state"),
    [
        pytest.param({"task_state": "powering-off", "vm_state": "active"}, NodeState.STOPPING, id="the task first"),
        pytest.param({"task_state": None, "vm_state": "PAUSED"}, NodeState.SUSPENDED, id="then the machine"),
        pytest.param({"task_state": "imaging", "vm_state": "active"}, NodeState.RUNNING, id="else libcloud"),
        pytest.param({}, NodeState.RUNNING, id="no words at all"),
    ],
)
def test_the_clouds_own_word_wins_where_libclouds_map_is_wrong(make, extra, state) -> None:
    (node,) = make(**WORDS).read([driver_node(**extra)])
    assert node.state is state


def test_one_odd_node_loses_no_other_and_is_itself_unknown(make) -> None:
    odd = driver_node()
    odd.extra = 7  # type: ignore[assignment]
    found = make().read([driver_node(metadata={"a": "b"}), odd])
    assert [node.state for node in found] == [NodeState.RUNNING, NodeState.UNKNOWN]


@pytest.mark.parametrize("answer", [None, "nodes", {"nodes": []}, [3]])
def test_what_is_no_list_of_nodes_is_unexpected(make, answer) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        make().read(answer)
