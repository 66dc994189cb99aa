"""One story, and what every command tells of it: the same facts in every form, and none that did not happen."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import shop as shops
from shop import POLL_S, Shop

from cloudmon.testing.clock import FakeClock
from cloudmon_providers.dummy import TrueNode

SETS = """
[sets.web]
template = "web"
count = 2
healing = { fault_after_s = 30 }
"""
SLACK_S = 2 * POLL_S + 1
"""By how much a listing every ten seconds may miss a transition, at both of its ends."""


class Told(NamedTuple):
    """The story when it is over, and the instants between its chapters."""

    shop: Shop
    before_crash: dt.datetime
    before_replace: dt.datetime
    before_end: dt.datetime
    first: str
    """Node of web/1, to its end."""
    second: str
    third: str
    """Nodes of web/2, before and after it was replaced."""

    @property
    def ledger(self) -> Mapping[str, TrueNode]:
        return {node.id: node for node in self.shop.world().ledger()}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The story, told once: all tests only read what is left of it."""
    folder, clock = tmp_path_factory.mktemp("shop"), FakeClock()
    with pytest.MonkeyPatch.context() as patch:
        text = shops.text(folder, SETS, options="boot_s = 20\nstop_s = 20\nterminate_s = 20")
        yield tell(shops.opened(folder, clock, patch, text), clock)


def tell(shop: Shop, clock: FakeClock) -> Told:
    """Launch; web/1 crashes and is rebooted; web/2 is replaced; web/1 is stopped; the set is retired."""
    shop.world()  # a cloud in memory lives as long as somebody holds it
    with shop.monitor() as watch:
        watch.settle()
        first, second = shop.nodes()["web/1"], shop.nodes()["web/2"]
        watch.over(300)
        before_crash = clock.now()
        watch.tick()
        shop.world().kill_node(first, "crash")
        watch.until(lambda: shop.states()["web/1"] == "faulted")
        watch.until(lambda: shop.states()["web/1"] == "running")
        watch.over(300)
        before_replace = clock.now()
        watch.tick()
        shop("act", "web/2", "replace", "--reason", "a new image", "--no-wait")
        watch.until(lambda: shop.nodes()["web/2"] not in ("", second) and shop.states()["web/2"] == "running")
        third = shop.nodes()["web/2"]
        watch.over(300)
        shop("act", "web/1", "stop", "--reason", "saves money", "--no-wait")
        watch.until(lambda: shop.states()["web/1"] == "stopped")
        watch.over(600)
        before_end = clock.now()
        watch.tick()
        shop("sets", "retire", "web", "--reason", "the shop closes", "--yes", "--no-wait")
        watch.until(lambda: not shop.states())
        watch.settle()
    clock.advance(1000)
    return Told(shop, before_crash, before_replace, before_end, first, second, third)


def seconds(spells: list[tuple[dt.datetime, dt.datetime]]) -> float:
    return sum((end - start).total_seconds() for start, end in spells)


