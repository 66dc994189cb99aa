"""How ``apply`` ends: as it is wanted, or with what waits for somebody, or for longer than it stays."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cloudmon.cli.plan import waiting
from cloudmon.clock import Clock
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.changes import Change, Expect
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.reports import Wait
from cloudmon.store import Store

REASON = ("--reason", "a test")
STORE = '[store]\nurl = "sqlite:///shop.db"\n'
RETIRES = '\n[breakers.retirement]\nper_set = 1\nper_tenant = 9\nper_cloud = 9\nwindow_s = "{window}"\n'
REPLACES = 'method = "replace"\nhealthy_s = "10m"\n'
SET = '[sets.storefront]\ntemplate = "web"\ncount = 2\n'


@pytest.fixture
def shop(cli: Any) -> Any:
    """``storefront`` with two appliances that run, made by ``apply``."""
    cli("apply", "--yes")
    return cli


def edit(cli: Any, old: str, new: str) -> None:
    text = cli.config.read_text()
    assert old in text
    cli.config.write_text(text.replace(old, new))


def states(cli: Any) -> list[str]:
    return [row["state"] for row in cli.json("status")]


def ends(cli: Any, clock: Clock, *, code: int, within_s: float = 60) -> str:
    """What ``apply`` says on its way to its end, which does not take it long."""
    began = clock.now()
    said = str(cli("apply", "--yes", code=code).stderr)
    assert (clock.now() - began).total_seconds() <= within_s
    return said


# --- what waits for somebody ------------------------------------------------------------------------------------------


def test_what_is_paused_is_named_with_who_paused_it_until_somebody_acts(shop: Any, clock: Clock) -> None:
    shop("sets", "pause", "storefront", *REASON)
    shop("act", "storefront/1", "stop", *REASON, "--no-wait")
    said = ends(shop, clock, code=3)
    assert "cloudmon: done is what can be done now, and the rest waits: storefront/1: is paused by cli:" in said
    assert said.endswith("a test (until somebody acts)\n")


def test_a_retirement_that_is_held_by_a_protection_is_named_with_its_end(shop: Any, clock: Clock) -> None:
    shop("sets", "protect", "storefront", "--for", "1h", *REASON)
    until = clock.now() + dt.timedelta(hours=1)
    edit(shop, SET, "")
    said = ends(shop, clock, code=3)
    assert "the rest waits: storefront/1 and 1 more: is to be retired (" in said
    assert f"a test (until {until:%Y-%m-%d %H:%M:%SZ})\n" in said
    assert states(shop) == ["running", "running"]


def test_one_too_many_that_is_protected_is_not_as_it_is_wanted(shop: Any, clock: Clock) -> None:
    shop("sets", "protect", "storefront/2", *REASON)
    edit(shop, "count = 2", "count = 1")
    assert "the rest waits: storefront/2: is to be retired (the set was made smaller)" in ends(shop, clock, code=3)


def test_a_lease_that_begins_later_is_named_with_its_beginning(cli: Any, clock: Clock) -> None:
    edit(cli, SET, SET + 'lease = { start = "2026-11-02T00:00:00Z" }\n')
    said = ends(cli, clock, code=3)
    assert "storefront/1 and 1 more: its lease has not begun (until 2026-11-02 00:00:00Z)" in said


def test_what_a_budget_holds_for_longer_is_named_with_when_it_passes(shop: Any, clock: Clock) -> None:
    edit(shop, SET, RETIRES.format(window="1h"))
    said = ends(shop, clock, code=3, within_s=300)
    assert "terminate is held back: budget used up: 1 retirement per set in 3600 s (until 2026-11-01 14:" in said
    assert states(shop) == ["running"]


def test_a_roll_out_that_is_held_is_named_as_plan_names_it(shop: Any, clock: Clock) -> None:
    """First as one that is to come, then as one whose first new node is watched; between the two it goes on."""
    shop("sets", "pause", "storefront", *REASON)
    edit(shop, 'images = { "*" = "web-1" }\n', 'images = { "*" = "web-2" }\n[templates.web.updates]\n' + REPLACES)
    assert "storefront/1 and 1 more: terminate is held back: held by pause of cli:" in ends(shop, clock, code=3)
    shop("sets", "release", "storefront", "pause")
    assert "not steady after 2m" in shop("apply", "--yes", "--timeout", "2m", code=1).stderr
    shop("sets", "pause", "storefront", *REASON)
    assert "storefront/1: is watched since it was replaced; held by pause of cli:" in ends(shop, clock, code=3)
    assert [row["incarnation"] for row in shop.json("status")] == [2, 1]


# --- what ends by itself ----------------------------------------------------------------------------------------------


def test_what_ends_by_itself_in_time_is_waited_for_and_the_bound_is_told(shop: Any, clock: Clock) -> None:
    shop("sets", "protect", "storefront", "--for", "2m", *REASON)
    bound = clock.now() + dt.timedelta(minutes=15)
    edit(shop, SET, "")
    said = ends(shop, clock, code=0, within_s=300)
    assert f"looks until {bound:%Y-%m-%d %H:%M:%SZ} at most" in said
    assert states(shop) == []


def test_a_budget_that_has_room_again_in_time_is_waited_for(shop: Any, clock: Clock) -> None:
    edit(shop, SET, RETIRES.format(window="2m"))
    ends(shop, clock, code=0, within_s=400)
    assert states(shop) == []


# --- what is as it is wanted ------------------------------------------------------------------------------------------


def test_what_plan_calls_nothing_to_do_is_the_end(shop: Any, clock: Clock) -> None:
    """One that is suspended is off, which is all that one who is to be stopped needs to be."""
    shop("act", "storefront/1", "suspend", *REASON)
    shop("act", "storefront/1", "stop", *REASON)
    assert shop("plan").stderr == "nothing to do\n"
    ends(shop, clock, code=0, within_s=0)


def test_what_was_to_be_isolated_and_has_no_node_gets_its_next_one(shop: Any, store: Store, clock: Clock) -> None:
    shop("act", "storefront/1", "stop", *REASON)
    shop("act", "storefront/1", "replace", *REASON)
    owner = store.monitors.begin(host="here", pid=1, now=clock.now())
    (member,) = [one for one in store.members.all(EVERYONE) if one.ordinal == 1]
    stuck = Change(
        member.tenant, member.id, Expect(ApplianceState.REQUESTED, member.incarnation), {"wanted": Power.ISOLATED}
    )
    assert store.ledger.write(owner, [stuck], now=clock.now()) == [True]
    store.monitors.end(owner, clock.now())
    ends(shop, clock, code=0)
    assert [(row["state"], row["wanted"]) for row in shop.json("status")] == [("running", "running")] * 2


# --- in words ---------------------------------------------------------------------------------------------------------


def test_all_that_wait_for_the_same_are_one_clause_with_the_first_end() -> None:
    early, late = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    waits = [Wait("web/1", "rests", late), Wait("db/1", "is held", None, lasts=True), Wait("web/2", "rests", early)]
    assert waiting([*waits, Wait("mail/1", "boots", None)]) == [
        "web/1 and 1 more: rests (until 2026-01-01 00:00:00Z)",
        "db/1: is held (until somebody acts)",
        "mail/1: boots",
    ]
