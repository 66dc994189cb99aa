"""Nodes that cloudmon did not make: those it is given, those of its estate that nothing explains, and all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import REASON, Shop, Watch

from cloudmon.model.identity import TAG_ESTATE, TAG_SET, TAG_TENANT, TAG_TOKEN, Token
from cloudmon.testing.clock import FakeClock

NewShop = Callable[..., Shop]

SOMEBODY_ELSES = "otherestate1"


def a_set(name: str, count: int, more: str = "") -> str:
    return f'\n[sets.{name}]\ntemplate = "web"\ncount = {count}\n{more}\n'


def stranger(shop: Shop, **tags: str) -> str:
    """A machine that somebody else made."""
    return shop.world().foreign("made-by-hand", tags)


def orphan(shop: Shop, watch: Watch, estate: str = "") -> str:
    """A machine with the tags of an estate (ours, when none is named) and the token of a set that nobody knows."""
    estate = estate or watch.store.estate
    token = str(Token(estate, "nobodyknows1", 4, 2))
    tags = {TAG_ESTATE: estate, TAG_TOKEN: token, TAG_SET: "lost", TAG_TENANT: "default"}
    return shop.world().foreign("lost-4-2", tags)


def used(shop: Shop) -> dict[str, int]:
    """Seconds that ``usage`` shows for each appliance, running or stopped."""
    found: dict[str, int] = {}
    for row in shop.json("usage", "--by", "appliance"):
        found[row["subject"]] = found.get(row["subject"], 0) + row["measured_s"] + row["estimated_s"]
    return found


# --- adoption -----------------------------------------------------------------------------------------------------


def test_a_node_is_adopted_by_id_into_a_free_ordinal(new_shop: NewShop, clock: FakeClock) -> None:
    """It keeps running, carries our tags from then on, and is healed, metered and retired like all others."""
    shop = new_shop(a_set("web", 2))
    with shop.monitor() as watch:
        watch.settle()
        # The second one is wanted off, and so has no node when its own is gone.
        shop("act", "web/2", "stop", *REASON, "--no-wait")
        watch.settle()
        shop.world().delete_by_hand(shop.nodes()["web/2"])
        watch.settle()
        assert shop.states() == {"web/1": "running", "web/2": "requested"}
    node = stranger(shop, role="db")
    clock.advance(1000)
    found = shop("adopt", "east", node, "--set", "web", "--ordinal", "2", *REASON)
    assert found.stdout == "adopted as web/2\n"
    shop("act", "web/2", "start", *REASON)
    shop("apply", "--yes")
    assert shop.nodes()["web/2"] == node
    true = shop.truth()[node]
    assert true.tags[TAG_SET] == "web"
    assert true.tags["role"] == "db"
    assert Token.parse(true.tags[TAG_TOKEN]) is not None
    assert [spell.word for spell in true.spells] == ["running"]
    adopted = [row for row in shop.json("actions") if row["verb"] == "adopt"]
    assert [(row["appliance"], row["state"], row["node"]) for row in adopted] == [("web/2", "done", node)]
    assert "adopted by cli:" in shop("why", "web/2").stdout
    # It is one of the set now: what befalls it is healed …
    shop.world().delete_by_hand(node)
    clock.advance(60)
    shop("apply", "--yes")
    assert shop.states() == {"web/1": "running", "web/2": "running"}
    assert shop.nodes()["web/2"] != node
    assert used(shop)["web/2"] < 1000
    # … and it ends with the set.
    shop("sets", "retire", "web", *REASON, "--yes")
    assert shop.truth() == {}
    assert shop.json("audit", "verify") == []


def test_nodes_are_adopted_by_tag_and_the_set_grows(new_shop: NewShop, clock: FakeClock) -> None:
    shop = new_shop(a_set("web", 1), a_set("db", 0))
    shop("apply", "--yes")
    made = {stranger(shop, role="db") for _ in range(3)}
    other = stranger(shop, role="mail")
    before = shop.truth()
    found = shop("adopt", "east", "--set", "db", "--tag", "role=db", *REASON)
    assert found.stdout == "adopted as db/1, db/2, db/3\n"
    shop("apply", "--yes")
    assert shop.states("db") == {"db/1": "running", "db/2": "running", "db/3": "running"}
    assert set(shop.nodes("db").values()) == made
    assert set(shop.truth()) == set(before)
    assert TAG_ESTATE not in shop.truth()[other].tags
    # The file still says 0, as it did before: it says nothing new, so what was adopted stays.
    assert shop.json("plan") == []
    assert [row["count"] for row in shop.json("sets", "show", "db")] == [0, 3]


def test_an_adopted_set_ends_when_its_file_asks_for_less_again(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 4), a_set("db", 0))
    shop("apply", "--yes")
    node = stranger(shop)
    shop("adopt", "east", node, "--set", "db", *REASON)
    shop.edit(a_set("db", 0), "")
    shop("apply", "--yes")
    assert node not in shop.truth()


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (
            "foreign estate",
            f"belongs to estate {SOMEBODY_ELSES}; where that is no more, take its tag cloudmon:estate away",
        ),
        ("unknown", "shows no such node"),
        ("ours", "is appliance"),
    ],
)
def test_what_is_not_to_be_had_is_refused_and_stays_as_it_is(new_shop: NewShop, who: str, why: str) -> None:
    shop = new_shop(a_set("web", 1), a_set("db", 0))
    shop("apply", "--yes")
    with shop.monitor() as watch:
        theirs = orphan(shop, watch, SOMEBODY_ELSES)
    node = {"foreign estate": theirs, "unknown": "vm-nowhere", "ours": shop.nodes()["web/1"]}[who]
    before = shop.truth()
    assert why in shop("adopt", "east", node, "--set", "db", *REASON, code=1).stderr
    shop("apply", "--yes")
    assert shop.truth() == before
    assert shop.states() == {"web/1": "running"}
    assert [row["count"] for row in shop.json("sets", "show", "db")] == [0]


def test_an_ordinal_that_is_taken_is_refused(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1))
    shop("apply", "--yes")
    node = stranger(shop)
    refused = shop("adopt", "east", node, "--set", "web", "--ordinal", "1", *REASON, code=1)
    assert "has no free appliance with that ordinal" in refused.stderr
    assert TAG_ESTATE not in shop.truth()[node].tags


def test_a_set_that_does_not_exist_adopts_nothing(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1))
    shop("apply", "--yes")
    assert "did you mean web?" in shop("adopt", "east", "vm-1", "--set", "webb", *REASON, code=1).stderr
    assert "no cloud named" in shop("adopt", "north", "vm-1", "--set", "web", *REASON, code=1).stderr


# --- orphans ------------------------------------------------------------------------------------------------------


def test_an_orphan_is_found_shown_metered_and_held_until_somebody_ends_it(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1))
    with shop.monitor() as watch:
        watch.settle()
        node = orphan(shop, watch)
        watch.over(600)
        (row,) = shop.json("orphans")
        assert (row["kind"], row["cloud"], row["node"]) == ("orphan", "east", node)
        assert "no row of the store explains it" in row["message"]
        assert node in shop("orphans").stdout
        assert node in shop.truth()
        metered = shop.json("usage", "--by", "cloud")
        assert sum(row["measured_s"] for row in metered if row["dimension"] == "node.running") > 1100
        assert shop.json("plan") == []
        shop("orphans", "end", "east", node, *REASON, "--no-wait")
        watch.over(120)
        assert list(shop.truth()) == list(shop.nodes().values())
        assert shop.json("orphans") == []
        (ended,) = [row for row in shop.json("actions") if row["verb"] == "terminate"]
        assert (ended["node"], ended["state"], ended["origin"]) == (node, "done", "request")
        assert shop.json("audit", "verify") == []


def test_an_orphan_that_is_ended_is_waited_for(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1))
    with shop.monitor() as watch:
        watch.settle()
        node = orphan(shop, watch)
        watch.tick(2)
    assert shop("orphans", "end", "east", node, *REASON).stdout == f"east:{node} has ended\n"
    assert node not in shop.truth()


def test_where_orphans_are_to_be_ended_they_are_within_the_budget(new_shop: NewShop) -> None:
    """Four orphans and a budget of two for the cloud: two go, two are held in sight until its window has passed."""
    shop = new_shop(
        a_set("web", 1), '\n[sweep]\norphans = "end"\n', "\n[breakers.destructive]\nper_cloud = 2\nwindow_s = 900\n"
    )
    with shop.monitor() as watch:
        watch.settle()
        (own,) = shop.truth()
        orphans = {orphan(shop, watch) for _ in range(4)}
        watch.over(400)
        left = set(shop.truth()) - {own}
        assert len(left) == 2
        assert left < orphans
        held = [row for row in shop.json("plan", code=2) if row["held"]]
        assert {row["held"] for row in held} == {"budget used up: 2 destructive per cloud east in 900 s"}
        assert {row["node"] for row in shop.json("orphans")} == left
        watch.over(600)
        assert list(shop.truth()) == [own]
        assert shop.json("orphans") == []


def test_a_node_of_a_set_that_was_forgotten_by_the_store_is_adopted_back(new_shop: NewShop) -> None:
    """An orphan is no stranger: it can be taken in again, and is no orphan from then on."""
    shop = new_shop(a_set("web", 1), a_set("db", 0))
    with shop.monitor() as watch:
        watch.settle()
        node = orphan(shop, watch)
        watch.tick(2)
    shop("adopt", "east", node, "--set", "db", *REASON)
    shop("apply", "--yes")
    assert shop.nodes("db") == {"db/1": node}
    assert shop.json("orphans") == []
    assert shop.truth()[node].tags[TAG_SET] == "db"


def test_wild_nodes_are_counted_and_never_touched(new_shop: NewShop) -> None:
    """Neither those of no estate nor those of another one, whatever the sweep is told."""
    shop = new_shop(a_set("web", 1), '\n[sweep]\norphans = "end"\n')
    with shop.monitor() as watch:
        watch.settle()
        wild = {stranger(shop), stranger(shop, role="db"), orphan(shop, watch, SOMEBODY_ELSES)}
        before = {node: shop.truth()[node] for node in wild}
        watch.over(1200)
        assert {node: shop.truth()[node] for node in wild} == before
        (row,) = shop.json("orphans")
        assert (row["kind"], row["cloud"]) == ("wild", "east")
        assert row["message"].startswith("3 nodes on east belong to no set of this estate")
        assert shop.json("plan") == []
        shop.world().delete_by_hand(wild.pop())
        watch.tick()
        assert shop.json("orphans")[0]["message"].startswith("2 nodes")
        refused = shop("orphans", "end", "east", wild.pop(), *REASON, code=1)
        assert "is no orphan that was found" in refused.stderr
        assert len(shop.truth()) == 3