def in_order(text: str, *parts: str) -> None:
    """Each part stands in the text after the one before it."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} does not come in its place in\n{text}"
        at = found + len(part)


# --- against the truth --------------------------------------------------------------------------------------------


def test_actions_are_what_reached_the_cloud(told: Told) -> None:
    rows = told.shop.json("actions")
    verbs = [(row["appliance"], row["verb"]) for row in rows]
    assert sorted(verbs[:2]) == [("web/1", "launch"), ("web/2", "launch")]
    assert verbs[2:6] == [("web/1", "reboot"), ("web/2", "terminate"), ("web/2", "launch"), ("web/1", "stop")]
    assert sorted(verbs[6:]) == [("web/1", "terminate"), ("web/2", "terminate")]
    assert {row["state"] for row in rows} == {"done"}
    calls = told.shop.world().calls
    counted = Counter(verb for _, verb in verbs)
    names = {"launch": "create_node", "reboot": "reboot_node", "stop": "stop_node", "terminate": "destroy_node"}
    assert {verb: calls[name] for verb, name in names.items()} == counted
    origins = {(row["verb"], row["incarnation"], row["appliance"]): row["origin"] for row in rows}
    assert origins["reboot", 1, "web/1"] == "observation"
    assert origins["terminate", 1, "web/2"] == "request"
    assert origins["terminate", 2, "web/2"] == "wanted"
    ledger = told.ledger
    for row in rows:
        if row["verb"] == "launch":
            assert ledger[row["node"]].token.endswith(f"-{row['incarnation']}")
        if row["verb"] == "terminate":
            ended = ledger[row["node"]].ended_at
            assert ended is not None
            assert row["created_at"] <= ended.isoformat() <= row["ended_at"]
    assert [row["appliance"] for row in told.shop.json("actions", "web/2")] == ["web/2"] * 4
    assert len(told.shop.json("actions", "--since", told.before_end.isoformat())) == 2


def test_usage_is_what_the_machines_did(told: Told) -> None:
    """By appliance against the ledger of the cloud itself; by set, tenant and cloud it is the sum of these."""
    now = told.shop.clock.true_now()
    ledger = told.ledger
    parts = {"web/1": [told.first], "web/2": [told.second, told.third]}
    rows = told.shop.json("usage", "--by", "appliance")
    used = {(row["subject"], row["dimension"]): row["measured_s"] + row["estimated_s"] for row in rows}
    for name, nodes in parts.items():
        ran = sum(seconds(ledger[node].ran(now)) for node in nodes)
        assert used[name, "node.running"] == pytest.approx(ran, abs=SLACK_S * 2 * len(nodes))
    stood = seconds(ledger[told.first].stood(now))
    assert stood > 550
    assert used["web/1", "node.stopped"] == pytest.approx(stood, abs=2 * SLACK_S)
    assert ("web/2", "node.stopped") not in used
    assert not any(row["open"] for row in rows)
    assert not any(row["estimated_s"] for row in rows)
    total = Counter[str]()
    for (_, dimension), count in used.items():
        total[dimension] += count
    for by, subject in (("set", "web"), ("tenant", "default"), ("cloud", "east")):
        found = told.shop.json("usage", "--by", by)
        assert {row["subject"] for row in found} == {subject}
        assert {row["dimension"]: row["measured_s"] + row["estimated_s"] for row in found} == total
    (running,) = [r for r in told.shop.json("usage", "--by", "monitor") if r["dimension"] == "monitor.running"]
    assert running["measured_s"] + running["estimated_s"] > total["node.stopped"]


def test_usage_of_parts_of_the_time_adds_up_to_the_whole(told: Told) -> None:
    def used(*between: str) -> Counter[str]:
        rows = told.shop.json("usage", "--by", "set", *between)
        return Counter({row["dimension"]: row["measured_s"] + row["estimated_s"] for row in rows})

    middle = told.before_replace.isoformat()
    assert used("--until", middle) + used("--since", middle) == used()


def test_why_tells_it_in_order_with_reasons(told: Told) -> None:
    first = told.shop("why", "web/1").stdout
    in_order(
        first,
        "launch (safe) on east/east-1/", "→ running (commanded): seen for the first time",
        "→ faulted (fault): its node failed", "reboot (disruptive)", "rung 1, reboot", "reboot accepted by",
        "faulted → running", "saves money", "stop (disruptive)", "→ stopped (commanded)",
        "the shop closes", "terminate (retirement)", "→ retired (commanded)",
    )  # fmt: skip
    assert "a new image" not in first
    second = told.shop("why", "web/2").stdout
    in_order(
        second,
        "incarnation 1: ", "a new image", f"terminate (destructive) of node {told.second}", "incarnation 2: ",
        f"terminate (retirement) of node {told.third}",
    )  # fmt: skip
    assert "faulted" not in second
    lines = told.shop.json("why", "web/1")
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    (decided,) = [line for line in lines if line["part"] == "decision" and line["text"].startswith("reboot")]
    assert decided["evidence"]["condition"] == "bad"
    later = told.shop.json("why", "web/1", "--since", told.before_end.isoformat())
    assert later == [line for line in lines if line["at"] >= told.before_end.isoformat()]
    assert {line["appliance"] for line in told.shop.json("why", "web")} == {"web", "web/1", "web/2"}


def test_diff_tells_what_was_and_what_became(told: Told) -> None:
    def changed(name: str, since: dt.datetime, until: dt.datetime) -> dict[str, tuple[Any, Any]]:
        rows = told.shop.json("diff", name, "--since", since.isoformat(), "--until", until.isoformat())
        return {row["field"]: (row["before"], row["after"]) for row in rows if row["subject"] == name}

    # A crash and its end leave nothing changed but the count of changes.
    rows = told.shop.json(
        "diff", "web/1", "--since", told.before_crash.isoformat(), "--until", told.before_replace.isoformat()
    )
    assert [(row["field"], row["before"], row["after"], row["changes"]) for row in rows] == [
        ("state", "running", "running", 2)
    ]
    replaced = changed("web/2", told.before_replace, told.before_end)
    assert replaced["incarnation"] == (1, 2)
    assert replaced["node"] == (told.second, told.third)
    ledger = told.ledger
    assert replaced["addresses"] == tuple(addresses_of(node) for node in (told.second, told.third))
    assert ledger[told.third].created_at > told.before_replace
    assert changed("web/1", told.before_replace, told.before_end)["state"] == ("running", "stopped")
    ended = changed("web/1", told.before_end, told.shop.clock.now())
    assert ended["state"] == ("stopped", "retired")
    assert ended["node"] == (told.first, None)


def addresses_of(node: str) -> list[str]:
    """What the cloud gave the machine: both addresses follow from its number."""
    serial = int(node[-7:], 16)
    return [
        f"198.{18 + (serial >> 16 & 1)}.{serial >> 8 & 255}.{serial & 255}",
        f"10.{serial >> 16 & 255}.{serial >> 8 & 255}.{serial & 255}",
    ]


def test_the_log_has_every_action_and_verifies(told: Told) -> None:
    logged = told.shop.json("audit", "show", "web", "-n", "1000")
    recorded = {row["subject"] for row in logged if row["kind"] == "intent.recorded"}
    assert recorded == {row["id"] for row in told.shop.json("actions")}
    done = {row["subject"] for row in logged if row["kind"] == "intent.done"}
    assert done == recorded
    assert [row["seq"] for row in logged] == list(range(1, len(logged) + 1))
    assert told.shop.json("audit", "verify") == []
    (row,) = told.shop.json("sets", "list", "--all")
    assert row["retired_reason"].endswith("the shop closes")


# --- in every form ------------------------------------------------------------------------------------------------

COMMANDS = (
    ("status", "web"),
    ("actions",),
    ("actions", "web/1"),
    ("findings",),
    ("incidents",),
    ("orphans",),
    ("usage",),
    ("usage", "--by", "appliance"),
    ("usage", "--by", "monitor"),
    ("why", "web/1"),
    ("why", "web"),
    ("diff", "web", "--since", "90m"),
    ("sets", "list", "--all"),
    ("sets", "show", "web"),
    ("offers",),
    ("placement", "show", "web"),
    ("audit", "show"),
    ("audit", "verify"),
    ("monitors",),
    ("plan",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_csv_and_table_carry_the_same_facts(told: Told, command: tuple[str, ...]) -> None:
    rows, cells = told.shop.json(*command), told.shop.csv(*command)
    table = told.shop(*command).stdout.splitlines()
    assert [list(row) for row in rows] == [list(cell) for cell in cells]
    for row, cell in zip(rows, cells, strict=True):
        assert {key: as_csv(value, cell[key]) for key, value in row.items()} == cell
    assert len(table) == (len(rows) + 1 if rows else 0)
    for row, line in zip(rows, table[1:], strict=False):
        for key in IN_TABLES & row.keys():
            assert str(row[key]) in line, f"{key} of {row} is not in {line}"


IN_TABLES = frozenset(
    {"appliance", "state", "incarnation", "verb", "subject", "dimension", "text", "field", "name", "key", "kind", "seq"}
)
"""Columns that tables show as they are."""


def as_csv(value: object, cell: str) -> str:
    """What CSV makes of a value of JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return cell if json.loads(cell) == value else f"not {value}"
    return str(value)
