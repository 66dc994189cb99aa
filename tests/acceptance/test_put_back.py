"""A store that is put back from an older copy: its monitor says so, ends nothing, and takes back what was lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from shop import REASON, Shop, Watch

from cloudmon.errors import MonitorAlreadyRuns
from cloudmon.model.findings import FindingKind
from cloudmon.testing.clock import FakeClock

NewShop = Callable[..., Shop]

SETS = """
[sets.web]
template = "web"
count = 1
healing = { backoff_s = 0 }

[sets.brief]
template = "web"
count = 1
lease = { duration = 7200, warn = [] }
"""


def copy(shop: Shop, *, back: bool = False) -> None:
    """A copy of the store as it is now, also while a monitor runs; or, ``back``, the store from that copy."""
    store, other = shop.path.parent / "shop.db", shop.path.parent / "copy.db"
    if back:
        for name in ("shop.db", "shop.db-wal", "shop.db-shm"):
            (shop.path.parent / name).unlink(missing_ok=True)
        store, other = other, store
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(other)) as target:
        source.backup(target)


@pytest.fixture
def lost(new_shop: NewShop, clock: FakeClock, request: pytest.FixtureRequest) -> tuple[Shop, dict[str, str]]:
    """An estate whose store is three hours old: since then web/1 got another node, web/2 came, and a lease was
    extended. The nodes that appliances truly have."""
    shop = new_shop(SETS)
    with shop.monitor() as watch:
        watch.settle()
        if request.param == "while it runs":
            copy(shop)
    if request.param == "while it is stopped":
        copy(shop)
    with shop.monitor() as watch:
        watch.settle()
        shop("sets", "extend", "brief", "--by", "30d", *REASON, "--no-wait")
        shop.world().delete_by_hand(shop.nodes()["web/1"])
        watch.settle()
        shop.edit("count = 1\nhealing", "count = 2\nhealing")
        watch.settle()
        truth = shop.nodes()
    clock.advance(3 * 3_600)
    copy(shop, back=True)
    assert set(truth.values()) == set(shop.truth())
    return shop, truth


def orphans(shop: Shop) -> set[str]:
    return {row["node"] for row in shop.json("orphans") if row["kind"] == "orphan"}


def waits(shop: Shop, appliance: str) -> str:
    return str(next(row["waits_for"] for row in shop.json("status") if row["appliance"] == appliance))


def notices(watch: Watch) -> list[str]:
    return [found.message for found in watch.findings() if found.kind is FindingKind.SUSPICIOUS]


both = pytest.mark.parametrize("lost", ["while it runs", "while it is stopped"], indirect=True)


@both
def test_it_says_what_happened_and_ends_nothing_before_a_person_has_looked(
    lost: tuple[Shop, dict[str, str]],
) -> None:
    """Neither what the store does not know, nor what it takes for over though its lease was extended since."""
    shop, truth = lost
    said = shop.json("audit", "verify", code=1)
    assert {"tail cut"} == {row["kind"] for row in said if row["chain"] == "estate"}
    with shop.monitor() as watch:
        watch.over(1_200)
        (notice,) = notices(watch)
        assert notice.startswith("the store is older than what was written down beside it")
        assert [row["message"] for row in shop.json("incidents")] == [notice]
        assert set(shop.truth()) == set(truth.values())
        assert orphans(shop) == {truth["web/1"], truth["web/2"]}
        assert shop.states() == {"web/1": "requested", "web/2": "requested", "brief/1": "running"}
        assert f"node {truth['web/2']} on east carries our estate's tags" in waits(shop, "web/2")
        assert notice in shop("plan").stderr
        assert shop.json("sets", "show", "brief")[0]["count"] == 1
    said = shop.json("audit", "verify", code=1)
    assert {"estate"} <= {row["chain"] for row in said}


@both
def test_what_it_lost_is_adopted_back_and_goes_on_as_what_it_was(
    lost: tuple[Shop, dict[str, str]], clock: FakeClock
) -> None:
    """In whatever order: each node becomes again the appliance that it was, and all its time is counted once."""
    shop, truth = lost
    born = {node.id: node.created_at for node in shop.truth().values()}
    with shop.monitor() as watch:
        watch.over(120)
    for name in ("web/2", "web/1"):
        found = shop("adopt", "east", truth[name], "--set", "web", *REASON)
        assert found.stdout == f"adopted as {name}\n"
    assert shop.nodes() == truth
    assert orphans(shop) == set()
    with shop.monitor() as watch:
        watch.over(600)
    assert set(shop.truth()) == set(truth.values())
    rows = [row for row in shop.json("usage", "--by", "appliance") if row["dimension"] == "node.running"]
    metered = {row["subject"]: row["measured_s"] + row["estimated_s"] for row in rows}
    lived_s = (clock.now() - born[truth["web/2"]]).total_seconds()
    assert abs(metered["web/2"] - lived_s) <= 10


@both
def test_once_it_is_confirmed_the_store_is_believed_again(lost: tuple[Shop, dict[str, str]]) -> None:
    """The lease, whose extension nobody knows of, has ended; orphans stay, until somebody ends them."""
    shop, truth = lost
    with shop.monitor() as watch:
        watch.over(120)
    shop("confirm", "store", *REASON)
    with shop.monitor() as watch:
        watch.over(600)
        assert notices(watch) == []
        assert set(shop.truth()) == {truth["web/1"], truth["web/2"]}
    with shop.monitor() as watch:
        watch.over(60)
        assert notices(watch) == []
    # Ended by a person, and only then launched anew.
    shop("orphans", "end", "east", truth["web/1"], *REASON)
    with shop.monitor() as watch:
        watch.over(120)
    assert shop.nodes()["web/1"] not in ("", truth["web/1"])
    assert shop.states("web") == {"web/1": "running", "web/2": "requested"}


@both
def test_a_person_who_extends_the_lease_again_keeps_what_it_is_for(lost: tuple[Shop, dict[str, str]]) -> None:
    shop, truth = lost
    with shop.monitor() as watch:
        watch.over(120)
    shop("sets", "extend", "brief", "--by", "30d", *REASON)
    shop("confirm", "store", *REASON)
    with shop.monitor() as watch:
        watch.over(600)
    assert shop.nodes()["brief/1"] == truth["brief/1"]
    assert truth["brief/1"] in shop.truth()


def test_no_second_monitor_begins_on_a_store_that_is_put_back_under_the_first(new_shop: NewShop) -> None:
    shop = new_shop(SETS)
    with shop.monitor() as watch:
        watch.settle()
        copy(shop)
        watch.over(60)
        copy(shop, back=True)
        with pytest.raises(MonitorAlreadyRuns), shop.monitor():
            pytest.fail("a second monitor began")
    with shop.monitor() as watch:
        watch.settle()
        assert len(shop.truth()) == 2


def test_a_store_that_is_as_it_was_says_nothing(new_shop: NewShop, tmp_path: Path) -> None:
    shop = new_shop(SETS)
    for _ in range(2):
        with shop.monitor() as watch:
            watch.settle()
            assert notices(watch) == []
    assert shop.json("audit", "verify") == []
    assert (tmp_path / "state" / "anchors" / "heads.log").exists()
