"""What holds a monitor back, and what a person sees of it and can do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from shop import POLL_S, REASON, Shop

from cloudmon.testing.clock import FakeClock

NewShop = Callable[..., Shop]

EAGER = 'healing = { ladder = ["replace"], fault_after_s = 0, verify_s = 20, backoff_s = 0, backoff_max_s = 0 }'
"""Healing that replaces at once."""


def a_set(name: str, count: int, more: str = "") -> str:
    return f'\n[sets.{name}]\ntemplate = "web"\ncount = {count}\n{more}\n'


def budget(kind: str, per_set: int) -> str:
    return f"\n[breakers.{kind}]\nper_set = {per_set}\nper_tenant = 10\nper_cloud = 10\n"


def held(shop: Shop) -> dict[str, str]:
    """What ``plan`` says is held back, and by what."""
    return {row["subject"]: row["held"] for row in shop.json("plan", code=2) if row["held"]}


# --- budgets ------------------------------------------------------------------------------------------------------


def test_what_is_over_the_destructive_budget_waits_with_its_reason_until_somebody_confirms(new_shop: NewShop) -> None:
    """Two of three broken machines are replaced; the third waits, and plan, status and why say for what."""
    shop = new_shop(a_set("web", 3, EAGER), budget("destructive", 2))
    used_up = "budget used up: 2 destructive per set in 3600 s"
    with shop.monitor() as watch:
        watch.settle()
        before = shop.nodes()
        for node in before.values():
            shop.world().kill_node(node, "break")
        watch.over(600)
        after = shop.nodes()
        (kept,) = [name for name in before if after[name] == before[name]]
        assert shop.states()[kept] == "faulted"
        assert len(shop.truth()) == 3
        assert held(shop) == {kept: used_up}
        assert used_up in shop.json("status", kept)[0]["waits_for"]
        assert f"held: terminate is held back: {used_up}" in shop("why", kept).stdout
        shop("confirm", "web", *REASON, "--no-wait")
        watch.over(60)
        assert set(shop.states().values()) == {"running"}
        assert before[kept] not in shop.truth()
        assert shop.json("plan") == []
        assert [row["waits_for"] for row in shop.json("status")] == ["", "", ""]


def test_a_cloud_s_budget_is_confirmed_as_plan_names_it(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 2, EAGER), "\n[breakers.destructive]\nper_cloud = 1\nper_set = 9\nper_tenant = 9\n")
    with shop.monitor() as watch:
        watch.settle()
        for node in shop.nodes().values():
            shop.world().kill_node(node, "break")
        watch.over(300)
        (reason,) = held(shop).values()
        assert reason == "budget used up: 1 destructive per cloud east in 3600 s"
        shop("confirm", "destructive per cloud east", *REASON, "--no-wait")
        watch.settle()
    assert set(shop.states().values()) == {"running"}


def test_a_budget_is_open_again_when_its_window_has_passed(new_shop: NewShop, clock: FakeClock) -> None:
    shop = new_shop(a_set("web", 2, EAGER), budget("destructive", 1).replace("per_set", "window_s = 600\nper_set"))
    with shop.monitor() as watch:
        watch.settle()
        for node in shop.nodes().values():
            shop.world().kill_node(node, "break")
        watch.over(300)
        assert sorted(shop.states().values()) == ["faulted", "running"]
        watch.over(400)
        assert sorted(shop.states().values()) == ["running", "running"]


# --- doubt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["cloud:east", "east"])
def test_when_all_vanishes_at_once_nothing_is_done_until_somebody_confirms(new_shop: NewShop, target: str) -> None:
    shop = new_shop(a_set("web", 4))
    with shop.monitor() as watch:
        watch.settle()
        before = shop.nodes()
        for node in before.values():
            shop.world().delete_by_hand(node)
        watch.over(300)
        assert shop.nodes() == before
        assert set(shop.states().values()) == {"running"}
        assert shop.world().nodes_true() == []
        doubt = "4 of 4 known nodes are missing from one listing of east"
        assert all(doubt in row["waits_for"] for row in shop.json("status"))
        assert all(row["stale"] for row in shop.json("status"))
        assert doubt in shop("status").stderr
        assert f"note: {doubt}" in shop("plan").stderr
        shop("confirm", target, *REASON, "--no-wait")
        watch.settle()
        assert shop.states() == dict.fromkeys(before, "running")
        assert set(shop.nodes().values()) == set(shop.truth())
        assert not set(shop.nodes().values()) & set(before.values())


def test_what_stays_vanished_past_the_grace_is_believed(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 3), "\n[breakers]\nvanish_grace_s = 600\n")
    with shop.monitor() as watch:
        watch.settle()
        for node in shop.nodes().values():
            shop.world().delete_by_hand(node)
        watch.over(590)
        assert shop.world().nodes_true() == []
        watch.over(60)
        assert len(shop.truth()) == 3


def test_empty_listings_double_nothing_and_destroy_nothing(new_shop: NewShop) -> None:
    """The cloud shows nothing for ten minutes and knows each node when asked: nothing at all is done."""
    shop = new_shop(a_set("web", 3))
    with shop.monitor() as watch:
        watch.settle()
        before, actions = shop.truth(), shop.json("actions")
        shop.world().plan_fault("list_nodes", "empty_listing", 60)
        watch.over(600)
        assert "missing from one listing" in shop("status").stderr
        shop.world().plan_fault("list_nodes", "empty_listing", 0)
        watch.settle()
        assert shop.truth() == before
        assert shop.json("actions") == actions
        assert set(shop.states().values()) == {"running"}


# --- a file that asks for less ------------------------------------------------------------------------------------


def test_a_file_that_suddenly_asks_for_much_less_is_held_until_apply_confirms_it(new_shop: NewShop) -> None:
    """What shrinks and what is gone from it waits; what grows does not."""
    shop = new_shop(a_set("web", 3), a_set("ledger", 2), a_set("mail", 1))
    with shop.monitor() as watch:
        watch.settle()
        before = shop.truth()
        shop.edit(a_set("ledger", 2), "")
        shop.edit(a_set("web", 3), a_set("web", 1))
        shop.edit(a_set("mail", 1), a_set("mail", 2))
        watch.over(600)
        assert len(shop.states("web")) == 3
        assert shop.states("ledger") == {"ledger/1": "running", "ledger/2": "running"}
        assert shop.states("mail") == {"mail/1": "running", "mail/2": "running"}
        assert set(before) < set(shop.truth())
        said = "it asks for 4 appliances fewer of"
        assert said in shop("status").stderr
        assert said in shop("plan", code=2).stdout
        assert watch.tick().notes
    assert said in shop("apply", "--yes").stderr
    assert shop.states() == {"web/1": "running", "mail/1": "running", "mail/2": "running"}
    assert set(shop.truth()) == set(shop.nodes().values())
    assert said not in shop("status").stderr


def test_a_file_that_goes_on_asking_for_less_is_believed_after_its_grace(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 4), "\n[breakers]\nshrink_grace_s = 600\n")
    with shop.monitor() as watch:
        watch.settle()
        shop.edit(a_set("web", 4), a_set("web", 1))
        watch.over(500)
        assert len(shop.truth()) == 4
        watch.over(200)
        assert len(shop.truth()) == 1


def test_one_appliance_less_of_many_is_no_sudden_loss(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 4))
    with shop.monitor() as watch:
        watch.settle()
        shop.edit(a_set("web", 4), a_set("web", 3))
        watch.settle()
    assert sorted(shop.states()) == ["web/1", "web/2", "web/3"]
    assert len(shop.truth()) == 3


# --- controls -----------------------------------------------------------------------------------------------------


def test_a_paused_appliance_is_left_alone_until_its_pause_ends(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 2))
    with shop.monitor() as watch:
        watch.settle()
        shop("sets", "pause", "web/1", "--for", "10m", *REASON, "--no-wait")
        watch.tick()
        for node in shop.nodes().values():
            shop.world().delete_by_hand(node)
        watch.over(300)
        assert len(shop.truth()) == 1
        assert shop.states()["web/2"] == "running"
        assert shop.states()["web/1"] != "running"
        assert "paused" in shop.json("status", "web/1")[0]["waits_for"]
        watch.over(600)
        assert shop.states() == {"web/1": "running", "web/2": "running"}
        assert shop.json("sets", "list")[0]["controls"] == []


def test_protected_is_protected_from_healing_from_shrinking_and_from_retirement(new_shop: NewShop) -> None:
    """Whoever asks: the ladder, the file, or a person. Once it is released all of it happens."""
    shop = new_shop(a_set("web", 3, EAGER))
    with shop.monitor() as watch:
        watch.settle()
        nodes = shop.nodes()
        shop("sets", "protect", "web", *REASON, "--no-wait")
        watch.tick()
        shop.world().kill_node(nodes["web/1"], "break")
        shop.edit(a_set("web", 3, EAGER), a_set("web", 2, EAGER))
        refused = shop("act", "web/2", "replace", *REASON, "--no-wait")
        assert refused.exit_code == 0
        watch.over(600)
        assert set(shop.truth()) == set(nodes.values())
        (row,) = shop.json("status", "web/1")
        assert row["state"] == "faulted"
        assert "protected" in row["waits_for"]
        (row,) = shop.json("status", "web/3")
        assert "protected" in row["waits_for"]
        shop("sets", "release", "web", "protect", "--no-wait")
        watch.settle()
        assert shop.states() == {"web/1": "running", "web/2": "running"}
        truth = set(shop.truth())
        assert nodes["web/2"] in truth
        assert not truth & {nodes["web/1"], nodes["web/3"]}


def test_in_maintenance_faults_are_expected(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1, EAGER))
    with shop.monitor() as watch:
        watch.settle()
        (node,) = shop.nodes().values()
        shop("sets", "maintain", "web", "--for", "10m", *REASON, "--no-wait")
        watch.tick()
        shop.world().kill_node(node, "break")
        watch.over(500)
        assert list(shop.truth()) == [node]
        (row,) = shop.json("status")
        assert row["state"] == "faulted"
        assert "in maintenance" in row["waits_for"]
        assert "(maintenance)" in shop("why", "web/1").stdout
        watch.over(300)
        assert node not in shop.truth()
        assert shop.states() == {"web/1": "running"}


# --- leases -------------------------------------------------------------------------------------------------------

LEASE = 'lease = { duration = "2h", grace = "10m", warn = ["1h", "10m"] }'


def test_a_lease_warns_is_extended_at_the_last_moment_and_then_ends_for_good(
    new_shop: NewShop, clock: FakeClock
) -> None:
    shop = new_shop(a_set("night", 1, LEASE))
    with shop.monitor() as watch:
        watch.settle()
        began = dt.datetime.fromisoformat(shop.json("sets", "show", "night")[0]["created_at"])
        (node,) = shop.truth()
        warnings: list[str] = []
        for hours in (1.05, 1.9):
            clock.advance((began + dt.timedelta(hours=hours) - clock.now()).total_seconds())
            watch.tick()
            warnings.append(shop("why", "night").stdout)
        assert warnings[0].count("lease warning: night: its lease ends at") == 1
        assert warnings[1].count("lease warning: night: its lease ends at") == 2
        # In its grace: past the end, not yet retired.
        clock.advance((began + dt.timedelta(hours=2, minutes=9) - clock.now()).total_seconds())
        watch.tick()
        shop("sets", "extend", "night", "--by", "1h", "--no-wait")
        watch.tick()
        assert list(shop.truth()) == [node]
        end = (began + dt.timedelta(hours=3)).isoformat()
        assert shop.json("sets", "list")[0]["lease_end"] == end
        # Its new end, grace included.
        clock.advance((began + dt.timedelta(hours=3, minutes=9) - clock.now()).total_seconds())
        watch.tick()
        assert list(shop.truth()) == [node]
        clock.advance(90)
        watch.tick()
        assert shop.json("sets", "list")[0]["retiring_since"]
        watch.settle()
        assert shop.truth() == {}
        watch.over(600)
        assert shop.truth() == {}
    (ended,) = shop.json("sets", "list", "--all")
    assert ended["retired_at"]
    assert "its lease ended at" in ended["retired_reason"]
    late = shop("sets", "extend", "night", "--by", "1h", code=1).stderr
    assert "too late" in late
    # Named with a new lease it is made again, and is another set.
    assert shop.json("plan") == []
    shop.edit('duration = "2h"', 'duration = "5h"')
    shop("apply", "--yes")
    assert shop.states() == {"night/1": "running"}
    again = [row for row in shop.json("sets", "list", "--all") if not row["retired_at"]]
    assert [row["uid"] for row in again] != [ended["uid"]]
    assert len(shop.truth()) == 1


def test_while_it_retires_an_extension_is_too_late(new_shop: NewShop, clock: FakeClock) -> None:
    shop = new_shop(a_set("night", 1, 'lease = { duration = "1h", warn = [] }'), options="terminate_s = 100")
    with shop.monitor() as watch:
        watch.settle()
        clock.advance(3600)
        watch.tick()
        shop("sets", "extend", "night", "--by", "1h", "--no-wait")
        watch.tick()
    (request,) = [row for row in shop.json("audit", "show") if row["kind"] == "request.refused"]
    assert request["body"]["outcome"].startswith("too late: night is being retired since")
    shop("apply", "--yes")
    assert shop.truth() == {}


def test_a_lease_begins_when_it_says(new_shop: NewShop, clock: FakeClock) -> None:
    start = clock.now() + dt.timedelta(minutes=10)
    shop = new_shop(a_set("night", 1, f'lease = {{ start = "{start.isoformat()}" }}'))
    with shop.monitor() as watch:
        watch.over(500)
        assert shop.truth() == {}
        assert "its lease, which begins" in shop.json("sets", "list")[0]["waits_for"]
        assert "lease" in shop.json("status")[0]["waits_for"]
        watch.over(200)
    assert len(shop.truth()) == 1


# --- the first look -----------------------------------------------------------------------------------------------


def test_the_first_look_after_a_start_destroys_nothing(new_shop: NewShop) -> None:
    shop = new_shop(a_set("web", 1, EAGER))
    shop("apply", "--yes")
    (node,) = shop.truth()
    with shop.monitor() as watch:
        watch.settle()
        shop.world().kill_node(node, "break")
        watch.tick()  # the fault is seen; a ladder without patience would replace now, were there another tick
    assert shop.states() == {"web/1": "faulted"}
    with shop.monitor() as watch:
        report = watch.tick()
        assert [row.held for row in report.rows] == [
            "the first tick after a start or a jump of the clock destroys nothing because of what it sees"
        ]
        assert list(shop.truth()) == [node]
        watch.settle()
        assert node not in shop.truth()


# --- rolling ------------------------------------------------------------------------------------------------------


def test_a_set_is_replaced_in_turns_of_its_batch(new_shop: NewShop) -> None:
    """Never more than two of five are out of service, and each comes back as its next incarnation."""
    shop = new_shop(a_set("web", 5, "healing = { batch = 2 }"), options="boot_s = 25")
    with shop.monitor() as watch:
        watch.settle()
        before = shop.nodes()
        shop("act", "web/*", "replace", *REASON, "--no-wait")
        out: list[int] = []

        def done() -> bool:
            serving = [node for node in shop.truth().values() if node.word == "running"]
            out.append(5 - len(serving))
            return all(row["incarnation"] == 2 and row["state"] == "running" for row in shop.json("status"))

        watch.until(done)
        assert max(out) == 2
        watch.settle()
    assert not set(shop.nodes().values()) & set(before.values())
    assert set(shop.truth()) == set(shop.nodes().values())
    actions = shop.json("actions", "-n", "100")
    assert [row["verb"] for row in actions].count("terminate") == 5


def test_rolling_stops_at_the_first_failure(new_shop: NewShop) -> None:
    """The cloud refuses the second reboot: the rest are not touched, and the request says what failed."""
    shop = new_shop(a_set("web", 4, "healing = { batch = 1 }"))
    with shop.monitor() as watch:
        watch.settle()
        shop("act", "web/*", "reboot", *REASON, "--no-wait")
        watch.until(lambda: [row["state"] for row in reboots(shop)] == ["done"])
        second = next(row for row in shop.json("status") if row["appliance"] not in {reboots(shop)[0]["appliance"]})
        assert second["state"] == "running"
        for node in shop.nodes().values():
            shop.world().hang(node)
        watch.over(1200)
        states = [row["state"] for row in reboots(shop)]
        assert states[0] == "done"
        assert states.count("failed") == 1
        assert len(states) < 4
    (ended,) = [row for row in shop.json("audit", "show") if row["kind"] == "request.failed"]
    assert "reboot of 2 failed" in ended["body"]["outcome"]


def reboots(shop: Shop) -> list[dict[str, str]]:
    return [row for row in shop.json("actions", "-n", "100") if row["verb"] == "reboot"]


def test_polls_are_as_far_apart_as_these_tests_take_them_to_be(new_shop: NewShop, clock: FakeClock) -> None:
    shop = new_shop()
    with shop.monitor() as watch:
        before = clock.now()
        watch.tick(3)
    assert (clock.now() - before).total_seconds() == 3 * POLL_S
