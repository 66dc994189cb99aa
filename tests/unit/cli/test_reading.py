"""Commands that only read."""

from __future__ import annotations

import csv
import datetime as dt
import io
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, Expect
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Mark, UsageEvent
from cloudmon.store import Ownership, Store


def by(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    return {row[key]: row for row in rows}


# --- status -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_status_shows_names_states_and_why_something_waits(cli: Any) -> None:
    rows = by(cli.json("status"), "appliance")
    assert list(rows) == ["storefront/1", "storefront/2", "storefront/3"]
    assert {name: row["state"] for name, row in rows.items()} == {
        "storefront/1": "running",
        "storefront/2": "faulted",
        "storefront/3": "requested",
    }
    assert "reboot, to be seen" in rows["storefront/2"]["waits_for"]
    assert "its node reads error" in rows["storefront/2"]["waits_for"]
    assert rows["storefront/3"]["waits_for"] == "its launch"
    stuck = "terminate, which does not come to its end (last try: Refused: locked)"
    assert rows["storefront/1"]["waits_for"] == stuck


def test_the_node_of_an_appliance_that_retires_is_shown_until_it_is_gone(
    cli: Any, estate: Store, owner: Ownership, clock: Any
) -> None:
    """It is paid for until then, and its row has given it up: what ends it still names it."""
    (member,) = [one for one in estate.members.all(EVERYONE) if one.ordinal == 1]
    retiring = Change(
        tenant="default",
        appliance=member.id,
        expect=Expect(ApplianceState.RUNNING, 1),
        member={"state": ApplianceState.RETIRING, "since": clock.now(), "node_id": ""},
    )
    assert all(estate.ledger.write(owner, [retiring], now=clock.now()))
    row = by(cli.json("status"), "appliance")["storefront/1"]
    assert (row["state"], row["node"]) == ("retiring", "n-0")


@pytest.mark.usefixtures("estate")
def test_what_nobody_sees_any_more_is_stale_and_says_since_when(cli: Any) -> None:
    """The cloud's span ended half an hour ago."""
    row = by(cli.json("status"), "appliance")["storefront/1"]
    assert (row["stale"], row["seen_at"]) == (True, "2026-11-01T12:30:00+00:00")
    assert "running (stale since 2026-11-01 12:30:00Z)" in cli("status").stdout


def test_what_is_seen_now_is_not_stale(cli: Any, estate: Store, owner: Ownership, clock: Any) -> None:
    estate.spans.extend(owner, "east", clock.now(), max_gap_s=7200)
    rows = by(cli.json("status"), "appliance")
    assert [row["stale"] for row in rows.values()] == [False, False, False]


def test_a_span_that_a_failure_ended_is_stale_at_once(cli: Any, estate: Store, owner: Ownership, clock: Any) -> None:
    estate.spans.extend(owner, "east", clock.now(), max_gap_s=7200)
    estate.spans.end(owner, "east", clock.now(), "Unreachable")
    assert by(cli.json("status"), "appliance")["storefront/1"]["stale"] is True


@pytest.mark.usefixtures("estate")
def test_status_of_one_appliance(cli: Any) -> None:
    assert [row["appliance"] for row in cli.json("status", "storefront/2")] == ["storefront/2"]


def test_an_empty_store_is_said_on_stderr(cli: Any) -> None:
    found = cli("status")
    assert (found.stdout, found.stderr) == ("", "no appliances are wanted\n")


# --- errors -----------------------------------------------------------------------------------------------------

REFUSED = {
    ("status", "storefrunt"): "there is no set named storefrunt; did you mean storefront?",
    ("status", "storefront/7"): "storefront has no appliance 7; `cloudmon status storefront` shows those it has",
    ("status", "storefront/x"): "'storefront/x' names no appliance; write it as storefront/3, or storefront/* for all",
    ("usage", "--since", "yesterday"): (
        "--since 'yesterday' is neither a duration (90s, 15m, 2h, 30d) nor an instant (2027-01-31T18:00:00Z)"
    ),
    ("usage", "--since", "1h", "--until", "2h"): (
        "--since 2026-11-01 12:00:00Z is not before --until 2026-11-01 11:00:00Z"
    ),
    ("status", "-w", "-o", "json"): "--watch is for people; repeat `cloudmon status -o json` instead",
    ("diff", "storefront", "--since", "1h", "--until", "2h"): (
        "--since 2026-11-01 12:00:00Z is not before 2026-11-01 11:00:00Z"
    ),
}


@pytest.mark.usefixtures("estate")
@pytest.mark.parametrize(("arguments", "sentence"), REFUSED.items(), ids=[" ".join(found) for found in REFUSED])
def test_what_cannot_be_is_one_sentence_and_exit_code_1(cli: Any, arguments: tuple[str, ...], sentence: str) -> None:
    found = cli(*arguments, code=1)
    assert (found.stdout, found.stderr) == ("", f"cloudmon: {sentence}\n")


def test_a_wrong_setting_is_one_sentence_too(cli: Any) -> None:
    cli.config.write_text(cli.config.read_text() + '\n[sets.other]\ntemplate = "wob"\ncount = 1\n')
    found = cli("status", code=1)
    assert "wob" in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_store_in_memory_cannot_be_looked_into_from_outside(cli: Any) -> None:
    cli.config.write_text(cli.config.read_text().replace("sqlite:///shop.db", "memory"))
    assert "only the process that made it" in cli("status", code=1).stderr


def test_a_wrong_option_is_an_error_like_any_other(cli: Any) -> None:
    assert "--wach" in cli("status", "--wach", code=1).stderr


def test_a_plan_that_was_misspelt_does_not_say_that_something_would_be_done(cli: Any) -> None:
    found = cli("plan", "--output", "yaml", code=1).stderr
    assert "'yaml' is not one of" in found
    assert "Value error" not in found


# --- actions, incidents, orphans --------------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_actions_are_shown_oldest_first_with_reason_and_outcome(cli: Any) -> None:
    rows = cli.json("actions")
    assert [(row["appliance"], row["verb"], row["state"]) for row in rows][-2:] == [
        ("storefront/1", "terminate", "incident"),
        ("storefront/2", "reboot", "performed"),
    ]
    assert rows[-1]["reason"] == "does not answer"


@pytest.mark.usefixtures("estate")
@pytest.mark.parametrize(
    ("arguments", "verbs"),
    [
        (("storefront/2",), ["launch", "reboot"]),
        (("--since", "45m"), ["reboot"]),
        (("storefront/1", "--since", "2026-11-01T12:02:00Z"), ["terminate"]),
        (("-n", "1"), ["reboot"]),
    ],
    ids=str,
)
def test_actions_of_one_appliance_or_since_then(cli: Any, arguments: tuple[str, ...], verbs: list[str]) -> None:
    assert [row["verb"] for row in cli.json("actions", *arguments)] == verbs


@pytest.mark.usefixtures("estate")
def test_an_incident_is_shown_with_its_error(cli: Any) -> None:
    rows = cli.json("incidents")
    assert [(row["subject"], row["message"]) for row in rows] == [
        ("storefront/1", "terminate did not come to its end: Refused: locked")
    ]


@pytest.mark.usefixtures("estate")
def test_orphans_are_listed_and_wild_nodes_counted(cli: Any) -> None:
    rows = cli.json("orphans")
    assert [(row["kind"], row["cloud"], row["node"]) for row in rows] == [
        ("orphan", "east", "n-99"),
        ("wild", "east", ""),
    ]


# --- sets, placement, offers, monitors --------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_sets_are_listed_with_what_people_laid_upon_them(cli: Any) -> None:
    rows = by(cli.json("sets", "list"), "name")
    assert (rows["storefront"]["count"], rows["storefront"]["running"]) == (3, 1)
    assert rows["storefront"]["others"] == ["1 faulted", "1 requested"]
    assert rows["ledger"]["controls"] == ["pause by ann (audit)"]
    assert rows["ledger"]["lease_end"] is None


@pytest.mark.usefixtures("estate")
def test_a_tenant_is_shown_its_own_sets_only(cli: Any) -> None:
    assert [row["name"] for row in cli.json("sets", "list", "--tenant", "books")] == ["ledger"]
    assert "no set named storefront" in cli("status", "storefront", "--tenant", "books", code=1).stderr


@pytest.mark.usefixtures("estate")
def test_generations_of_a_set_are_shown_whole(cli: Any) -> None:
    (row,) = cli.json("sets", "show", "storefront")
    assert (row["generation"], row["author"], row["spec"]["count"]) == (1, "file:shop", 3)


@pytest.mark.usefixtures("estate")
def test_the_ranking_and_why_the_others_lost(cli: Any) -> None:
    rows = cli.json("placement", "show", "storefront")
    assert [(row["rank"], row["fits"], row["offer"], row["reason"]) for row in rows] == [
        (1, True, "east/here-1/small", "1 of 1 that fit"),
        (2, False, "east/here-1/large", "its price is unknown"),
    ]


@pytest.mark.usefixtures("estate")
def test_a_price_is_a_string_in_json_and_unknown_is_null(cli: Any) -> None:
    rows = by(cli.json("offers"), "size")
    assert rows["small"]["price_per_hour"] == "0.02"
    assert rows["large"]["price_per_hour"] is None


@pytest.mark.usefixtures("estate")
def test_the_newest_monitor_owns_the_estate(cli: Any) -> None:
    (row,) = cli.json("monitors")
    assert (row["epoch"], row["host"], row["state"]) == (1, "there", "owns the estate")


def test_an_upgrade_of_what_is_up_to_date_says_so(cli: Any) -> None:
    assert cli("upgrade").stdout.endswith("is up to date\n")


# --- why, diff --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_why_tells_facts_then_the_decision_then_what_came_of_it(cli: Any) -> None:
    told = [(row["part"], row["text"]) for row in cli.json("why", "storefront/2")]
    assert told[-3:] == [
        ("fact", "fault: its node reads error"),
        ("decision", "reboot (disruptive) of node n-2: does not answer"),
        ("state", "running → faulted (fault): does not answer"),
    ]
    assert ("outcome", "launch done") in told
    assert (
        "place",
        "incarnation 1: small at east/here-1, 0.02 USD/h (dummy); 1 of 1 that fit",
    ) in told
    assert not any("storefront/1" in row["appliance"] for row in cli.json("why", "storefront/2"))


@pytest.mark.usefixtures("estate")
def test_why_ends_with_how_it_stands(cli: Any) -> None:
    found = cli("why", "storefront/2", "--since", "45m")
    assert (
        "now: storefront/2 is faulted (stale since 2026-11-01 12:30:00Z), wanted running; waits for: " in found.stderr
    )
    assert "launch" not in found.stdout


@pytest.mark.usefixtures("estate")
def test_why_says_how_much_it_left_out(cli: Any) -> None:
    found = cli("why", "storefront/2", "-n", "1")
    assert len(found.stdout.splitlines()) == 2
    assert "earlier lines are left out" in found.stderr


@pytest.mark.usefixtures("estate")
def test_diff_shows_both_sides_and_how_often_the_state_changed(cli: Any) -> None:
    rows = cli.json("diff", "storefront/2", "--since", "2026-11-01T12:10:00Z")
    assert [(row["subject"], row["field"], row["before"], row["after"], row["changes"]) for row in rows] == [
        ("storefront/2", "state", "running", "faulted", 1)
    ]


@pytest.mark.usefixtures("estate")
def test_diff_from_before_the_beginning(cli: Any) -> None:
    rows = {(row["subject"], row["field"]): row["after"] for row in cli.json("diff", "storefront/1", "--since", "2h")}
    assert rows["storefront", "count"] == 3
    assert rows["storefront/1", "node"] == "n-1"
    assert rows["storefront/1", "addresses"] == ["198.18.0.7"]


@pytest.mark.usefixtures("estate")
def test_nothing_changed_is_said(cli: Any) -> None:
    assert cli("diff", "storefront", "--since", "10m").stderr == "nothing changed in 10m\n"


# --- usage ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_usage_keeps_measured_and_estimated_seconds_apart(cli: Any) -> None:
    """Running since minute 1, seen until minute 30, asked at minute 60."""
    (row,) = cli.json("usage")
    assert (row["subject"], row["measured_s"], row["estimated_s"], row["open"]) == ("storefront", 3480, 3600, True)


@pytest.mark.usefixtures("estate")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--by", "appliance"), [("storefront/1", 1740, 1800), ("storefront/2", 1740, 1800)]),
        (("--by", "tenant"), [("default", 3480, 3600)]),
        (("--by", "cloud"), [("east", 3480, 3600)]),
        (("--since", "45m", "--until", "20m"), [("storefront", 2 * 900, 2 * 600)]),
        (("--estimated",), [("storefront", 0, 3600)]),
        (("--until", "2026-11-01T12:01:00Z"), []),
    ],
    ids=str,
)
def test_usage_by_and_between(cli: Any, arguments: tuple[str, ...], expected: list[Any]) -> None:
    rows = cli.json("usage", *arguments)
    assert [(row["subject"], row["measured_s"], row["estimated_s"]) for row in rows] == expected


