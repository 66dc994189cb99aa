"""Each built-in rule fires, is quiet, and does not know, where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examined import GB, HASH, NOW, ago, built_in, probed, sections, subject, with_template

from cloudmon.detection.facts import Subject
from cloudmon.detection.judge import Verdict
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.grants import Access
from cloudmon.model.sets import Application
from cloudmon.testing.guest_words import KEY

FIRES, QUIET, UNKNOWN = Verdict.HOLDS, Verdict.CLEAR, Verdict.UNKNOWN


def application(**changes: object) -> Subject:
    return subject({"applications": {"shop": {**sections()["applications"]["shop"], **changes}}})


def looping(restarts: int, started_s: float, state: str = "up") -> Subject:
    process = {**sections()["processes"]["70"], "since": NOW.timestamp() - started_s}
    told = {"state": state, "since": NOW.timestamp() - started_s, "restarts": restarts, "pid": 70}
    return subject({"applications": {"shop": told}, "processes": {"70": process}})


def file(told: object) -> Subject:
    return subject({"files": {"/etc/shop.conf": told}})


def package(told: object) -> Subject:
    return subject({"packages": {"shop": told} if told is not None else {}})


def versioned(wanted: str, have: str, candidate: str | None = None) -> Subject:
    told = {"shop": {"state": "up", **({"candidate": candidate} if candidate else {})}}
    wants = with_template(applications={"shop": Application(match="shop", package="shop", version=wanted)})
    packages = {"shop": {"version": have, "manager": "dpkg"}}
    return subject({"applications": told, "packages": packages}, template=wants)


def disk(*, told: object) -> Subject:
    return subject({"disks": {"/": told}})


def memory(**told: object) -> Subject:
    return subject({"memory": {"now": told}})


GRANTED = {"ada": Access((KEY,), ("sudo",))}


def account(told: object) -> Subject:
    return subject({"accounts": {"ada": told} if told is not None else {}}, granted=GRANTED)


def unheard(*, enrolled_s: float | None = None, revoked: bool = False, listened_s: float | None = None,
            agent: bool = True, **member: object) -> Subject:  # fmt: skip
    """Launched with its agent, if not said otherwise, of which nothing ever came; well beyond the time for that."""
    found = subject(template=with_template(agent=agent), agent=enrolled_s is not None, told=False, member=member)
    since = ago(listened_s) if listened_s is not None else None
    if found.agent is None or enrolled_s is None:
        return replace(found, listened_since=since)
    silent = replace(
        found.agent, enrolled_at=ago(enrolled_s), received_at=None, hash="", revoked_at=ago(9) if revoked else None
    )
    return replace(found, agent=silent, listened_since=since)


SILENT = subject({}, heard_s=151)
BROUGHT = with_template(agent=True)
CASES = [
    ("node-down", "", subject(member={"state": ApplianceState.FAULTED}), FIRES),
    ("node-down", "", subject(member={"state": ApplianceState.STOPPED}), FIRES),
    ("node-down", "", subject(member={"state": ApplianceState.STOPPED, "wanted": Power.STOPPED}), QUIET),
    ("node-down", "", subject(), QUIET),
    ("node-down", "", SILENT, QUIET),
    ("report-silent", "", SILENT, FIRES),
    ("report-silent", "", subject(heard_s=150), QUIET),
    ("report-silent", "", subject(heard_s=900, member={"state": ApplianceState.STOPPED}), QUIET),
    ("report-silent", "", subject(heard_s=900, member={"state": ApplianceState.ISOLATED}), QUIET),
    ("report-silent", "", subject(heard_s=900, member={"since": ago(140)}), QUIET),  # released, and not heard yet
    ("report-silent", "", subject(heard_s=900, member={"since": ago(160)}), FIRES),
    ("report-silent", "", subject(agent=False, told=False), UNKNOWN),
    ("report-silent", "", subject(heard_s=900, member={"incarnation": 2}), UNKNOWN),
    ("report-missing", "", unheard(), FIRES),
    ("report-missing", "", unheard(since=ago(751)), FIRES),  # ten minutes to boot, three intervals and a minute
    ("report-missing", "", unheard(since=ago(750)), QUIET),
    ("report-missing", "", unheard(agent=False), QUIET),
    ("report-missing", "", unheard(state=ApplianceState.ISOLATED), QUIET),
    ("report-missing", "", unheard(state=ApplianceState.LAUNCHING), QUIET),
    ("report-missing", "", subject(template=BROUGHT), QUIET),
    ("report-missing", "", subject(template=BROUGHT, heard_s=4_000), QUIET),  # that is another rule's
    ("report-missing", "", subject(template=BROUGHT, member={"incarnation": 2}), FIRES),
    ("report-missing", "", unheard(enrolled_s=4_000), FIRES),
    ("report-missing", "", unheard(enrolled_s=150), UNKNOWN),
    ("report-missing", "", unheard(enrolled_s=4_000, revoked=True), QUIET),
    ("report-missing", "", unheard(listened_s=150), UNKNOWN),  # the monitor was away, and its agents come back
    ("report-missing", "", unheard(listened_s=151), FIRES),
    ("application-down", "shop", application(state="down"), FIRES),
    ("application-down", "shop", subject(), QUIET),
    ("application-down", "shop", application(state="unknown"), UNKNOWN),
    ("application-down", "shop", subject({"applications": {}}), UNKNOWN),
    ("application-down", "shop", subject({"applications": {"shop": {"state": "down"}}}, heard_s=151), UNKNOWN),
    ("probe-failed", "web", probed("connection refused"), FIRES),
    ("probe-failed", "web", probed(""), QUIET),
    ("probe-failed", "web", probed(None), UNKNOWN),
    ("probe-failed", "web", probed("connection refused", asked_s=151), UNKNOWN),
    ("probe-failed", "web", probed("connection refused", member={"incarnation": 2}), UNKNOWN),
    ("probe-failed", "web", probed("connection refused", member={"since": ago(5)}), UNKNOWN),
    ("probe-failed", "web", probed("connection refused", member={"state": ApplianceState.STOPPED}), UNKNOWN),
    ("probe-failed", None, subject(), QUIET),
    ("certificate-ends", "web", probed("", certificate_s=13 * 86_400), FIRES),
    ("certificate-ends", "web", probed("", certificate_s=-60), FIRES),
    ("certificate-ends", "web", probed("", certificate_s=15 * 86_400), QUIET),
    ("certificate-ends", "web", probed(None, certificate_s=86_400), UNKNOWN),
    ("certificate-ends", "web", probed("", certificate_s=86_400, asked_s=151), UNKNOWN),
    ("certificate-ends", None, probed(""), QUIET),
    ("malware", "/srv/bad", subject({"malware": {"/srv/bad": {"signature": "Test.Sample"}}}), FIRES),
    ("malware", None, subject({"malware": {}}), QUIET),
    ("malware", "", subject({"malware": None}), UNKNOWN),
    ("restart-loop", "shop", looping(3, 40), FIRES),
    ("restart-loop", "shop", looping(3, 40, "down"), FIRES),
    ("restart-loop", "shop", looping(2, 40), QUIET),
    ("restart-loop", "shop", looping(9, 120), QUIET),
    ("restart-loop", "shop", subject({"processes": None}), UNKNOWN),
    ("disk-nearly-full", "/", disk(told={"used_share": 0.9}), FIRES),
    ("disk-nearly-full", "/", disk(told={"used_share": 0.899}), QUIET),
    ("disk-nearly-full", "/", disk(told={"total_mib": 10}), UNKNOWN),
    ("disk-nearly-full", "", subject({"disks": None}), UNKNOWN),
    ("memory-pressure", "", memory(total_mib=2 * GB, available_mib=100), FIRES),
    ("memory-pressure", "", memory(total_mib=2 * GB, available_mib=103), QUIET),
    ("memory-pressure", "", memory(total_mib=2 * GB), UNKNOWN),
    ("package-outdated", "shop", package({"version": "2.0"}), FIRES),
    ("package-outdated", "shop", package({"version": "2.10"}), FIRES),
    ("package-outdated", "shop", package(None), FIRES),
    ("package-outdated", "shop", package({"version": "2.1"}), QUIET),
    ("package-outdated", "shop", package({"version": "2.1-3+deb12u1"}), QUIET),
    ("package-outdated", "shop", package({"arch": "amd64"}), UNKNOWN),
    ("package-outdated", "shop", versioned(">=2.0", "1.9"), FIRES),
    ("package-outdated", "shop", versioned(">=2.0", "2.0-1"), QUIET),
    ("package-outdated", "shop", versioned(">=2.0", "odd"), UNKNOWN),
    ("package-outdated", "shop", versioned("newest", "2.1", "2.10"), FIRES),
    ("package-outdated", "shop", versioned("newest", "2.10", "2.10"), QUIET),
    ("package-outdated", "shop", versioned("newest", "2.1"), UNKNOWN),
    ("package-outdated", "shop", subject({"packages": None}), UNKNOWN),
    ("file-changed", "/etc/shop.conf", file({"sha256": "cd" * 32}), FIRES),
    ("file-changed", "/etc/shop.conf", file({"missing": True}), FIRES),
    ("file-changed", "/etc/shop.conf", file({"sha256": HASH}), QUIET),
    ("file-changed", "/etc/shop.conf", file({"size": 3}), UNKNOWN),
    ("stray-account", "eve", subject({"accounts": {"eve": {"uid": 1000, "shell": "/bin/sh"}}}), FIRES),
    ("stray-account", None, subject(), QUIET),
    ("stray-account", None, subject({"accounts": {"ada": {"shell": "/bin/sh", "managed": True}}}), QUIET),
    ("stray-account", "", subject({"accounts": None}), UNKNOWN),
    ("stray-account", "", subject(template=with_template(accounts=None)), UNKNOWN),
    ("account-drift", "ada", account({"keys": [], "groups": [], "managed": True}), FIRES),
    ("account-drift", "ada", account(None), FIRES),
    ("account-drift", "ada", account({"managed": True}), UNKNOWN),
    ("account-drift", "ada", account({"keys": []}), QUIET),
    ("account-drift", "ada", subject({"accounts": None}, granted=GRANTED), UNKNOWN),
    ("account-drift", None, subject(), QUIET),
    ("account-foreign", "ada", account({"keys": []}), FIRES),
    ("account-foreign", "ada", account(None), QUIET),
    ("account-foreign", "ada", subject({"accounts": None}, granted=GRANTED), UNKNOWN),
    ("account-left", "eve", subject({"accounts": {"eve": {"managed": True}}}, granted=GRANTED), FIRES),
    ("account-left", None, subject({"accounts": {"eve": {"managed": False}}}, granted=GRANTED), QUIET),
    ("account-left", "", subject({"accounts": None}), UNKNOWN),
    ("stray-process", "miner", subject({"processes": {"9": {"name": "miner", "command": "./miner"}}}), FIRES),
    ("stray-process", None, subject(), QUIET),
    ("stray-process", "", subject({"processes": None}), UNKNOWN),
    ("stray-process", "", subject(template=with_template(processes=None)), UNKNOWN),
]


@pytest.mark.parametrize(
    ("rule", "item", "about", "expected"),
    CASES,
    ids=[f"{rule} {expected.name.lower()} {number}" for number, (rule, _, _, expected) in enumerate(CASES)],
)
def test_a_built_in_rule_comes_to(rule: str, item: str | None, about: Subject, expected: Verdict) -> None:
    found = {one.item: one.verdict for one in built_in().judge(about, NOW) if one.ready.rule.name == rule}
    # A rule that stands for what is unexpected stands for nothing where nothing is.
    assert found == ({} if item is None else {item: expected})


def test_every_built_in_rule_has_a_firing_a_quiet_and_an_unknown_case() -> None:
    rules = {rule.name for policy in built_in().rules.policies for rule in policy.rules}
    # Whether a node is down is known as long as the monitor knows anything.
    assert {(rule, verdict) for rule, _, _, verdict in CASES} == {
        (rule, verdict) for rule in rules for verdict in Verdict
    } - {("node-down", UNKNOWN)}


def test_a_well_appliance_has_no_symptom_and_nothing_to_remember() -> None:
    found = built_in().look(subject(), NOW, states={}, opened={})
    assert (found.symptoms, found.change) == ((), None)


def test_an_appliance_whose_template_declares_nothing_is_judged_by_what_is_left() -> None:
    bare = with_template(applications={}, files=(), file_hashes={}, accounts=None, processes=None)
    found = {one.ready.rule.name for one in built_in().judge(subject(template=bare), NOW) if one.verdict is QUIET}
    assert found == {"node-down", "report-silent", "report-missing", "disk-nearly-full", "memory-pressure"}


def test_an_application_without_a_wanted_version_is_never_outdated() -> None:
    anything = with_template(applications={"shop": Application(match="shop", package="shop")})
    found = [
        one for one in built_in().judge(subject(template=anything), NOW) if one.ready.rule.name == "package-outdated"
    ]
    assert found == []


def test_nothing_fires_because_an_appliance_fell_silent_but_the_rule_that_says_so() -> None:
    ill = subject(
        {
            "applications": {"shop": {"state": "down", "since": 1, "restarts": 9, "pid": 7}},
            "disks": {"/": {"used_share": 1.0}},
            "memory": {"now": {"total_mib": 9, "available_mib": 0}},
            "packages": {},
            "accounts": {"eve": {}},
            "processes": {"9": {"name": "miner"}},
            "files": {"/etc/shop.conf": {"missing": True}},
        },
        heard_s=600,
        member={"since": ago(9_000)},
    )
    found = built_in().judge(ill, NOW)
    assert {one.ready.rule.name for one in found if one.verdict is FIRES} == {"report-silent"}
