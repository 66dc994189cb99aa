"""A rule is checked when it is loaded: what it names must exist, and nothing in it may hide what is not known."""

from __future__ import annotations

import json

import jsonschema
import pytest

from cloudmon.detection import rules, schema, specimen, syntax
from cloudmon.detection.needs import Need
from cloudmon.detection.rules import RuleError
from cloudmon.model.policies import Remedy, Rule
from cloudmon.settings import policies

GOOD = [
    'appliance.state == "running"',
    "report.age_s > 3 * report.interval_s + 60",
    'memory["available_mib"] < memory.total_mib * 0.1',
    "double(load.cpus) < load.five",
    '"nginx" in packages && packages.nginx.version != "1.0"',
    'packages["lib.c"].version.startsWith("2.")',
    "disks.exists(d, disks[d].used_share > 0.9)",
    "size(processes.filter(p, p.cpu > 0.5)) > 3",
    'processes.exists(p, p.name == "miner" || p.command.matches("^/tmp/.*"))',
    "size(unexpected.accounts) > 0",
    "accounts.map(a, a).exists_one(a, a == declared.accounts[0])",
    "(node.age_s < 60.0 ? 1 : 2) == 2",
    "appliance.ordinal in [1, 2, 3]",
    "processes == []",
    "processes[0].pid == 1",
    "int(load.one) % 2 == 0",
    "string(appliance.ordinal) + appliance.set == appliance.template",
    "appliance.ordinal / 0 == 1",
]


@pytest.mark.parametrize("when", GOOD)
def test_a_good_condition_is_taken(when: str) -> None:
    assert rules.ready("p", Rule("r", when)).key == "p/r"


@pytest.mark.parametrize(
    "each",
    [
        "disks",
        "declared.applications",
        "unexpected.processes",
        'processes.filter(p, p.user == "root").map(p, p.name)',
        'packages.filter(p, packages[p].manager == "dpkg")',
    ],
)
def test_a_rule_may_stand_for_names(each: str) -> None:
    assert rules.ready("p", Rule("r", 'item != ""', each, message="{item}")).key_of("x/y") == "p/r/x/y"


BAD = [
    pytest.param(
        "memory.totl_mib < 3.0", 7, 'facts of memory; did you mean "total_mib"? There are: total_mib, ', id="field"
    ),
    pytest.param(
        "true && memry.x < 3", 8, 'is none of the facts; did you mean "memory"? There are: memory, ', id="group"
    ),
    pytest.param("processes.exists(p, p.cpus > 1.0)", 22, 'facts of p; did you mean "cpu"?', id="field of an item"),
    pytest.param('packages["a"].verson == "1"', 14, 'did you mean "version"?', id="field in a table"),
    pytest.param("memory[appliance.set] > 1.0", 7, "must name a fact of a group outright", id="field by another"),
    pytest.param("qqq == 1", 0, "is none of the facts; there are: accounts, appliance", id="near none"),
    pytest.param("has(memory.total_mib)", 0, "uses has(), which takes what is not known for false", id="has"),
    pytest.param('"total_mib" in memory', 15, "asks whether a fact is there", id="in a record"),
    pytest.param('"version" in packages["a"]', 13, "asks whether a fact is there", id="in an item"),
    pytest.param("size(memory) == 4", 5, "has a group of facts where one is wanted", id="size of a record"),
    pytest.param("memory.all(f, true)", 0, "has a group of facts where one is wanted", id="through a record"),
    pytest.param('packages["a"] == packages["b"]', 0, "has a group of facts", id="records compared"),
    pytest.param("packages == packages", 0, "has a table where a single fact is wanted", id="tables compared"),
    pytest.param("processes == processes", 10, "compares a list with a list", id="lists of records compared"),
    pytest.param("processes.map(p, p) == []", 17, "has a group of facts", id="records in a list"),
    pytest.param("appliance.set == null", 17, "asks for null", id="null"),
    pytest.param(
        'appliance.set == "a" && item == "b"', 24, "speaks of item, which only a rule with each has", id="item"
    ),
    pytest.param("memory.total_mib * 2 > 3.0", 17, "reckons with a whole number and another; write 2.0", id="mixed"),
    pytest.param(
        "load.one * load.cpus > 3.0", 9, "whole number and another; write double(load.cpus)", id="mixed facts"
    ),
    pytest.param('appliance.ordinal == "3"', 18, "compares a whole number with text", id="kinds"),
    pytest.param('appliance.ordinal < "3"', 18, "compares a whole number with text", id="order of kinds"),
    pytest.param("files.a.missing < files.b.missing", 16, "compares true or false with true or false", id="order"),
    pytest.param("appliance.set && true", 0, "has text where true or false is wanted", id="no condition"),
    pytest.param('appliance.set - "a" == ""', 14, "reckons text - text", id="text reckoned"),
    pytest.param("memory.total_mib", 0, "gives a number and not true or false", id="no verdict"),
    pytest.param('["a", 1] == []', 6, "has a whole number in a list that began with text", id="mixed list"),
    pytest.param('3 in ["a"]', 0, "looks for a whole number in a list of text", id="kind in a list"),
    pytest.param("3 in packages", 0, "looks for a whole number among names", id="number among names"),
    pytest.param('appliance.set.matches("(")', 22, "has a pattern that is no regular expression", id="pattern"),
    pytest.param("appliance.set.matches(node.size)", 22, "must give matches its pattern outright", id="other pattern"),
    pytest.param("shout(appliance.set)", 0, "calls shout, which is no function of rules", id="function"),
    pytest.param("size(1, 2) == 3", 0, "calls size with other arguments", id="arguments"),
    pytest.param("processes.exists(processes, true)", 17, "uses processes a second time", id="name taken"),
    pytest.param("processes.exists(p)", 10, "must give exists a name and a condition", id="half a macro"),
    pytest.param("appliance.set.exists(c, true)", 14, "goes through text", id="through text"),
    pytest.param("appliance.set.x == 1", 14, "asks text for x", id="field of text"),
    pytest.param("appliance.set[0] == 1", 0, "takes an item out of text", id="item of text"),
    pytest.param("memory.total_mib >", 18, "is no expression: mismatched input its end", id="syntax"),
    pytest.param(
        'appliance.state == "runing"', 19, 'has "runing", which the fact beside it never is; did you mean', id="word"
    ),
    pytest.param(
        '"dow" != applications.shop.state', 0, 'did you mean "down"? There are: down, stopped, up', id="word before"
    ),
    pytest.param(
        'node.state in ["stopped", "of"]', 26, 'has "of", which the fact beside it never is', id="word in a list"
    ),
    pytest.param('processes.exists(p, p.state == "Z")', 31, "waiting, zombie", id="word of an item"),
    pytest.param("true ? 1 : 2.0", 11, "gives a number or else a whole number", id="two kinds"),
]


