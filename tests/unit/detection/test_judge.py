"""What is not known is a verdict of its own: it hides nothing, and nothing hides it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from examined import NOW, ago, built_in, detector, judged, probed, sections, subject, verdict, with_template
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmon.detection import facts, judge
from cloudmon.detection.facts import Subject
from cloudmon.detection.judge import MOST_ITEMS, Verdict
from cloudmon.detection.policies import Rulebook
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.policies import Policy, Rule

HOLDS, CLEAR, UNKNOWN = "holds", "does not hold", "unknown"


def lacking(*path: str) -> Subject:
    """The appliance without one of its facts."""
    found = sections()
    here: Any = found
    for name in path[:-1]:
        here = here[name]
    del here[path[-1]]
    return subject({**dict.fromkeys(sections()), **found})


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        pytest.param("load.cpus > 1", HOLDS, id="true"),
        pytest.param("load.cpus > 9", CLEAR, id="false"),
        pytest.param("load.cpus > 9 && memory.total_mib > 1.0", UNKNOWN, id="and, the other side false"),
        pytest.param("memory.total_mib > 1.0 && load.cpus > 9", UNKNOWN, id="and, before it"),
        pytest.param("load.cpus > 1 || memory.total_mib > 1.0", UNKNOWN, id="or, the other side true"),
        pytest.param("load.cpus > 1 ? true : memory.total_mib > 1.0", UNKNOWN, id="the way not taken"),
        pytest.param("!(memory.total_mib > 1.0)", UNKNOWN, id="denied"),
        pytest.param("memory.total_mib != 1.0", UNKNOWN, id="other than"),
        pytest.param('"nginx" in packages', CLEAR, id="an item that is not there is known not to be there"),
        pytest.param('packages["nginx"].version == "1"', UNKNOWN, id="what it would have is not"),
        pytest.param('"nginx" in packages && packages.nginx.version == "1"', CLEAR, id="so it may be asked for first"),
        pytest.param('processes.exists(p, p.rss_mib > 5.0 && p.name == "systemd")', HOLDS, id="another item decides"),
        pytest.param('processes.exists(p, p.rss_mib > 5.0 && p.name == "x")', CLEAR, id="the same item decides"),
        pytest.param("processes.exists(p, p.rss_mib > 99.0)", UNKNOWN, id="an item may be the one"),
        pytest.param("processes.all(p, p.rss_mib < 99.0)", UNKNOWN, id="an item may be the exception"),
        pytest.param("size(processes.filter(p, p.rss_mib > 5.0)) > 0", UNKNOWN, id="an item may count"),
        pytest.param("load.cpus / (load.cpus - 2) == 1", UNKNOWN, id="division by nought"),
        pytest.param("processes[99].pid == 1", UNKNOWN, id="beyond a list's end"),
        pytest.param("load.cpus + 9223372036854775807 > 0", UNKNOWN, id="too large a number"),
    ],
)
def test_without_its_memory_known_a_rule_comes_to(when: str, expected: str) -> None:
    assert verdict(when, subject({"memory": None})) == expected


def test_what_is_missing_is_named() -> None:
    about = lacking("memory", "now", "total_mib")
    (found,) = judged("load.cpus > 9 && memory.total_mib > 1.0", about=about)
    assert found.why == "memory.total_mib is not known"
    assert found.facts == {"load.cpus": 2}


def test_a_value_of_another_kind_is_not_known() -> None:
    for wrong in (None, "lots", True, [1], {"a": 1}, float("inf"), float("nan")):
        about = subject({"memory": {"now": {"total_mib": wrong}}})
        assert verdict("memory.total_mib > 1.0", about) == UNKNOWN, wrong


@pytest.mark.parametrize("section", ["memory", "load", "packages", "processes", "accounts", "applications", "files"])
@pytest.mark.parametrize("wrong", [[], "x", 3, {"now": 3}, {"shop": None}, {"1": [2]}, {"\ud800": {"name": "\ud800"}}])
def test_no_nonsense_of_an_appliance_stops_the_others_rules(section: str, wrong: Any) -> None:
    about = subject({section: wrong})
    rules = [
        Rule("all", f"{section}.exists(x, true)" if section not in ("memory", "load") else f"{section}.{one} > 0.0")
        for one in ("total_mib" if section == "memory" else "one",)
    ]
    found = detector(*rules, Rule("other", 'appliance.set == "storefront"')).judge(about, NOW)
    assert found[-1].verdict is Verdict.HOLDS
    assert len(built_in().judge(about, NOW)) >= 8


def test_one_odd_name_does_not_hide_the_others() -> None:
    odd = {"1": {"name": "\ud800x", "command": "\udfff"}, "2": {"name": "miner", "command": "./miner"}}
    accounts = {"\ud800": {"shell": "/bin/sh"}, "eve": {"shell": "/bin/sh"}}
    about = subject({"processes": odd, "accounts": accounts})
    assert verdict('processes.exists(p, p.name == "miner")', about) == HOLDS
    assert verdict('unexpected.processes == ["?x", "miner"] || unexpected.processes == ["miner", "?x"]', about) == HOLDS
    assert verdict('"eve" in accounts && size(accounts) == 2 && accounts.eve.shell == "/bin/sh"', about) == HOLDS


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        pytest.param(subject(), HOLDS, id="lately"),
        pytest.param(subject(heard_s=150), HOLDS, id="three intervals and a minute ago"),
        pytest.param(subject(heard_s=151), UNKNOWN, id="longer ago"),
        pytest.param(subject(told=False), UNKNOWN, id="nothing that adds up"),
        pytest.param(subject(member={"incarnation": 2}), UNKNOWN, id="of the node before"),
        pytest.param(subject(member={"since": ago(5)}), UNKNOWN, id="before it came into its state"),
        pytest.param(subject(member={"state": ApplianceState.STOPPED}), UNKNOWN, id="of one that is stopped"),
        pytest.param(subject(member={"state": ApplianceState.FAULTED}), UNKNOWN, id="of one whose node is not well"),
        pytest.param(subject(agent=False), HOLDS, id="without an agent's row"),
    ],
)
def test_what_an_appliance_said_counts_only_while_it_can_be_true(about: Subject, expected: str) -> None:
    assert verdict("memory.total_mib > 1.0", about) == expected


def test_an_agent_that_keeps_a_longer_interval_is_waited_for() -> None:
    system = {**sections()["system"], "agent": {"version": "1", "interval_s": 100}}
    assert verdict("memory.total_mib > 1.0", subject({"system": system}, heard_s=359)) == HOLDS
    assert verdict("memory.total_mib > 1.0", subject({"system": system}, heard_s=361)) == UNKNOWN
    assert verdict("report.interval_s == 100", subject({"system": system})) == HOLDS


def test_an_age_that_passes_its_limit_says_when() -> None:
    (found,) = judged("report.age_s > 3 * report.interval_s + 60")
    assert (found.verdict, found.turns_in_s) == (Verdict.CLEAR, 140.0)
    (found,) = judged("30 <= report.age_s && true")
    assert found.turns_in_s == 20.0
    (found,) = judged("report.age_s > 3.0")
    assert found.turns_in_s is None
    (found,) = judged("report.age_s * 2.0 > 3000.0")
    assert found.turns_in_s == 0.0
    (found,) = judged("processes.exists(p, p.age_s < 1.0)")
    assert found.turns_in_s == 0.0


@pytest.mark.parametrize(
    ("limit_s", "expected"),
    [(60.0, (Verdict.CLEAR, 40.0)), (140.0, (Verdict.HOLDS, None))],
    ids=["still to come", "past"],
)
def test_seconds_that_are_left_pass_their_limit_from_above(limit_s: float, expected: tuple[Verdict, float]) -> None:
    (found,) = judged(f"probes.web.certificate_left_s < {limit_s}", about=probed("", certificate_s=100))
    assert (found.verdict, found.turns_in_s) == expected


def test_a_rule_stands_for_each_of_its_names_in_order() -> None:
    disks = {"/b": {"used_share": 0.95}, "/a": {"used_share": 0.1}, "/c": {}}
    found = judged("disks[item].used_share > 0.9", "disks", subject({"disks": disks}))
    assert [(one.item, str(one.verdict)) for one in found] == [("/a", CLEAR), ("/b", HOLDS), ("/c", UNKNOWN)]


def test_names_that_are_not_known_leave_one_verdict_of_unknown() -> None:
    (found,) = judged("disks[item].used_share > 0.9", "disks", subject({"disks": None}))
    assert (found.item, found.verdict, found.why) == ("", Verdict.UNKNOWN, "disks is not known")


def test_a_rule_stands_for_so_many_names_and_no_more() -> None:
    disks = {f"/d{number:03}": {"used_share": 0.1} for number in range(300)}
    found = judged("disks[item].used_share > 0.9", "disks", subject({"disks": disks}))
    assert [one.item for one in found] == sorted(disks)[:MOST_ITEMS]


def test_facts_that_the_monitor_makes() -> None:
    for when in (
        'appliance.set == "storefront" && appliance.ordinal == 3 && appliance.template == "web"',
        'appliance.state == "running" && appliance.wanted == "running" && appliance.state_s == 5000.0',
        'node.state == "running" && node.cloud == "east" && node.size == "m5.large" && node.age_s == 5100.0',
        'report.age_s == 10.0 && report.seq == 7 && report.boot == "b1" && report.version == "1"',
        'declared.packages["shop"] == "2.1" && "/etc/hosts" in declared.files && declared.jobs == []',
        'applications["shop"].age_s == 5000.0 && applications["shop"].state_s == 5000.0',
        "processes.exists(p, p.pid == 70 && p.age_s == 5000.0)",
        "system.boot.age_s == 5000.0",
    ):
        assert verdict(when) == HOLDS, when


def test_who_is_unexpected() -> None:
    strangers = {
        "eve": {"uid": 1001, "shell": "/bin/bash"},
        "www-x": {"uid": 40, "shell": "/bin/sh"},
        "bin": {"uid": 2, "shell": "/bin/false"},
        "door": {"uid": 3, "shell": "/usr/sbin/nologin", "keys": ["SHA256:x"]},
        "odd": {"uid": 4},
    }
    assert verdict('unexpected.accounts == ["door", "eve", "odd"]', subject({"accounts": strangers})) == HOLDS
    nobody_says = with_template(accounts=None, processes=None)
    assert verdict("size(unexpected.accounts) == 0", subject(template=nobody_says)) == UNKNOWN
    assert verdict("size(unexpected.processes) == 0", subject(template=nobody_says)) == UNKNOWN
    assert verdict("size(unexpected.processes) == 0") == HOLDS
    nobody = with_template(processes=())
    assert verdict('unexpected.processes == ["shop", "systemd"]', subject(template=nobody)) == HOLDS


def test_a_file_that_is_not_there_has_no_content_and_one_that_cannot_be_read_is_not_known() -> None:
    told = {"/a": {"missing": True}, "/b": {"size": 3}}
    assert verdict('files["/a"].missing && files["/a"].sha256 == ""', subject({"files": told})) == HOLDS
    assert verdict('files["/b"].missing', subject({"files": told})) == CLEAR
    assert verdict('files["/b"].sha256 == ""', subject({"files": told})) == UNKNOWN


def test_rules_count_for_the_sets_that_their_policy_names() -> None:
    policies = [
        Policy("a", (Rule("r", "true"),), sets=("store*",)),
        Policy("b", (Rule("r", "true"),), sets=("back-?",)),
        Policy("c", (Rule("r", "true"),), enabled=False),
    ]
    book = Rulebook(policies)
    assert [rule.key for rule in book.of_set("storefront").rules] == ["a/r"]
    assert [rule.key for rule in book.of_set("back-1").rules] == ["b/r"]
    assert book.of_set("else").rules == []


# --- properties -------------------------------------------------------------------------------------------------------

NUMBERS = [
    "memory.total_mib",
    "memory.available_mib",
    "load.one",
    "0.5",
    "3.0",
    'disks["/"].used_share',
    "report.age_s",
]
numbers = st.sampled_from(NUMBERS) | st.tuples(
    st.sampled_from(NUMBERS), st.sampled_from(["+", "-", "*", "/"]), st.sampled_from(NUMBERS)
).map(" ".join)
compared = st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join)
of_process = st.sampled_from(["p.cpu > 0.1", 'p.name == "shop"', "p.pid > 5", 'p.user != "root"', "p.rss_mib < 5.0"])
of_processes = st.recursive(
    of_process, lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join), max_leaves=3
)
macros = st.tuples(st.sampled_from(["exists", "all", "exists_one"]), of_processes).map(
    lambda two: f"processes.{two[0]}(p, {two[1]})"
)
sized = of_processes.map(lambda one: f"size(processes.filter(p, {one})) > 1")
others = st.sampled_from(
    [
        '"shop" in packages', '"nginx" in packages', 'packages.shop.version == "2.1-3"', "size(accounts) > 2",
        'disks.exists(d, disks[d].used_share > 0.1)', '"root" in accounts', 'services.shop.state == "running"',
        'accounts["root"].keys == []', 'applications.shop.state != "down"', "applications.shop.age_s > 60",
    ]
)  # fmt: skip
conditions = st.recursive(
    compared | macros | sized | others,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda three: f"({' '.join(three)})")
        | inner.map(lambda one: f"!({one})")
        | st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})")
    ),
    max_leaves=6,
)
WHOLE = {"memory", "load", "processes", "packages", "accounts", "services", "applications", "disks"}


@st.composite
def forgotten(draw: st.DrawFn) -> dict[str, Any]:
    """What the appliance says, and some of it not known: groups, or fields of items, but no item."""
    found = copy.deepcopy(sections())
    for name in draw(st.sets(st.sampled_from(sorted(WHOLE)), max_size=2)):
        found[name] = None  # type: ignore[assignment]
    fields = [
        (section, item, field)
        for section, items in found.items()
        if items is not None
        for item, one in items.items()
        for field in one
    ]
    for section, item, field in draw(st.lists(st.sampled_from(fields), max_size=4, unique=True)):
        del found[section][item][field]
    return found


@settings(max_examples=400)
@given(conditions, forgotten())
def test_what_is_not_known_turns_a_verdict_into_unknown_and_never_into_another(when: str, told: dict[str, Any]) -> None:
    with_all, with_less = verdict(when), verdict(when, subject(told))
    assert with_less in (with_all, UNKNOWN)


@given(conditions, forgotten(), forgotten())
def test_a_bench_that_was_used_before_gives_the_same_verdicts(
    when: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    rules = Rulebook([Policy("p", (Rule("r", when), Rule("s", "item in accounts", "accounts")))]).of_set("storefront")
    bench = judge.Bench()
    for told in (one, other, one):
        about = facts.known(subject(told), NOW)
        used = judge.judge(rules, about, bench=bench)
        assert used == judge.judge(rules, about)


@given(conditions)
def test_where_everything_is_known_every_verdict_is(when: str) -> None:
    processes = {pid: {"rss_mib": 7, "cpu": 0.1, **one} for pid, one in sections()["processes"].items()}
    (found,) = judged(when, about=subject({"processes": processes}))
    assert found.verdict is not Verdict.UNKNOWN
