"""What fails again and again is tried so often and no more, and then a person is told and can have it tried anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import POLL_S, REASON, Shop, Watch

from cloudmon.model.findings import FindingKind
from cloudmon.model.nodes import NodeState

NewShop = Callable[..., Shop]

SHORT_S = 2 * POLL_S
MOST = 3
FRAIL = f"""
[sets.frail]
template = "web"
count = 1
healing = {{ max_attempts = {MOST}, backoff_s = 20, backoff_max_s = 100, steady_s = 300, launch_attempts = 3 }}
"""
AGAIN = "`cloudmon act frail/1 start` tries again"
LOST = f"frail/1: its node was lost again, and {MOST} tries in a row did not make it run for 300 s; {AGAIN}"
OFF = f"frail/1: it was found stopped again, and {MOST} tries in a row did not make it run for 300 s; {AGAIN}"


def launched(shop: Shop) -> int:
    """Machines that there ever were."""
    return len(shop.world().ledger())


def short_lived(shop: Shop, watch: Watch, seconds: float) -> None:
    """So long, in which no machine lives longer than twenty seconds from its boot."""
    for _ in range(round(seconds / POLL_S)):
        watch.tick()
        for node in shop.truth().values():
            if (shop.clock.now() - node.created_at).total_seconds() >= SHORT_S:
                shop.world().delete_by_hand(node.id)


def incidents(shop: Shop) -> list[str]:
    return [row["message"] for row in shop.json("incidents")]


def test_machines_that_die_soon_after_each_boot_are_launched_so_often_and_no_more(new_shop: NewShop) -> None:
    """Later there is one incident, and status, why and plan say why nothing is launched and what can be done."""
    shop = new_shop(FRAIL)
    with shop.monitor() as watch:
        short_lived(shop, watch, 1_800)
        assert launched(shop) == 1 + MOST
        assert shop.states() == {"frail/1": "requested"}
        assert incidents(shop) == [LOST]
        watch.over(2_400)
        assert launched(shop) == 1 + MOST
        assert [found.kind for found in watch.findings()] == [FindingKind.INCIDENT]
        assert shop.json("status")[0]["waits_for"] == LOST
        assert f"incident: {LOST}" in shop("why", "frail/1").stdout
        assert f"waits: frail/1: an incident is open: {LOST.removeprefix('frail/1: ')}" in shop("plan").stderr


def test_the_first_machine_that_is_lost_is_replaced_at_once_and_a_steady_one_begins_anew(new_shop: NewShop) -> None:
    shop = new_shop(FRAIL)
    with shop.monitor() as watch:
        for lost in range(1, 2 * MOST):
            watch.over(400)
            assert shop.states() == {"frail/1": "running"}
            shop.world().delete_by_hand(shop.nodes()["frail/1"])
            watch.tick(3)
            assert launched(shop) == 1 + lost
    assert incidents(shop) == []


@pytest.mark.parametrize("action", ["start", "replace"])
def test_what_was_given_up_is_launched_again_when_a_person_asks(new_shop: NewShop, action: str) -> None:
    shop = new_shop(FRAIL)
    with shop.monitor() as watch:
        short_lived(shop, watch, 1_800)
        before = launched(shop)
        shop("act", "frail/1", action, *REASON, "--no-wait")
        short_lived(shop, watch, 1_800)
        assert launched(shop) == before + 1 + MOST
        assert incidents(shop) == [LOST]
        shop("act", "frail/1", action, *REASON, "--no-wait")
        watch.settle()
        assert shop.states() == {"frail/1": "running"}
        assert incidents(shop) == []


def test_what_was_given_up_is_launched_again_when_its_template_changes(new_shop: NewShop) -> None:
    """And ``plan`` says so before."""
    shop = new_shop(FRAIL)
    with shop.monitor() as watch:
        short_lived(shop, watch, 1_800)
    assert shop.json("plan") == []
    shop.edit("web-1", "web-2")
    assert ("frail/1", "launch") in [(row["subject"], row["action"]) for row in shop.json("plan", code=2)]
    with shop.monitor() as watch:
        watch.settle()
        assert shop.states() == {"frail/1": "running"}
        assert incidents(shop) == []


def test_a_machine_that_turns_itself_off_after_each_start_is_started_so_often_and_no_more(new_shop: NewShop) -> None:
    shop = new_shop(FRAIL)

    def starts() -> int:
        return shop.world().calls.get("start_node", 0)

    def idle(seconds: float) -> None:
        for _ in range(round(seconds / POLL_S)):
            watch.tick()
            for node in shop.truth().values():
                if node.state is NodeState.RUNNING and watch.seen() == {1: "running"}:
                    shop.world().stop_by_hand(node.id)

    with shop.monitor() as watch:
        idle(1_800)
        assert starts() == MOST
        assert incidents(shop) == [OFF]
        idle(1_800)
        assert starts() == MOST
        shop("act", "frail/1", "start", *REASON, "--no-wait")
        watch.settle()
        assert shop.states() == {"frail/1": "running"}
        assert incidents(shop) == []
        assert launched(shop) == 1


def test_machines_that_die_before_they_ever_run_are_launched_so_often_and_no_more(new_shop: NewShop) -> None:
    """One incident says first that launches fail, then that none is made any more."""
    shop = new_shop(FRAIL, options="boot_s = 25")
    said: list[str] = []
    with shop.monitor() as watch:
        for _ in range(360):
            watch.tick()
            for node in shop.truth().values():
                shop.world().delete_by_hand(node.id)
            told = [found.message for found in watch.findings() if found.kind is FindingKind.INCIDENT]
            said += [message for message in told if message not in said]
        assert launched(shop) == 1 + MOST
        assert said[0] == "frail/1: 3 launches failed, the last with its node ended before it ran"
        assert incidents(shop) == said[-1:] == [LOST]


def test_machines_that_never_finish_their_boot_are_healed_so_often_and_no_more(new_shop: NewShop) -> None:
    """Reboot, stop and start, replace; then nothing any more, until a person asks."""
    shop = new_shop(FRAIL, options="faults = { boot_hang = 1 }")
    given_up = f"frail/1: {MOST} actions did not end the fault; {AGAIN}"
    with shop.monitor() as watch:
        watch.over(2_400)
        assert shop.states() == {"frail/1": "faulted"}
        assert (launched(shop), incidents(shop)) == (2, [given_up])
        shop("act", "frail/1", "start", *REASON, "--no-wait")
        watch.over(2_400)
        assert (launched(shop), incidents(shop)) == (3, [given_up])


def test_a_termination_that_does_not_end_is_an_open_incident_until_its_machine_is_gone(new_shop: NewShop) -> None:
    """Who looks at actions, incidents, status or why is told; and it is tried on."""
    shop = new_shop(FRAIL)
    with shop.monitor() as watch:
        watch.settle()
        (node,) = shop.truth()
        shop.world().plan_fault("destroy_node", "server_error", 8)
        shop("act", "frail/1", "replace", *REASON, "--no-wait")
        watch.over(1_200)
        (stuck,) = [row for row in shop.json("actions") if row["verb"] == "terminate"]
        assert (stuck["state"], stuck["ended_at"]) == ("incident", None)
        said = f"frail/1: node {node} on east does not end"
        assert incidents(shop) == [said]
        assert "terminate, which does not come to its end" in shop.json("status")[0]["waits_for"]
        assert f"incident: {said}" in shop("why", "frail/1").stdout
        assert shop.states() == {"frail/1": "running"}
        watch.over(2_400)
        assert node not in shop.truth()
        assert [row["state"] for row in shop.json("actions") if row["verb"] == "terminate"] == ["done"]
        assert incidents(shop) == []
