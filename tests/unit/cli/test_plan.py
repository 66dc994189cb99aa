"""How a plan is told: the facts of a rule short in a table, whole in JSON, and who waits for which rule."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from cloudmon.cli import plan
from cloudmon.cli.options import Format
from cloudmon.monitor.reports import PlanReport, PlanRow, Wait

FACTS = {"load.five": 9.5, "report.hosts": ["a", "b", "c", "d"]}
REPORT = PlanReport(
    (
        PlanRow("shop/1", "reboot", "disruptive", "it is busy", rule="ours/busy", facts=FACTS),
        PlanRow("shop/2", "launch", "safe", "is wanted and has no node"),
    ),
    (),
    (
        Wait("shop/3", "it is busy; held by pause of ann", dt.datetime(2027, 1, 1, tzinfo=dt.UTC), "ours/busy"),
        Wait("shop/4", "it is busy; held by pause of ann", None, "ours/busy"),
        Wait("shop/5", "its launch", None),
    ),
)


def test_a_table_counts_what_is_many_and_says_nothing_where_no_rule_wants_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan.show(REPORT, Format.TABLE)
    head, first, second = capsys.readouterr().out.splitlines()
    assert "load.five=9.5, report.hosts=4 items" in first
    assert second[head.index("FACTS") :].split() == []


def test_json_has_the_rule_and_its_facts_whole(capsys: pytest.CaptureFixture[str]) -> None:
    plan.show(REPORT, Format.JSON)
    rows = json.loads(capsys.readouterr().out)
    assert [(row["rule"], row["facts"]) for row in rows] == [("ours/busy", FACTS), ("", {})]


def test_who_waits_for_a_rule_is_told_which(capsys: pytest.CaptureFixture[str]) -> None:
    plan.show(REPORT, Format.TABLE)
    assert capsys.readouterr().err.splitlines() == [
        "waits: shop/3 and 1 more: it is busy; held by pause of ann, says ours/busy (until 2027-01-01 00:00:00Z)",
        "waits: shop/5: its launch",
    ]
