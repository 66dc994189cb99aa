"""Policies of a settings file: rules as they were written, the built-in ones changed, faults with their place."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cloudmon import settings
from cloudmon.errors import SettingsError
from cloudmon.model.policies import Exemption, OnUnknown, Policy, Remedy, Rule

Write = Callable[..., Path]


def policies(path: Path) -> dict[str, Policy]:
    return {policy.name: policy for policy in settings.load(path).rulebook()}


def built_in(path: Path) -> dict[str, Rule]:
    return {rule.name: rule for rule in policies(path)["built-in"].rules}


def test_a_policy_is_what_was_written(write: Write) -> None:
    path = write(
        """
        [[policies]]
        name = "shop"
        sets = ["store*"]

        [[policies.rules]]
        name = "busy"
        each = "declared.applications"
        when = 'applications[item].state == "up" && load.five > double(load.cpus) * 2.0'
        for = "5m"
        n_of_m = "3 of 5"
        on_unknown = "clear"
        severity = "critical"
        message = "{item} has too much to do"
        then = ["app_restart", { verb = "job_run", job = "tidy-{item}" }, "reboot", "replace"]
        backoff = "2m"
        max_attempts = 7

        [[policies.exemptions]]
        rule = "busy"
        target = "storefront/3"
        owner = "ada"
        reason = "under test"
        until = 2027-01-01T00:00:00Z
        """
    )
    assert policies(path)["shop"] == Policy(
        "shop",
        (
            Rule(
                "busy",
                'applications[item].state == "up" && load.five > double(load.cpus) * 2.0',
                each="declared.applications",
                for_s=300,
                n=3,
                m=5,
                on_unknown=OnUnknown.CLEAR,
                severity="critical",
                message="{item} has too much to do",
                then=(
                    Remedy("app_restart"),
                    Remedy("job_run", {"job": "tidy-{item}"}),
                    Remedy("reboot"),
                    Remedy("replace"),
                ),
                backoff_s=120,
                max_attempts=7,
            ),
        ),
        ("store*",),
        (Exemption("busy", "storefront/3", "ada", "under test", dt.datetime(2027, 1, 1, tzinfo=dt.UTC)),),
        source="file:shop",
    )


def test_the_built_in_policy_is_there_without_a_word(write: Write) -> None:
    (found,) = settings.load(write()).rulebook()
    assert (found.name, found.sets, found.enabled, found.source) == ("built-in", ("*",), True, "built in")
    assert len(found.rules) == 17


def test_a_built_in_rule_is_changed_key_by_key(write: Write) -> None:
    before = built_in(write())
    after = built_in(
        write(
            """
            [[policies]]
            name = "built-in"
            rules = [{ name = "disk-nearly-full", for = "1m", then = ["reboot"] }, { name = "mine", when = "true" }]
            """
        )
    )
    assert after["disk-nearly-full"].for_s == 60
    assert after["disk-nearly-full"].then == (Remedy("reboot"),)
    assert after["disk-nearly-full"].when == before["disk-nearly-full"].when
    assert after["disk-nearly-full"].n == 3
    assert list(after) == [*before, "mine"]
    assert {name: rule for name, rule in after.items() if name in before and name != "disk-nearly-full"} == {
        name: rule for name, rule in before.items() if name != "disk-nearly-full"
    }


def test_a_built_in_rule_is_switched_off(write: Write) -> None:
    path = write('[[policies]]\nname = "built-in"\nrules = [{ name = "stray-process", enabled = false }]')
    assert "stray-process" not in built_in(path)
    assert "stray-account" in built_in(path)


def test_the_built_in_policy_is_switched_off_or_given_to_some_sets(write: Write) -> None:
    assert not policies(write('[[policies]]\nname = "built-in"\nenabled = false'))["built-in"].enabled
    found = policies(write('[[policies]]\nname = "built-in"\nsets = ["store*"]'))["built-in"]
    assert found.sets == ("store*",)
    assert len(found.rules) == 17


def test_reading_the_same_file_twice_gives_equal_policies(write: Write) -> None:
    path = write('[[policies]]\nname = "a"\nrules = [{ name = "r", when = "true" }]')
    assert settings.load(path).rulebook() == settings.load(path).rulebook()


def rule(text: str) -> str:
    return f'[[policies]]\nname = "a"\n[[policies.rules]]\nname = "r"\n{text}'


FAULTS = [
    pytest.param(
        rule('when = "memory.totl_mib < 3.0"'),
        'policies.a.rules.r.when = "memory.totl_mib < 3.0" is wrong at line 15, column 16: it names totl_mib, which is '
        'none of the facts of memory; did you mean "total_mib"? There are: total_mib, swap_total_mib, available_mib, '
        "swap_used_mib.",
        id="a fact that there is not, where it stands in the file",
    ),
    pytest.param(
        rule("when = '''\nload.five > 2.0\n  && memory.nothing > 1.0'''"),
        "is wrong at line 17, column 13: it names nothing",
        id="over several lines",
    ),
    pytest.param(
        rule('when = "appliance.set == \\"a\\" && nobody > 1"'),
        "is wrong at line 1, column 25 of the expression: it names nobody",
        id="written otherwise than it is",
    ),
    pytest.param(
        rule('each = "dsks"\nwhen = "true"'), 'rules.r.each = "dsks" is wrong at line 15, column 9', id="each"
    ),
    pytest.param(rule('when = "load.one >"'), "is wrong at line 15, column 19: it is no expression", id="syntax"),
    pytest.param(rule('when = "has(load.one)"'), "uses has(), which takes what is not known for false", id="has"),
    pytest.param(rule(""), "policies.a.rules.r.when is missing.", id="no condition"),
    pytest.param(
        rule('when = "true"\nmessage = "{disk}"'),
        'rules.r.message = "{disk}" has the placeholder {disk}',
        id="placeholder",
    ),
    pytest.param(
        rule('when = "true"\nthen = ["app_restrt"]'),
        'rules.r.then = "app_restrt" is no action that a rule can take; did you mean "app_restart"?',
        id="no verb",
    ),
    pytest.param(
        rule('when = "true"\nthen = ["account_revoke"]'), "cannot be done: account_revoke needs user=…", id="no account"
    ),
    pytest.param(
        rule('when = "true"\nthen = [{ verb = "account_grant", user = "ada" }]'),
        "is no action that a rule can take",
        id="what is granted to sets",
    ),
    pytest.param(rule('when = "true"\nthen = ["launch"]'), "is no action that a rule can take", id="not a rule's verb"),
    pytest.param(
        rule('when = "true"\nthen = ["app_restart"]'),
        "cannot be done: app_restart needs application=….",
        id="an argument that is missing",
    ),
    pytest.param(
        rule('when = "true"\nthen = [{ verb = "job_run", job = "a", speed = "b" }]'),
        "cannot be done: job_run takes no 'speed'; what it takes: job.",
        id="an argument too many",
    ),
    pytest.param(
        rule('when = "true"\nthen = [{ verb = "reboot", how = "hard" }]'), "takes no arguments", id="a node's argument"
    ),
    pytest.param(
        rule('when = "true"\nn_of_m = "6 of 5"'), 'rules.0.n_of_m = "6 of 5" must be such as "3 of 5"', id="n of m"
    ),
    pytest.param(
        rule('when = "true"\non_unknown = "guess"'),
        "on_unknown = \"guess\" must be one of 'ignore', 'clear' or 'fire'.",
        id="on unknown",
    ),
    pytest.param(
        rule('when = "true"\nfro = "5m"'), 'fro = "5m" is an unknown key; did you mean "for"?', id="unknown key"
    ),
    pytest.param(
        rule('when = "true"\nthen = [{ verb = "process_end", pid = "abc", name = "x" }]'),
        "cannot be done: pid='abc' is no number of a process",
        id="a value that no agent takes",
    ),
    pytest.param(
        rule('when = "true"\n[[policies.rules]]\nname = "r"\nwhen = "false"'),
        "policies.a.rules.r is there 2 times; keep one.",
        id="a rule twice",
    ),
    pytest.param(
        '[[policies]]\nname = "a"\n[[policies]]\nname = "a"',
        "policies.a is there 2 times; keep one.",
        id="a policy twice",
    ),
    pytest.param(
        '[[policies]]\nname = "built-in"\nrules = [{ name = "disk-nearly-ful", for = "5m" }]',
        "policies.built-in.rules.disk-nearly-ful.when is missing.",
        id="a built-in rule misspelt",
    ),
    pytest.param(
        '[[policies]]\nname = "built-in"\nrules = [{ name = "node-down", each = "dsks" }]',
        'rules.node-down.each = "dsks" is wrong at',
        id="a built-in rule changed for the worse",
    ),
    pytest.param(
        '[[policies]]\nname = "built-in"\n'
        'exemptions = [{ rule = "node-don", target = "*", owner = "a", reason = "b" }]',
        'exemptions.rule = "node-don" names no rule of this policy; did you mean "node-down"?',
        id="exempted from no rule",
    ),
    pytest.param(
        '[[policies]]\nname = "a"\nexemptions = [{ target = "storefront", owner = "a", reason = "b" }]',
        'exemptions.0.target = "storefront" must be such as storefront/3, storefront/* or *.',
        id="exempted for no appliance",
    ),
    pytest.param(
        '[[policies]]\nname = "a"\nexemptions = [{ target = "*", owner = "a" }]', "reason is missing.", id="no reason"
    ),
    pytest.param('[[policies]]\nname = "a"\nsets = []', "policies.0.sets = [] must not be empty.", id="no sets"),
]


@pytest.mark.parametrize(("written", "sentence"), FAULTS)
def test_a_fault_is_one_sentence_with_its_place(write: Write, written: str, sentence: str) -> None:
    path = write(written)
    with pytest.raises(SettingsError) as caught:
        settings.load(path)
    assert caught.value.message.startswith(f"{path}: policies.")
    assert sentence in caught.value.message


DECLARED = """
[templates.web.jobs.tidy]
argv = ["tidy"]
[templates.web.applications.shop]
start = ["shop"]
"""


@pytest.mark.parametrize(
    ("sets", "rung", "sentence"),
    [
        ('["*"]', '{ verb = "job_run", job = "tidi" }', "is no job that a template of its sets declares; did you mean"),
        ('["store*"]', '{ verb = "app_restart", application = "web" }', 'then.application = "web" is no application'),
        ('["*"]', '{ verb = "job_run", job = "tidy" }', ""),
        ('["*"]', '{ verb = "job_run", job = "tidy-{item}" }', ""),
        ('["another"]', '{ verb = "job_run", job = "tidi" }', ""),
    ],
    ids=["no such job", "no such application", "there is", "by what is found", "sets that nobody knows yet"],
)
def test_a_rung_names_what_templates_of_its_sets_declare(write: Write, sets: str, rung: str, sentence: str) -> None:
    rule = f'[[policies.rules]]\nname = "r"\neach = "disks"\nwhen = "true"\nthen = [{rung}]'
    policy = f'[[policies]]\nname = "a"\nsets = {sets}\n{rule}'
    path = write(DECLARED + policy)
    if not sentence:
        settings.load(path)
        return
    with pytest.raises(SettingsError) as caught:
        settings.load(path)
    assert sentence in caught.value.message


def test_every_rule_that_is_wrong_is_found_at_once(write: Write) -> None:
    path = write(
        '[[policies]]\nname = "a"\nrules = [{ name = "r", when = "x" }, { name = "s", when = "y" }, '
        '{ name = "t", when = "z", enabled = false }]'
    )
    assert [fault.key for fault in settings.problems(path)] == ["policies.a.rules.r.when", "policies.a.rules.s.when"]


# --- detectors ----------------------------------------------------------------------------------------------------


def miners(facts: Mapping[str, Any]) -> list[str]:
    return [one for one in facts["processes"] if "miner" in one]


miners.needs = ("processes",)  # type: ignore[attr-defined]


@pytest.fixture
def detectors(moon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed are ``miners``, ``gone``, whose package is broken, ``wants``, which wants what is not there."""
    module = ModuleType("their_detectors")
    wants: Any = lambda facts: []  # noqa: E731
    wants.needs = ("moods",)
    vars(module).update(miners=miners, wants=wants, number=3)
    monkeypatch.setitem(sys.modules, "their_detectors", module)
    before: Any = metadata.entry_points
    points = [
        metadata.EntryPoint(name, value, "cloudmon.detectors")
        for name, value in (
            ("miners", "their_detectors:miners"), ("gone", "they_are_not_there:gone"),
            ("wants", "their_detectors:wants"), ("number", "their_detectors:number"),
        )
    ]  # fmt: skip
    monkeypatch.setattr(
        metadata, "entry_points", lambda *, group: points if group == "cloudmon.detectors" else before(group=group)
    )


DETECTING = """
[[policies]]
name = "shop"
rules = [{{ name = "r", {rule} }}]
"""


def test_a_rule_may_name_an_installed_detector(write: Write, detectors: None) -> None:
    rule = 'detector = "miners", message = "{item} mines", then = ["app_restart"]'
    (found,) = policies(write(DETECTING.format(rule=rule)))["shop"].rules
    assert (found.detect, found.when, found.each) == (miners, "", "")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ('detector = "miner"', 'rules.r.detector = "miner" is no installed detector; did you mean "miners"?'),
        ('detector = "gone"', 'detector = "gone" cannot be used: detector'),
        ('detector = "number"', "cannot be used: their_detectors:number is installed as detector"),
        ('detector = "wants"', "detector = \"wants\" needs 'moods', which is no group of facts"),
        ('detector = "miners", when = "true"', "rules.r has both detector and when or each"),
    ],
    ids=["unknown", "broken package", "no detector", "unknown facts", "two conditions"],
)
def test_a_detector_that_cannot_be_used_is_one_sentence(
    write: Write, detectors: None, rule: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load(write(DETECTING.format(rule=rule)))
    assert sentence in raised.value.message
