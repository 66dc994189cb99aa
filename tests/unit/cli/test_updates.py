"""What people are shown of updates: by set, and by appliance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cloudmon.model import states
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.guests import Agent, Enrolment, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import Application, SetSpec, Template
from cloudmon.model.updates import Updates
from cloudmon.reconcile import rollouts, upkeep
from cloudmon.store import Ownership, Store

from .conftest import NOW, at, running

if TYPE_CHECKING:
    from .conftest import Cli

SHOP = Application(match="shop", package="shop", version="newest")


def put(store: Store, owner: Ownership, **other: Any) -> str:
    """Two that run; only the first has an agent, with a version behind what is offered."""
    template = Template("web", {"*": "web-1"}, applications={"shop": SHOP}, report_interval_s=3_600, **other)
    spec = SetSpec("storefront", 2, template)
    aset = store.sets.put(owner, uid=None, spec=spec, author="file:shop", now=at(0))
    assert all(store.ledger.write(owner, [running(aset.uid, n, f"n-{n}") for n in (1, 2)], now=at(1)))
    first = ApplianceId(aset.uid, 1)
    sections = {
        "packages": {"shop": {"version": "1.0", "manager": "dpkg"}},
        "applications": {"shop": {"state": "up", "since": at(2).timestamp(), "candidate": "2.0", "restart_due": True}},
        "system": {"boot": {"id": "b", "at": at(1).timestamp(), "reboot_due": True}},
    }
    enrolment = Enrolment("m-1", first, "default", 1, "ann", at(1), at(16))
    agent = Agent(first, "default", 1, "i", "1.0", at(2), 0)
    assert store.agents.enrol(owner, agent, enrolment=enrolment, now=at(2))
    report = Report(
        appliance=first, tenant="default", incarnation=1, instance="i", boot="b", seq=1, kind=ReportKind.FULL, base="",
        hash=states.state_hash(sections), why="interval", reported_at=at(59), received_at=at(59), body=sections,
        version="1.0", offset_s=0.0,
    )  # fmt: skip
    assert store.reports.take(owner, [report], now=at(59), snapshots={}) == [True]
    return aset.uid


def test_a_set_is_shown_with_what_it_has_wants_and_owes(cli: Cli, store: Store, owner: Ownership) -> None:
    put(store, owner)
    (row,) = cli.json("updates")
    assert row == {
        "set": "storefront", "tenant": "default", "application": "shop", "wanted": "newest",
        "have": {"1.0": 1, "?": 1}, "target": "2.0", "state": "outdated", "restarts_due": 1, "reboots_due": 1,
        "why": "its template has no updates, so nothing is rolled out",
    }  # fmt: skip
    assert "1.0=1, ?=1" in cli("updates").stdout


def test_each_appliance_is_shown_apart(cli: Cli, store: Store, owner: Ownership) -> None:
    put(store, owner, updates=Updates())
    first, second = cli.json("updates", "storefront", "--each")
    assert (first["have"], first["target"], first["outdated"], first["phase"]) == ("1.0", "2.0", True, "behind")
    assert (first["restart_due"], first["reboot_due"]) == (True, True)
    assert (second["appliance"], second["have"], second["phase"]) == ("storefront/2", "", "unknown")
    assert [row["appliance"] for row in cli.json("updates", "storefront/2")] == ["storefront/2"]


def test_the_state_of_one_set_says_what_its_appliances_owe(cli: Cli, store: Store, owner: Ownership) -> None:
    put(store, owner)
    owed = [row["waits_for"] for row in cli.json("status", "storefront")]
    assert owed == ["owes a restart of shop and a reboot", ""]


@pytest.mark.parametrize("failed", [False, True])
def test_why_a_roll_out_stands_where_it_stands_is_told(cli: Cli, store: Store, owner: Ownership, failed: bool) -> None:
    uid = put(store, owner, updates=Updates())
    if failed:
        evidence = {upkeep.ROLLOUT: rollouts.key(uid, 1, "shop", "2.0"), "application": "shop"}
        finding = Finding(
            FindingKind.INCIDENT, f"{uid}/1:rollout/shop", "default", "critical", "it stopped", evidence, NOW
        )
        change = Change("default", ApplianceId(uid, 1), findings=(finding,))
        assert store.ledger.write(owner, [change], now=NOW) == [True]
    (row,) = cli.json("updates")
    assert (row["state"], row["why"]) == (("failed", "it stopped") if failed else ("rolling", "1 not known"))


def test_an_estate_without_applications_says_so(cli: Cli, estate: Store) -> None:
    assert "nothing is declared that is updated" in cli("updates").stderr + cli("updates").stdout
