"""Appliances that are cut off from everything, as a person meets it: asked for, or in place of a suspension."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import REASON, Shop

from cloudmon.testing.clock import FakeClock

SETS = """
[sets.web]
template = "web"
count = 2
"""
POWERLESS = 'lacks = ["suspend_node", "resume_node", "stop_node", "start_node"]'
"""A cloud whose machines run from their creation to their end."""


@pytest.fixture
def two(new_shop: Callable[..., Shop]) -> Shop:
    """``web`` with two appliances that run."""
    return _two(new_shop)


def _two(new_shop: Callable[..., Shop], options: str = "") -> Shop:
    shop = new_shop(SETS, options=options)
    shop.world()  # a cloud in memory lives as long as somebody holds it
    shop("apply", "--yes")
    return shop


def test_what_can_neither_be_suspended_nor_stopped_is_isolated_and_that_is_told(new_shop: Callable[..., Shop]) -> None:
    shop = _two(new_shop, POWERLESS)
    node = shop.nodes()["web/1"]
    said = shop("act", "web/1", "suspend", *REASON).stdout
    assert "1 isolated, which their cloud can and to suspend or stop it cannot" in said
    assert shop.truth()[node].isolated
    (row,) = [row for row in shop.json("status") if row["appliance"] == "web/1"]
    assert (row["state"], row["wanted"], row["node"]) == ("isolated", "suspended", node)
    (action,) = [row for row in shop.json("actions", "web/1") if row["verb"] == "isolate"]
    assert (action["state"], action["evidence"]["fallback_of"]) == ("done", "suspend")
    assert "this cloud can neither suspend nor stop, so it is isolated" in action["reason"]
    assert "so it is isolated" in shop("why", "web/1").stdout
    assert shop.json("plan") == []
    shop("act", "web/1", "resume", *REASON)
    assert shop.states() == {"web/1": "running", "web/2": "running"}
    assert not shop.truth()[node].isolated


def test_an_isolated_appliance_stays_so_and_is_paid_for_until_it_is_released(two: Shop, clock: FakeClock) -> None:
    node = two.nodes()["web/1"]
    assert two("act", "web/1", "isolate", *REASON).stdout.startswith("1 appliance isolated")
    with two.monitor() as watch:  # another monitor than the one that did it
        watch.over(120)
        assert two.states() == {"web/1": "isolated", "web/2": "running"}
        assert [found.message for found in watch.findings()] == []
        two.world().release_by_hand(node)
        watch.until(lambda: two.truth()[node].isolated)
        watch.until(lambda: watch.seen()[1] == "isolated")
        two.world().isolate_by_hand(two.nodes()["web/2"])
        watch.over(120)
        assert watch.seen() == {1: "isolated", 2: "isolated"}  # what somebody cut off there stays so, too
    told = two("why", "web/1").stdout
    assert "isolated → running (fault): its node was found running" in told
    assert [row["verb"] for row in two.json("actions", "web/1")] == ["launch", "isolate", "isolate"]
    two("act", "web/1", "release", *REASON)
    assert two.states()["web/1"] == "running"
    ran = sum((until - since).total_seconds() for since, until in two.truth()[node].ran(clock.now()))
    rows = [row for row in two.json("usage", "--by", "appliance") if row["subject"] == "web/1"]
    assert [row["dimension"] for row in rows] == ["node.running"]
    assert rows[0]["measured_s"] + rows[0]["estimated_s"] == pytest.approx(ran, abs=21)


def test_an_order_whose_answer_was_lost_is_settled_by_looking_and_a_replacement_is_not_isolated(two: Shop) -> None:
    two.world().plan_fault("isolate_node", "timeout_after_effect")
    two("act", "web/1", "isolate", *REASON)
    assert [(row["verb"], row["state"]) for row in two.json("actions", "web/1")][1:] == [("isolate", "done")]
    assert two.world().calls["isolate_node"] == 1
    two("act", "web/1", "replace", *REASON)
    assert two.states() == {"web/1": "running", "web/2": "running"}
    assert [one.isolated for one in two.truth().values()] == [False, False]


def test_who_is_not_isolated_is_not_released_and_a_cloud_without_a_firewall_is_named(
    new_shop: Callable[..., Shop],
) -> None:
    shop = _two(new_shop, 'lacks = ["isolate_node", "release_node"]')
    assert "web/1 is not isolated" in shop("act", "web/1", "release", *REASON, code=1).stderr
    assert "which cannot isolate nodes" in shop("act", "web/1", "isolate", *REASON, code=1).stderr
    assert shop.json("plan") == []
