"""Members of a set that are let talk to each other, from their launch to the end of their set."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import REASON, Shop

from cloudmon.model.nodes import PeerGroup

SETS = """
[templates.db]
images = { "*" = "db-1" }
[templates.db.peers]
ports = [5432]
firewall = true
[sets.db]
template = "db"
count = 3
[sets.web]
template = "web"
count = 1
"""


def groups(shop: Shop) -> list[PeerGroup]:
    return shop.world().list_peers()


def peers(shop: Shop) -> dict[str, str]:
    """The group that each appliance's node is truly in."""
    truth = shop.truth()
    return {name: truth[node].peers for name, node in shop.nodes().items() if node in truth}


@pytest.fixture
def db(new_shop: Callable[..., Shop]) -> Shop:
    """``db`` with three appliances that are let talk, beside one that is not."""
    shop = new_shop(SETS)
    shop.world().plan_fault("open_peers", "timeout_after_effect")  # an answer that is lost is settled by looking
    shop("apply", "--yes")
    return shop


def test_members_are_let_talk_from_their_launch_on_and_others_are_not(db: Shop) -> None:
    (group,) = groups(db)
    assert (group.ports, group.tags["cloudmon:set"]) == ((5432,), "db")
    assert peers(db) == {"db/1": group.name, "db/2": group.name, "db/3": group.name, "web/1": ""}
    assert db.json("plan") == []
    (row,) = [row for row in db.json("actions") if row["verb"] == "peers_open"]
    assert (row["appliance"], row["state"], db.world().calls["open_peers"]) == ("db", "done", 1)
    assert "peers reach each other at 5432" in db("why", "db").stdout


def test_what_changes_is_followed(db: Shop) -> None:
    (group,) = groups(db)
    db("act", "db/2", "replace", *REASON)
    with db.monitor() as watch:
        watch.settle()
        assert set(peers(db).values()) == {group.name, ""}
        db.world().leave_by_hand(db.nodes()["db/1"])
        db.world().open_by_hand(group.name, 22)
        watch.until(lambda: peers(db)["db/1"] == group.name and groups(db) == [group])
    db.edit("ports = [5432]", "ports = [5432, 8008]")
    db("apply", "--yes")
    assert [found.ports for found in groups(db)] == [(5432, 8008)]
    db.edit("firewall = true", "firewall = false")
    db("apply", "--yes")
    assert (groups(db), set(peers(db).values())) == ([], {""})
    assert db.json("plan") == []


def test_a_group_ends_with_its_set(db: Shop) -> None:
    db("sets", "retire", "db", "--yes", *REASON)
    with db.monitor() as watch:
        watch.until(lambda: not groups(db))
        watch.settle()
    assert [row["state"] for row in db.json("actions", "db") if row["verb"] == "peers_close"] == ["done"]


def test_a_plan_names_the_cloud_that_cannot(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(SETS, options='lacks = ["open_peers", "close_peers", "list_peers"]')
    said = shop("plan", code=2).stderr
    assert "db: cloud east has no firewall that could let its members talk to each other" in said
    assert "web:" not in said
