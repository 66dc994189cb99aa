"""`cloudmon findings` shows everything that is wrong now, and what is done about it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cloudmon.model.actions import ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import RuleState
from cloudmon.model.sets import Control, ControlKind
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Ownership, Store

T0 = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
DISK = "built-in/disk-nearly-full//"
DOWN = "built-in/application-down/shop"


def at(minutes: float) -> dt.datetime:
    return T0 + dt.timedelta(minutes=minutes)


class Wrong:
    """The estate, in whose storefront/1 rules find what a test lets them find."""

    def __init__(self, store: Store, owner: Ownership) -> None:
        self.store, self.owner = store, owner
        (self.uid,) = (aset.uid for aset in store.sets.all(EVERYONE) if aset.name == "storefront")
        self.id = ApplianceId(self.uid, 1)

    def write(self, **change: Any) -> None:
        assert all(self.store.ledger.write(self.owner, [Change(tenant="default", **change)], now=at(40)))

    def found(self, key: str, severity: str = "warning", kind: FindingKind = FindingKind.DETECTED) -> Finding:
        message, subject = f"storefront/1: {key} holds", f"{self.uid}/1:{key}"
        return Finding(kind, subject, "default", severity, message, {"rule": key, "facts": {}}, at(40))

    def open(
        self, key: str, *, rung: int = 0, retry_at: dt.datetime | None = None, intent: Intent | None = None
    ) -> None:
        state = RuleState(self.id, "default", key, at(40), "1", rung, retry_at, intent.id if intent is not None else "")
        self.write(appliance=self.id, findings=(self.found(key, "critical"),), rules=(state,), opens_intent=intent)

    def restart(self) -> Intent:
        return Intent(
            "intent-77", self.id, "default", Verb.APP_RESTART, ActionClass.DISRUPTIVE, Origin.OBSERVATION, 1, "",
            "east", "n-1", f"{DOWN}: shop is down; rung 1, app_restart", {}, at(41), at(43), 1, IntentState.PERFORMED,
        )  # fmt: skip


@pytest.fixture
def wrong(estate: Store, owner: Ownership) -> Wrong:
    return Wrong(estate, owner)


def done(cli: Any) -> str:
    (row,) = [row for row in cli.json("findings", "storefront/1") if row["kind"] == "detected"]
    return str(row["done"])


def test_what_is_wrong_is_shown_whatever_found_it_and_the_oldest_first(cli: Any, wrong: Wrong) -> None:
    wrong.write(findings=(wrong.found(DISK),))
    assert [(row["subject"], row["kind"], row["severity"], row["rule"]) for row in cli.json("findings")] == [
        ("node:east:n-99", "orphan", "warning", ""),
        ("cloud:east", "wild", "info", ""),
        ("storefront/2", "fault", "warning", ""),
        ("storefront/1", "detected", "warning", DISK),
    ]


def test_what_has_ended_is_wrong_no_more(cli: Any, wrong: Wrong) -> None:
    finding = wrong.found(DISK)
    wrong.write(findings=(finding,))
    assert len(cli.json("findings", "storefront/1")) == 1
    wrong.write(findings=(FindingEnd(finding.kind, finding.subject),))
    assert cli.json("findings", "storefront/1") == []
    assert cli("findings", "storefront/1").stderr == "nothing is wrong\n"


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (("storefront",), ["fault", "detected", "lease"]),
        (("storefront/1",), ["detected"]),
        (("storefront/2",), ["fault"]),
        (("--severity", "warning"), ["orphan", "fault", "detected", "lease"]),
        (("--severity", "critical"), ["detected"]),
        (("--tenant", "books"), []),
    ],
    ids=str,
)
def test_a_set_one_appliance_a_severity_or_a_tenant_is_chosen(
    cli: Any, wrong: Wrong, arguments: tuple[str, ...], kinds: list[str]
) -> None:
    lease = Finding(FindingKind.LEASE, wrong.uid, "default", "warning", "its lease ends soon", {}, at(50))
    wrong.write(findings=(wrong.found(DISK, "critical"), lease))
    assert [row["kind"] for row in cli.json("findings", *arguments)] == kinds


@pytest.mark.usefixtures("wrong")
def test_a_fault_of_a_node_says_which_action_is_under_way(cli: Any) -> None:
    (row,) = cli.json("findings", "storefront/2")
    assert (row["message"], row["done"]) == ("its node reads error", "reboot, to be seen")


def test_a_rule_without_a_ladder_says_that_it_only_shows(cli: Any, wrong: Wrong) -> None:
    wrong.open(DISK)
    assert done(cli) == "shown only"


def test_a_ladder_that_was_not_begun_says_what_it_waits_for(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN)
    assert done(cli) == "waits for app_restart"


def test_an_action_of_a_rule_that_is_under_way_is_told(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN, rung=1, retry_at=at(90), intent=wrong.restart())
    assert done(cli) == "app_restart, its agent's answer"


def test_what_was_tried_is_counted_with_the_instant_of_the_next_try(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN, rung=2, retry_at=at(90))
    assert done(cli) == "2 tried; not again before 2026-11-01 13:30:00Z"
    (row,) = cli.json("findings", "storefront/1")
    assert (row["tried"], row["retry_at"]) == (2, "2026-11-01T13:30:00+00:00")


def test_who_holds_a_ladder_back_is_named(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN, rung=1)
    wrong.store.controls.lay(
        wrong.owner, Control(0, ControlKind.PAUSE, wrong.uid, 1, "ann", "audit", at(2), None), at(2)
    )
    assert done(cli) == "held by pause of ann"


def test_a_breaker_that_holds_the_next_action_of_a_rule_back_is_named_and_no_other(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN, rung=1)
    held = "reboot is held back: 3 disruptive actions an hour"

    def holds(key: str) -> None:
        evidence = {"reason": f"{key}: it holds; rung 2, reboot"}
        wrong.write(
            findings=(Finding(FindingKind.HELD, f"{wrong.uid}/1", "default", "warning", held, evidence, at(40)),)
        )

    holds(DISK)
    assert done(cli) == "1 tried"
    holds(DOWN)
    assert done(cli) == held


def test_a_ladder_at_its_end_says_that_nothing_more_is_tried(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN, rung=4)
    wrong.write(findings=(wrong.found(DOWN, "critical", FindingKind.INCIDENT),))
    assert done(cli) == "an incident is open: nothing more is tried"


def test_an_incident_of_an_action_is_shown_by_its_appliance(cli: Any, wrong: Wrong) -> None:
    said = "terminate does not come to its end"
    wrong.write(findings=(Finding(FindingKind.INCIDENT, "intent:intent-8", "default", "critical", said, {}, at(41)),))
    (row,) = cli.json("findings", "storefront/1")
    stuck = "terminate, which does not come to its end (last try: Refused: locked)"
    assert (row["message"], row["done"]) == (said, stuck)


def test_people_read_it_as_a_table(cli: Any, wrong: Wrong) -> None:
    wrong.open(DOWN)
    head, *rows = cli("findings", "storefront/1").stdout.splitlines()
    assert head.split("  ")[0] == "SINCE"
    assert [DOWN in row and "waits for app_restart" in row for row in rows] == [True]
