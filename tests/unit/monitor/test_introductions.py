"""Notifiers that are new are told once of what is open already."""

from __future__ import annotations

import pytest
from heralded import OPS, Bench

from cloudmon.model.changes import Change, Telling
from cloudmon.model.findings import FindingKind
from cloudmon.settings import Settings
from cloudmon.settings.notify import NotifySettings
from cloudmon.settings.policies import PolicySettings, RemedySettings, RuleSettings
from cloudmon.testing.crashes import crashing

BOSS = NotifySettings(kind="scripted", severity="critical", most_a_minute=3)


def test_who_is_new_is_told_once_of_what_is_open_already(bench: Bench) -> None:
    """Of what he subscribes to, not of what has ended, and not again by a successor; the others hear nothing new."""
    bench.open("x/1", "smokes")
    bench.open("x/2", "on fire", severity="critical")
    bench.open("x/3", "was on fire", severity="critical")
    bench.end("x/3")
    bench.run(5)
    told = list(bench.ops.titles)
    bench.begin(ops=OPS, boss=BOSS)
    bench.run(5)
    assert bench.notifiers["boss"].titles == ["critical: on fire"]
    bench.begin(ops=OPS, boss=BOSS)
    bench.open("x/4", "on fire too", severity="critical")
    bench.end("x/2")
    bench.run(5)
    assert bench.notifiers["boss"].titles == ["critical: on fire", "critical: on fire too", "ended: on fire"]
    assert [title for title in bench.ops.titles if title not in told] == ["critical: on fire too", "ended: on fire"]


def test_what_changes_while_somebody_new_comes_is_told_him_once(bench: Bench) -> None:
    """A message that nobody has routed yet is about what he is told of as open, or about what has ended."""
    bench.open("x/1", "one", severity="critical")
    bench.end("x/1")
    bench.open("x/2", "two", severity="critical")
    bench.begin(ops=OPS, boss=BOSS)
    bench.run(5)
    assert sorted(bench.ops.titles) == ["critical: one", "critical: two", "ended: one"]
    assert bench.notifiers["boss"].titles == ["critical: two"]


def test_who_is_new_where_much_is_open_is_told_in_one_digest(bench: Bench) -> None:
    for number in range(4):
        bench.open(f"x/{number}", severity="critical")
    bench.begin(ops=OPS, boss=BOSS)
    bench.run(40)
    assert bench.notifiers["boss"].titles == ["critical: 4 changes of findings (4 opened)"]


def test_who_went_and_came_back_is_new(bench: Bench) -> None:
    bench.open("x/1", "smokes")
    bench.run(5)
    bench.herald.take_over(Settings(author="me"))
    bench.run(5)
    bench.open("x/2", "smokes too")
    bench.herald.take_over(bench.settings())
    bench.run(5)
    assert bench.ops.titles == ["warning: smokes", "warning: smokes", "warning: smokes too"]


@pytest.mark.parametrize("point", ["store.before-commit", "store.after-commit"])
def test_a_crash_while_somebody_new_is_told_tells_him_all_the_same_and_once(bench: Bench, point: str) -> None:
    bench.open("x/1", "on fire", severity="critical")
    bench.run(5)
    bench.begin(ops=OPS, boss=BOSS)

    with crashing(point):
        bench.run()
    bench.begin(ops=OPS, boss=BOSS)
    bench.run(5)
    assert bench.notifiers["boss"].titles == ["critical: on fire"]


def test_who_is_new_is_told_of_what_a_rule_would_have_told_him_and_of_nothing_else_that_it_found(bench: Bench) -> None:
    busy = RuleSettings(
        name="busy", when="load.one > 9.0", then=(RemedySettings(verb="notify", arguments={"to": "boss"}),)
    )
    shop = PolicySettings(name="shop", rules=(busy,))
    bench.begin(shop, ops=OPS)
    for number in (1, 2):
        bench.open(f"x/{number}:shop/busy", f"busy {number}", kind=FindingKind.DETECTED)
    bench.write(Change("default", tells=(Telling(FindingKind.DETECTED, "x/1:shop/busy", "boss"),)))
    bench.begin(shop, ops=OPS, boss=OPS)
    bench.run(5)
    assert bench.notifiers["boss"].titles == ["warning: busy 1"]
    assert bench.ops.titles == []