def test_usage_of_the_monitor_itself(cli: Any, store: Store, owner: Ownership) -> None:
    def used(when: int, dimension: Dimension, quantity: str) -> UsageEvent:
        instant = dt.datetime(2026, 11, 1, 12, when, tzinfo=dt.UTC)
        return UsageEvent(
            f"{dimension}/{when}", "default", "", 0, 1, "", "monitor-1", dimension, Mark.QUANTITY, instant,
            Decimal(quantity), {},
        )  # fmt: skip

    events = [used(1, Dimension.MONITOR_CPU, "1.5"), used(2, Dimension.MONITOR_CPU, "2.5")]
    events += [used(1, Dimension.MONITOR_MEMORY, "900"), used(2, Dimension.MONITOR_MEMORY, "800")]
    store.usage.add(owner, events, dt.datetime(2026, 11, 1, 12, 2, tzinfo=dt.UTC))
    rows = cli.json("usage", "--by", "monitor")
    assert [(row["subject"], row["dimension"], Decimal(row["quantity"])) for row in rows] == [
        ("monitor-1", "monitor.cpu", Decimal(4)),
        ("monitor-1", "monitor.memory", Decimal(900)),
    ]


# --- audit ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("estate")
def test_a_whole_log_verifies(cli: Any) -> None:
    assert cli("audit", "verify").stderr == "the action log is whole\n"


@pytest.mark.usefixtures("estate")
def test_a_changed_byte_is_named_and_exit_code_1(cli: Any, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE action_log SET body = replace(body, 'audit', 'sport') WHERE kind = 'control.laid'")
    database.close()
    found = cli("audit", "verify", "-o", "csv", code=1)
    (row,) = csv.DictReader(io.StringIO(found.stdout))
    assert row["name"] == "ledger"
    assert "does not verify" in found.stderr


@pytest.mark.usefixtures("estate")
def test_entries_of_one_chain(cli: Any) -> None:
    rows = cli.json("audit", "show", "ledger")
    assert [row["kind"] for row in rows] == ["set.generation", "control.laid"]
    assert {row["name"] for row in rows} == {"ledger"}


def test_the_directory_of_a_set_is_shown(cli: Any, estate: Any) -> None:
    rows = cli.json("peers", "storefront")
    assert rows[0].keys() == {"name", "state", "private", "public", "cloud", "incarnation", "ordinal"}
    assert [row["name"] for row in rows] == [f"storefront/{row['ordinal']}" for row in rows] != []
