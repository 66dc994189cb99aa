"""Commands that want something done: with no monitor running they do it themselves, else they ask the one that runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cloudmon.cli import asking, opening
from cloudmon.clock import SystemClock
from cloudmon.errors import StoreBroken, StoreUnavailable
from cloudmon.model.requests import Request, RequestState, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.service import Service, open_service
from cloudmon.store import Store

REASON = ("--reason", "a test")


@pytest.fixture
def shop(cli: Any) -> Any:
    """``storefront`` with two appliances that run, made by ``apply``."""
    cli("apply", "--yes")
    return cli


def states(cli: Any) -> list[str]:
    return [row["state"] for row in cli.json("status")]


# --- plan and apply ---------------------------------------------------------------------------------------------


def test_a_plan_that_would_act_is_exit_code_2_and_changes_nothing(cli: Any) -> None:
    rows = cli.json("plan", code=2)
    assert [(row["subject"], row["action"]) for row in rows] == [
        ("storefront", "create"),
        ("storefront/1", "launch"),
        ("storefront/2", "launch"),
    ]
    assert cli.json("sets", "list") == []
    assert cli.json("plan", code=2) == rows


def test_apply_shows_the_plan_does_it_and_ends_when_steady(cli: Any) -> None:
    found = cli("apply", "--yes")
    assert "launch" in found.stdout
    assert "storefront/1 is launching" in found.stderr
    assert states(cli) == ["running", "running"]
    assert cli("plan").stderr == "nothing to do\n"


def test_apply_asks_and_nobody_there_is_no_yes(cli: Any) -> None:
    assert "say --yes" in cli("apply", code=1).stderr
    assert cli.json("sets", "list") == []


def test_apply_of_what_is_already_so_does_nothing(shop: Any) -> None:
    before = shop.json("actions")
    rows = shop.json("apply")
    assert [row["state"] for row in rows] == ["running", "running"]
    assert shop.json("actions") == before


def test_apply_that_is_not_steady_in_time_is_exit_code_1(cli: Any) -> None:
    cli.config.write_text(cli.config.read_text().replace("boot_s = 4", "boot_s = 500"))
    assert "not steady after 1m" in cli("apply", "--yes", "--timeout", "1m", code=1).stderr


# --- act --------------------------------------------------------------------------------------------------------


def test_a_reboot_is_asked_done_and_told(shop: Any) -> None:
    assert shop("act", "storefront/2", "reboot", *REASON).stdout == "reboot of 1 appliance done\n"
    row = shop.json("actions", "storefront/2")[-1]
    assert (row["verb"], row["origin"], row["state"]) == ("reboot", "request", "done")
    assert row["reason"].endswith("a test")


def test_all_of_a_set_are_taken_in_turns(shop: Any) -> None:
    shop("act", "storefront/*", "reboot", *REASON)
    first, second = [row for row in shop.json("actions") if row["verb"] == "reboot"]
    assert {first["appliance"], second["appliance"]} == {"storefront/1", "storefront/2"}
    assert first["ended_at"] <= second["created_at"]


def test_stop_and_start(shop: Any) -> None:
    shop("act", "storefront/1", "stop", *REASON)
    assert states(shop) == ["stopped", "running"]
    shop("act", "storefront/1", "start", *REASON)
    assert states(shop) == ["running", "running"]


def test_a_replacement_is_the_next_incarnation_of_the_same_appliance(shop: Any) -> None:
    shop("act", "storefront/1", "replace", *REASON)
    assert [(row["incarnation"], row["state"]) for row in shop.json("status")] == [(2, "running"), (1, "running")]


def test_what_is_replaced_while_it_is_off_has_no_node_until_it_is_started_and_is_not_isolated(shop: Any) -> None:
    shop("act", "storefront/1", "stop", *REASON)
    assert shop("act", "storefront/1", "replace", *REASON).stdout == (
        "replace of 1 appliance done: the node is ended, and the next one is launched when it is started\n"
    )
    assert states(shop) == ["requested", "running"]
    assert "storefront/1 has no node to isolate" in shop("act", "storefront/1", "isolate", *REASON, code=1).stderr
    assert [row["wanted"] for row in shop.json("status")] == ["stopped", "running"]
    shop("act", "storefront/1", "start", *REASON)
    assert states(shop) == ["running", "running"]


def test_a_whole_set_is_not_rebooted_by_a_slip(shop: Any) -> None:
    assert "storefront/*" in shop("act", "storefront", "reboot", *REASON, code=1).stderr


def test_a_request_without_waiting_is_only_written(shop: Any) -> None:
    found = shop("act", "storefront/1", "reboot", *REASON, "--no-wait")
    assert "or the next one that runs" in found.stdout
    assert [row["verb"] for row in shop.json("actions")] == ["launch", "launch"]


def test_what_is_asked_is_there_as_json(shop: Any) -> None:
    (row,) = shop.json("act", "storefront/1", "reboot", *REASON)
    assert (row["target"], row["verb"], row["state"]) == ("storefront/1", "reboot", "done")


def test_a_request_that_takes_too_long_is_exit_code_1_and_stays(shop: Any, store: Store) -> None:
    found = shop("act", "storefront/1", "reboot", *REASON, "--timeout", "1s", code=1)
    assert "is still accepted after 1s" in found.stderr
    assert [request.verb for request in store.requests.open(EVERYONE)] == [RequestVerb.REBOOT]


# --- sets -------------------------------------------------------------------------------------------------------

LAID = {
    ("pause", "storefront"): "pause by cli:",
    ("protect", "storefront/1"): "protect on /1 by cli:",
    ("maintain", "storefront", "--for", "2h"): "maintenance by cli:",
}


@pytest.mark.parametrize(("arguments", "expected"), LAID.items(), ids=str)
def test_controls_are_laid_and_shown_with_owner_and_reason(
    shop: Any, arguments: tuple[str, ...], expected: str
) -> None:
    shop("sets", *arguments, *REASON)
    (row,) = shop.json("sets", "list")
    (control,) = row["controls"]
    assert control.startswith(expected)
    assert control.endswith("(a test)")


def test_a_control_is_released(shop: Any) -> None:
    shop("sets", "pause", "storefront", *REASON)
    shop("sets", "release", "storefront", "pause")
    assert shop.json("sets", "list")[0]["controls"] == []
    assert shop("sets", "release", "storefront", "pause").stdout == "no pause lies on storefront\n"


def test_what_was_never_a_control_is_refused(shop: Any) -> None:
    assert "is no control" in shop("sets", "release", "storefront", "sleep", code=1).stderr


def test_a_set_without_end_cannot_be_extended(shop: Any) -> None:
    found = shop("sets", "extend", "storefront", "--by", "1d", code=1)
    assert found.stderr == "cloudmon: storefront has no end that could be extended\n"


def test_a_lease_is_extended(cli: Any) -> None:
    cli.config.write_text(cli.config.read_text() + 'lease = { end = "2026-11-02T00:00:00Z" }\n')
    cli("apply", "--yes")
    cli("sets", "extend", "storefront", "--by", "1d")
    assert cli.json("sets", "list")[0]["lease_end"] == "2026-11-03T00:00:00+00:00"


def test_too_late_an_extension_is_refused_with_the_reason(shop: Any, clock: Any) -> None:
    shop("sets", "retire", "storefront", *REASON, "--yes", "--no-wait")
    clock.advance(1)
    refused = shop("sets", "extend", "storefront", "--by", "1d", code=1).stderr
    assert "too late: storefront is being retired since" in refused


def test_how_long_must_be_said_once(shop: Any) -> None:
    both = ("--by", "1d", "--until", "2027-01-01T00:00:00Z")
    assert "say how long" in shop("sets", "extend", "storefront", code=1).stderr
    assert "say how long" in shop("sets", "extend", "storefront", *both, code=1).stderr


def test_a_retired_set_has_ended_and_its_usage_with_it(shop: Any, clock: Any) -> None:
    shop("sets", "retire", "storefront", *REASON, "--yes")
    (row,) = [row for row in shop.json("sets", "list", "--all") if row["retired_at"]]
    assert "a test" in row["retired_reason"]
    used = shop.json("usage")
    clock.advance(3600)
    assert shop.json("usage") == used


# --- adopt, orphans, confirm ------------------------------------------------------------------------------------


def test_adoption_needs_one_way_to_say_which(shop: Any) -> None:
    assert "say which" in shop("adopt", "east", "--set", "storefront", code=1).stderr
    assert "say which" in shop("adopt", "east", "n-1", "--set", "storefront", "--tag", "a=b", code=1).stderr


def test_adoption_of_what_is_not_there_is_refused(shop: Any) -> None:
    assert "shows no such node" in shop("adopt", "east", "n-77", "--set", "storefront", code=1).stderr


def test_an_orphan_that_nobody_found_is_not_ended(shop: Any, store: Store) -> None:
    found = shop("orphans", "end", "east", "n-77", *REASON, code=1)
    assert "is no orphan that was found" in found.stderr
    assert store.requests.open(EVERYONE) == []


@pytest.mark.parametrize(
    ("target", "subject"),
    [
        ("east", "cloud:east"),
        ("cloud:east", "cloud:east"),
        ("destructive per cloud east", "destructive per cloud east"),
    ],
)
def test_confirmation_names_what_breakers_know(shop: Any, store: Store, target: str, subject: str) -> None:
    shop("confirm", target, *REASON)
    (request,) = store.requests.open(EVERYONE)
    assert (request.target, request.state) == (subject, RequestState.ACCEPTED)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("destructive per cloud esat", 'did you mean "destructive per cloud east"?'),
        ("destructive per set", "name the set itself"),
    ],
    ids=["a misspelt cloud", "a set's own budget"],
)
def test_a_budget_that_no_breaker_keeps_is_not_confirmed(shop: Any, store: Store, name: str, hint: str) -> None:
    assert hint in shop("confirm", name, *REASON, code=1).stderr
    assert store.requests.open(EVERYONE) == []


def test_confirmation_of_a_set_is_by_its_uid(shop: Any, store: Store) -> None:
    assert shop("confirm", "storefront", *REASON).stdout.startswith("storefront: ")
    (request,) = store.requests.open(EVERYONE)
    assert request.target == store.sets.active(EVERYONE)[0].uid


# --- beside a monitor that runs ---------------------------------------------------------------------------------


@contextmanager
def working(service: Service) -> Iterator[None]:
    """The monitor of another process: holds the store's lock, and ticks."""
    stop = threading.Event()

    def work() -> None:
        with service:
            service.begin()
            ready.set()
            while not stop.wait(0.05):
                service.tick()

    ready = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        stop.set()
        thread.join(20)


