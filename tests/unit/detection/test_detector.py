"""One look at an appliance: what is found, what is to be written, and when to look again."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from examined import NOW, ago, detector, later, subject
from hypothesis import given
from hypothesis import strategies as st

from cloudmon.detection.detector import RESTLESS_S, Detector, Diagnosis
from cloudmon.detection.facts import Subject
from cloudmon.detection.stepping import STEADY_S
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import FindingEnd, RuleClear
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.policies import Exemption, OnUnknown, Policy, Remedy, Rule, RuleState
from cloudmon.model.sets import Application

FULL = Rule(
    "full", "disks[item].used_share > 0.9", "disks", for_s=60, severity="critical", message="{item} is full",
    then=(Remedy("job_run", {"job": "tidy"}),),
)  # fmt: skip
OLD = Rule("old", "node.age_s > 6000.0", message="its node is old")


class Watched:
    """An appliance that is looked at again and again, with what was written of it."""

    def __init__(self, found: Detector) -> None:
        self.detector = found
        self.states: dict[str, RuleState] = {}
        self.open: dict[str, Finding] = {}
        self.said: list[tuple[str, dict[str, Any]]] = []

    def look(self, about: Subject, now: dt.datetime = NOW, *, fresh: bool = True) -> Diagnosis:
        found = self.detector.look(
            about,
            now,
            states=self.states,
            opened={self.rule(name): one.evidence["incarnation"] for name, one in self.open.items()},
            fresh=fresh,
        )
        if found.change is not None:
            for state in found.change.rules:
                if isinstance(state, RuleClear):
                    del self.states[state.rule]
                else:
                    self.states[state.rule] = state
            for one in found.change.findings:
                if isinstance(one, Finding):
                    before = self.open.get(one.subject)
                    assert before is None or before.evidence["incarnation"] != one.evidence["incarnation"]
                    self.open[one.subject] = one
                elif isinstance(one, FindingEnd) and one.kind is FindingKind.DETECTED:
                    del self.open[one.subject]
            self.said += [(entry.kind, dict(entry.body)) for entry in found.change.log]
        return found

    @staticmethod
    def rule(subject: str) -> str:
        return subject.partition(":")[2]


def disks(**used: float) -> Subject:
    return subject({"disks": {f"/{name}": {"used_share": share} for name, share in used.items()}})


@pytest.mark.parametrize(
    ("then", "told", "stands"),
    [
        ("app_update", {"nginx": {"version": "0.9-1", "manager": "dpkg"}}, ("0.9-1", "1.0", False)),
        ("app_install", {"bash": {"version": "5", "manager": "dpkg"}}, ("", "1.0", True)),
        ("notify", {}, None),
    ],
    ids=["outdated", "not installed", "nothing is installed or updated"],
)
def test_what_a_ladder_installs_is_known_with_its_wanted_version(
    then: str, told: dict[str, object], stands: tuple[str, str, bool] | None
) -> None:
    """Known by application, whatever its package is called."""
    rule = Rule("old", "versions[item].outdated", "declared.packages", then=(Remedy(then),))
    site = {"site": Application(package="nginx", version="1.0")}
    about = subject({"packages": told, "applications": {"site": {"state": "up", "candidate": "2.0-1"}}})
    about = replace(about, template=replace(about.template, applications=site))
    (symptom,) = Watched(detector(rule)).look(about).symptoms
    version = symptom.upkeep.of("site") if symptom.upkeep is not None else None
    assert symptom.item == "nginx"
    assert (version and (version.have, version.target, version.absent)) == stands


def test_a_condition_is_waited_for_found_treated_and_ended() -> None:
    watched = Watched(detector(FULL))
    first = watched.look(disks(a=0.95, b=0.1))
    assert (first.symptoms, watched.open, first.due) == ((), {}, later(60))
    assert set(watched.states) == {"p/full//a"}

    # Nothing came in, only the time has come.
    found = watched.look(disks(a=0.95, b=0.1), later(60), fresh=False)
    (symptom,) = found.symptoms
    assert (symptom.key, symptom.item, symptom.message) == ("p/full//a", "/a", "/a is full")
    assert symptom.state == watched.states["p/full//a"]
    (finding,) = watched.open.values()
    assert finding == Finding(
        FindingKind.DETECTED,
        "set000000000/3:p/full//a",
        "default",
        "critical",
        "storefront/3: /a is full",
        {
            "rule": "p/full//a",
            "incarnation": 1,
            "since": NOW.isoformat(),
            "facts": {'disks["/a"].used_share': 0.95},
        },
        later(60),
    )
    assert watched.said[-1][0] == "finding.opened"

    quiet = watched.look(disks(a=0.95, b=0.1), later(70))
    assert (len(quiet.symptoms), quiet.change) == (1, None)

    ended = watched.look(disks(a=0.5, b=0.1), later(80))
    assert (ended.symptoms, watched.open, watched.states) == ((), {}, {})
    assert ended.change is not None
    assert FindingEnd(FindingKind.INCIDENT, finding.subject) in ended.change.findings
    assert watched.said[-1] == (
        "finding.ended",
        {"rule": "p/full//a", "reason": "the condition does not hold any more"},
    )


def opened(found: Detector) -> Watched:
    watched = Watched(found)
    watched.look(disks(a=0.95))
    watched.look(disks(a=0.95), later(60))
    assert len(watched.open) == 1
    return watched


def test_an_item_that_is_gone_ends_its_finding() -> None:
    watched = opened(detector(FULL))
    watched.look(disks(b=0.1), later(70))
    assert (watched.open, watched.states) == ({}, {})
    assert watched.said[-1][1]["reason"] == "there is nothing left to judge"


def test_a_finding_stays_without_a_symptom_while_nobody_knows_which_items_there_are() -> None:
    watched = opened(detector(FULL))
    found = watched.look(subject({"disks": None}), later(70))
    assert (found.symptoms, found.change, len(watched.open)) == ((), None, 1)


def second(used: float, at_s: float) -> Subject:
    """The same appliance on its second node, whose agent has just spoken."""
    disks = {"/a": {"used_share": used}}
    found = subject({"disks": disks}, heard_s=-at_s, member={"incarnation": 2})
    assert found.agent is not None
    assert found.state is not None
    return replace(found, agent=replace(found.agent, incarnation=2), state=replace(found.state, incarnation=2))


def tried(watched: Watched) -> None:
    """As if a rung of its ladder had been taken."""
    watched.states["p/full//a"] = replace(watched.states["p/full//a"], rung=2, intent_id="i")


@pytest.mark.parametrize(
    "given_up",
    [
        pytest.param(subject(member={"state": ApplianceState.REQUESTED}), id="none yet"),
        pytest.param(subject(member={"state": ApplianceState.LAUNCHING, "incarnation": 2}), id="another"),
        pytest.param(subject(member={"incarnation": 2}), id="one that runs and says nothing"),
    ],
)
def test_a_finding_ends_with_the_node_that_it_was_seen_on_and_its_ladder_does_not(given_up: Subject) -> None:
    watched = opened(detector(FULL))
    tried(watched)
    assert watched.look(given_up, later(70)).symptoms == ()
    assert watched.open == {}
    reason = "the node that it was seen on was given up"
    assert watched.said[-1] == ("finding.ended", {"rule": "p/full//a", "reason": reason})
    assert watched.look(given_up, later(20_000)).change is None

    # The next node is no better: it is waited for as ever, and the ladder goes on.
    watched.look(second(0.95, 20_010), later(20_010))
    (symptom,) = watched.look(second(0.95, 20_070), later(20_070)).symptoms
    assert (symptom.state.rung, symptom.state.intent_id) == (2, "i")
    (finding,) = watched.open.values()
    assert (finding.evidence["incarnation"], finding.opened_at) == (2, later(20_070))


def test_a_next_node_that_is_well_is_so_for_a_while_before_the_ladder_is_forgotten() -> None:
    watched = opened(detector(FULL))
    tried(watched)
    watched.look(subject(member={"incarnation": 2}), later(70))
    watched.look(second(0.1, 5_000), later(5_000))
    watched.look(second(0.1, 6_000), later(5_000 + STEADY_S - 1))
    assert watched.states["p/full//a"].rung == 2
    watched.look(second(0.1, 6_800), later(5_000 + STEADY_S))
    assert watched.states == {}


def test_what_the_next_node_shows_at_once_is_the_same_finding_and_said_to_be_seen_there() -> None:
    watched = opened(detector(FULL))
    found = watched.look(second(0.95, 70), later(70))
    assert found.change is not None
    assert found.change.log == ()
    (finding,) = watched.open.values()
    assert finding.evidence["incarnation"] == 2
    assert watched.look(second(0.95, 80), later(80)).change is None
    # It is this node's now: silence of its agent is no end of it.
    assert watched.look(second(0.95, 80), later(300)).symptoms == ()
    assert len(watched.open) == 1


def test_a_rule_or_a_policy_that_is_gone_ends_its_findings() -> None:
    watched = opened(detector(FULL))
    watched.detector = detector(OLD)
    watched.look(disks(a=0.95), later(70))
    assert (watched.open, watched.states) == ({}, {})


@pytest.mark.parametrize("state", [ApplianceState.RETIRING, ApplianceState.RETIRED])
def test_nothing_is_found_of_an_appliance_that_retires(state: ApplianceState) -> None:
    watched = opened(detector(FULL))
    found = watched.look(subject({"disks": {"/a": {"used_share": 0.95}}}, member={"state": state}), later(70))
    assert (found.symptoms, watched.open, watched.states, found.due) == ((), {}, {}, None)


@pytest.mark.parametrize(
    ("rule", "target", "counts"),
    [
        ("full", "storefront/3", True),
        ("*", "storefront/*", True),
        ("full", "*", True),
        ("full", "storefront/33", False),
        ("old", "*", False),
    ],
)
def test_an_exemption_ends_the_finding_and_is_looked_at_again_when_it_ends(
    rule: str, target: str, counts: bool
) -> None:
    watched = opened(detector(FULL, OLD))
    exemption = Exemption(rule, target, "ada", "a known guest", later(100))
    watched.detector = detector(FULL, OLD, exemptions=(exemption,))
    found = watched.look(disks(a=0.95), later(70))
    assert (watched.open == {}) is counts
    if counts:
        assert found.due == later(100)
        assert "exempted by ada" in watched.said[-1][1]["reason"]
        watched.look(disks(a=0.95), later(99))
        assert watched.states == {}
        watched.look(disks(a=0.95), later(100))
        assert set(watched.states) == {"p/full//a"}


def test_an_age_is_looked_at_when_it_passes_its_limit_and_not_before() -> None:
    watched = Watched(detector(OLD))
    found = watched.look(subject())
    assert found.due is not None
    assert dt.timedelta(0) < found.due - later(900) < dt.timedelta(seconds=0.1)
    assert watched.look(subject(), found.due, fresh=False).symptoms
    # Nothing can change any more.
    assert watched.look(subject(), found.due, fresh=False).due is None


def test_what_may_change_at_any_time_is_looked_at_often() -> None:
    found = Watched(detector(Rule("r", "node.age_s * 2.0 > 12000.0"))).look(subject())
    assert found.due is not None
    assert dt.timedelta(0) < found.due - later(RESTLESS_S) < dt.timedelta(seconds=0.1)


def test_a_rule_that_fires_on_silence_is_looked_at_when_facts_go_stale() -> None:
    watched = Watched(detector(Rule("r", "memory.total_mib < 1.0", on_unknown=OnUnknown.FIRE)))
    about = subject(heard_s=0)
    found = watched.look(about)
    assert found.due is not None
    assert dt.timedelta(0) < found.due - later(150) < dt.timedelta(seconds=0.1)
    assert len(watched.look(about, found.due, fresh=False).symptoms) == 1


def test_a_verdict_reads_the_same_though_the_policy_is_exempted() -> None:
    exemption = Exemption("*", "*", "ada", "all of it", None)
    (found,) = detector(FULL, exemptions=(exemption,)).judge(disks(a=0.95), NOW)
    assert (found.item, str(found.verdict)) == ("/a", "holds")


def test_more_appliances_than_are_kept_ready_are_judged_all_the_same() -> None:
    found = Detector([Policy("p", (replace(FULL, for_s=0),))], kept=2)
    for turn in range(2):
        for ordinal in range(5):
            about = subject(
                {"disks": {"/a": {"used_share": 0.95 if ordinal % 2 else 0.1}}}, member={"ordinal": ordinal}
            )
            symptoms = found.look(about, later(turn), states={}, opened={}).symptoms
            assert len(symptoms) == ordinal % 2


names = st.text(st.characters(codec=None), max_size=400)


@given(st.lists(names, max_size=6, unique=True), names)
def test_whatever_an_appliance_calls_things_can_be_kept_and_shown(called: list[str], text: str) -> None:
    told = {name: {"used_share": 0.95} for name in called}
    about = subject({"disks": told, "accounts": {text: {"shell": "/bin/sh"}}, "processes": {"7": {"name": text}}})
    rules = (
        replace(FULL, for_s=0),
        Rule("who", "item in unexpected.accounts", "unexpected.accounts", message="{item}"),
    )
    watched = Watched(detector(*rules))
    found = watched.look(about)
    for state in watched.states.values():
        assert state.rule.isprintable()
        assert len(state.rule) < 250
    for finding in watched.open.values():
        assert finding.message.isprintable()
        assert json.loads(json.dumps(finding.evidence)) == finding.evidence
        assert json.dumps(finding.evidence, ensure_ascii=False).encode()
    assert len(watched.open) == len(found.symptoms)
    assert watched.look(about, later(1)).change is None


moments = st.lists(
    st.tuples(
        st.integers(1, 90),
        st.sampled_from([None, 0.1, 0.95]),
        st.sampled_from([None, 0.1, 0.95]),
        st.integers(0, 300),
        st.booleans(),
    ),
    max_size=12,
)


@given(moments)
def test_what_is_open_is_remembered_and_what_is_silent_shows_no_symptom(
    story: list[tuple[int, float | None, float | None, int, bool]],
) -> None:
    watched = Watched(detector(FULL, OLD, replace(FULL, name="often", n=2, m=3, for_s=0)))
    now = NOW
    for length, one, other, silent_s, known in story:
        now += dt.timedelta(seconds=length)
        shares = {"/a": one, "/b": other}
        told = {name: {"used_share": share} if share is not None else {} for name, share in shares.items()}
        about = subject({"disks": told if known else None}, member={"since": ago(900_000)})
        heard_at = now - dt.timedelta(seconds=silent_s)
        assert about.agent is not None
        assert about.state is not None
        about = replace(
            about, agent=replace(about.agent, received_at=heard_at), state=replace(about.state, received_at=heard_at)
        )
        found = watched.look(about, now)
        firing = {symptom.key for symptom in found.symptoms}
        assert firing <= {watched.rule(one) for one in watched.open} <= set(watched.states)
        assert all(symptom.state == watched.states[symptom.key] for symptom in found.symptoms)
        if silent_s > 150 or not known:
            assert not {key for key in firing if key != "p/old"}
        # The same look again changes nothing.
        assert watched.look(about, now, fresh=False).change is None
        assert found.due is None or found.due > now