@pytest.mark.parametrize(("when", "at", "what"), BAD)
def test_a_bad_condition_is_refused_with_its_place_and_what_exists(when: str, at: int, what: str) -> None:
    with pytest.raises(RuleError) as caught:
        rules.ready("p", Rule("r", when))
    assert (caught.value.part, caught.value.text, caught.value.at) == ("when", when, at)
    assert what in caught.value.what


def test_the_place_counts_lines() -> None:
    when = 'appliance.set == "a"\n  && memory.nothing > 1.0'
    with pytest.raises(RuleError) as caught:
        rules.ready("p", Rule("r", when))
    assert syntax.place(when, caught.value.at or 0) == (2, 13)


@pytest.mark.parametrize(
    ("rule", "part", "what"),
    [
        (Rule("r", "true", "processes"), "each", "gives a list and not a list of names"),
        (Rule("r", "true", "memory"), "each", "has a group of facts"),
        (Rule("r", "true", "appliance.set"), "each", "gives text and not a list of names"),
        (Rule("r", "true", "[item]"), "each", "speaks of item"),
        (Rule("r", "true", message="{item} is down"), "message", "has the placeholder {item}; a rule with each has"),
        (
            Rule("r", "true", "disks", message="{disk} is full"),
            "message",
            "has the placeholder {disk}; there is {item}",
        ),
        (Rule("r", "true", then=(Remedy("job_run", {"job": "{x}"}),)), "then", "has the placeholder {x}"),
    ],
    ids=["records", "record", "text", "item in each", "no item", "another name", "argument"],
)
def test_what_stands_beside_the_condition_is_checked_too(rule: Rule, part: str, what: str) -> None:
    with pytest.raises(RuleError) as caught:
        rules.ready("p", rule)
    assert caught.value.part == part
    assert what in caught.value.what


def test_the_specimen_has_everything_and_fits_the_schema() -> None:
    found = schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    everything = specimen.facts(Need(fields={"packages": Need(keys={"nginx"})}))
    jsonschema.Draft202012Validator(found).validate(json.loads(json.dumps(everything)))
    assert set(everything) == set(found["properties"])
    packages = everything["packages"]
    assert isinstance(packages, dict)
    assert set(packages) == {specimen.ITEM, "nginx"}


def test_every_fact_says_what_it_means() -> None:
    def silent(found: dict[str, object], path: str = "") -> list[str]:
        below = found.get("properties", {})
        assert isinstance(below, dict)
        names = [f"{path}.{name}" for name, about in below.items() if not about.get("description")]
        inner = found.get("additionalProperties") or found.get("items")
        return [
            *names,
            *(name for key, about in below.items() for name in silent(about, f"{path}.{key}")),
            *(silent(inner, f"{path}.*") if isinstance(inner, dict) else ()),
        ]

    assert silent(schema.json_schema()) == []


def test_every_built_in_rule_is_good_and_speaks_to_people() -> None:
    found = policies.built_in().policy("built in")
    assert {rules.ready(found.name, rule).rule.name for rule in found.rules} == {
        "node-down", "report-silent", "report-missing", "application-down", "probe-failed", "certificate-ends",
        "restart-loop", "disk-nearly-full", "malware",
        "memory-pressure", "package-outdated", "file-changed", "stray-account", "stray-process", "account-drift",
        "account-foreign", "account-left",
    }  # fmt: skip
    assert all(rule.message for rule in found.rules)