@pytest.fixture
def real_time(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    """Two monitors that wait for each other need time that passes for both."""
    found = SystemClock()
    monkeypatch.setattr(opening, "clock", lambda: found)
    monkeypatch.setattr(asking, "POLL_S", 0.05)
    return found


def test_a_running_monitor_does_what_is_asked(cli: Any, real_time: SystemClock) -> None:
    cli.config.write_text(cli.config.read_text().replace("boot_s = 4", "boot_s = 0"))
    with working(open_service(cli.config, real_time)):
        assert "a monitor runs on this store and does it" in cli("apply", "--yes").stderr
        assert "until it is released" in cli("sets", "pause", "storefront", *REASON).stdout
    assert states(cli) == ["running", "running"]
    assert len(cli.json("monitors")) == 1


def test_what_waits_for_somebody_ends_an_apply_beside_it(cli: Any, real_time: SystemClock) -> None:
    cli.config.write_text(cli.config.read_text().replace("boot_s = 4", "boot_s = 0"))
    with working(open_service(cli.config, real_time)):
        cli("apply", "--yes")
        cli("sets", "pause", "storefront", *REASON)
        cli("act", "storefront/1", "stop", *REASON, "--no-wait")
        said = cli("apply", "--yes", code=3).stderr
    assert "a monitor runs on this store and does it" in said
    assert "the rest waits: storefront/1: is paused by cli:" in said


def test_its_refusal_is_shown(cli: Any, real_time: SystemClock) -> None:
    cli.config.write_text(cli.config.read_text().replace("boot_s = 4", "boot_s = 0"))
    with working(open_service(cli.config, real_time)):
        cli("apply", "--yes")
        found = cli("sets", "extend", "storefront", "--by", "1d", code=1)
    assert found.stderr == "cloudmon: storefront has no end that could be extended\n"


# --- a store that is away ---------------------------------------------------------------------------------------------


def away(monkeypatch: pytest.MonkeyPatch, error: StoreUnavailable, times: int) -> None:
    """The store does not answer what becomes of a request, so many times."""
    current, left = asking.current, [error] * times

    def found(store: Store, request: Request) -> Request:
        if left:
            raise left.pop()
        return current(store, request)

    monkeypatch.setattr(asking, "current", found)


def test_a_store_that_is_away_for_a_moment_is_waited_for(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    away(monkeypatch, StoreUnavailable("the store's server is shutting down"), times=5)
    found = shop("act", "storefront/1", "stop", *REASON)
    assert found.stderr.count("the store's server is shutting down; waiting for it for 1m") == 1
    assert states(shop) == ["stopped", "running"]


@pytest.mark.parametrize(
    ("error", "longest_s"), [(StoreUnavailable("it is gone"), 90), (StoreBroken("it is damaged"), 1)]
)
def test_one_that_stays_away_or_is_broken_is_not(
    shop: Any, monkeypatch: pytest.MonkeyPatch, error: StoreUnavailable, longest_s: float
) -> None:
    away(monkeypatch, error, times=9_999)
    began = shop.clock.monotonic()
    assert error.message in shop("act", "storefront/1", "stop", *REASON, code=1).stderr
    assert shop.clock.monotonic() - began <= longest_s
    monkeypatch.undo()
