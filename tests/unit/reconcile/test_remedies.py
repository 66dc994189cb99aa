"""What rules want done: the worst symptom's ladder, a rung at a time, behind everything that people said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container
from dataclasses import replace
from typing import Any

import pytest
from pictures import ago, ahead, aset, case, control, intent, member, node, view

from cloudmon.model.actions import GUEST_VERBS, ActionClass, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.changes import Change
from cloudmon.model.commands import FETCH_S, TERMS
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.policies import Remedy, Rule, RuleState, Symptom
from cloudmon.model.sets import Application, ControlKind, Template
from cloudmon.model.updates import Upkeep, Version
from cloudmon.reconcile import remedies
from cloudmon.reconcile.decide import Decision
from cloudmon.reconcile.picture import Inside
from cloudmon.reconcile.plan import Step, Waiting

LADDER = (Remedy("app_restart"), Remedy("reboot"), Remedy("replace"))


def symptom(  # one thing each
    *then: Remedy, rung: int = 0, retry_at: dt.datetime | None = None, severity: str = "warning", name: str = "down",
    item: str = "web", most: int = 5,
) -> Symptom:  # fmt: skip
    rule = Rule(name, "true", then=then, severity=severity, backoff_s=60, max_attempts=most)
    key = f"built-in/{name}/{item}"
    state = RuleState(member().id, "default", key, ago(30), rung=rung, retry_at=retry_at)
    return Symptom(key, rule, item, f"{item} is down", state)


def treated(
    *symptoms: Symptom, of: Any = None, takes: Container[str] = GUEST_VERBS, under_way: Any = (), heard: bool = True,
    **other: Any,
) -> Decision:  # fmt: skip
    return remedies.treat(case(of or member(), node(), **other), symptoms, under_way, takes=takes, heard=heard)


def step(decision: Decision) -> Step:
    assert isinstance(decision, Step), decision
    return decision


def climbed(decision: Decision) -> RuleState:
    change = decision.change if isinstance(decision, Step) else decision
    assert isinstance(change, Change)
    (state,) = change.rules
    assert isinstance(state, RuleState)
    return state


@pytest.mark.parametrize(
    ("rung", "verb"),
    [(0, Verb.APP_RESTART), (1, Verb.REBOOT), (2, Verb.TERMINATE), (3, Verb.TERMINATE)],
    ids=["first", "second", "third", "the last again"],
)
def test_each_try_takes_the_next_rung(rung: int, verb: Verb) -> None:
    """The last rung is tried again until the limit."""
    assert step(treated(symptom(*LADDER, rung=rung))).intent.verb is verb


@pytest.mark.parametrize(
    ("verbs", "rung", "verb"),
    [
        ({"snapshot_node"}, 0, Verb.SNAPSHOT),
        ({"snapshot_node"}, 1, Verb.QUARANTINE),
        (set(), 0, Verb.QUARANTINE),
    ],
    ids=["evidence first", "then it is put away", "where the cloud cannot it is put away at once"],
)
def test_what_is_found_bad_is_kept_as_evidence_before_it_is_put_away(verbs: set[str], rung: int, verb: Verb) -> None:
    ladder = (Remedy("snapshot"), Remedy("quarantine", {"path": "{item}"}))
    found = step(treated(symptom(*ladder, rung=rung, item="/srv/x"), view=view(node(), verbs=frozenset(verbs)))).intent
    assert found.verb is verb
    assert found.arguments == ({"path": "/srv/x"} if verb is Verb.QUARANTINE else {})
    assert ("rule" in found.evidence) is (verb is Verb.QUARANTINE)


def test_an_infected_appliance_is_replaced_by_a_clean_one_where_its_policy_says_so() -> None:
    """After the evidence is kept; the item of a rule is no application then."""
    ladder = (Remedy("snapshot"), Remedy("replace"))
    found = treated(symptom(*ladder, rung=1, item="/srv/x"))
    assert step(found).intent.verb is Verb.TERMINATE
    assert step(found).change.member["state"] is ApplianceState.REQUESTED


def test_a_rung_is_remembered_with_the_action_that_it_takes() -> None:
    """In one write: a crash cannot fall between the two."""
    decision = treated(symptom(*LADDER, rung=1))
    state = climbed(decision)
    assert state.rung == 2
    assert state.intent_id == step(decision).intent.id
    assert state.retry_at == ahead(120)


def test_a_command_says_what_it_is_for_and_how_long_it_may_take() -> None:
    """A rule that stands for each application means that application."""
    found = step(treated(symptom(*LADDER))).intent
    assert found.arguments == {"application": "web"}
    assert found.origin is Origin.OBSERVATION
    assert found.action_class is ActionClass.DISRUPTIVE
    assert found.deadline == ahead(TERMS[Verb.APP_RESTART].timeout_s + FETCH_S)


def test_arguments_name_what_the_rule_found() -> None:
    """Only the item is replaced, and an argument that is given wins."""
    asked = Remedy("process_end", {"pid": "17", "name": "{item}"})
    assert step(treated(symptom(asked, item="miner"))).intent.arguments == {"pid": "17", "name": "miner"}
    other = Remedy("app_stop", {"application": "shop"})
    assert step(treated(symptom(other))).intent.arguments == {"application": "shop"}


SITES = {"site": Application(package="nginx", version="1.0"), "nginx": Application(package="web")}
BEHIND = Version("site", "1.0", "0.9", "1.0", True)


@pytest.mark.parametrize(
    ("remedy", "each", "item", "stands", "ordered"),
    [
        (Remedy("app_update"), "declared.packages", "nginx", BEHIND,
         (Verb.APP_UPDATE, {"application": "site", "version": "1.0"})),
        (Remedy("app_update", {"restart": "yes"}), "declared.packages", "nginx", replace(BEHIND, have=""),
         (Verb.APP_INSTALL, {"application": "site", "version": "1.0", "restart": "yes"})),
        (Remedy("app_install"), "versions", "nginx", replace(BEHIND, have=""),
         (Verb.APP_INSTALL, {"application": "site", "version": "1.0"})),
        (Remedy("app_update", {"application": "{item}"}), "declared.packages", "nginx", BEHIND,
         (Verb.APP_UPDATE, {"application": "site", "version": "1.0"})),
        (Remedy("app_update", {"version": "3"}), "declared.packages", "nginx", BEHIND,
         (Verb.APP_UPDATE, {"application": "site", "version": "3"})),
        (Remedy("app_update", {"application": "site"}), "", "", BEHIND,
         (Verb.APP_UPDATE, {"application": "site", "version": "1.0"})),
        (Remedy("app_update"), "declared.packages", "nginx", replace(BEHIND, target=""),
         (Verb.APP_UPDATE, {"application": "site"})),
        (Remedy("app_update"), "declared.packages", "nginx", None, (Verb.APP_UPDATE, {"application": "site"})),
        (Remedy("app_update"), "declared.applications", "site", BEHIND,
         (Verb.APP_UPDATE, {"application": "site", "version": "1.0"})),
        (Remedy("app_restart"), "declared.packages", "nginx", replace(BEHIND, have=""),
         (Verb.APP_RESTART, {"application": "site"})),
        (Remedy("app_restart"), "declared.applications", "nginx", None,
         (Verb.APP_RESTART, {"application": "nginx"})),
        (Remedy("app_restart"), '["nginx"]', "nginx", None, (Verb.APP_RESTART, {"application": "nginx"})),
        (Remedy("app_remove"), "packages", "curl", None, (Verb.APP_REMOVE, {"application": "curl"})),
    ],
    ids=["outdated", "not installed", "not installed, and to be", "the item is named", "another one is named",
         "without items",
         "nothing on offer is known", "nothing is known", "of an application", "not updated", "named like a package",
         "from a list of names", "declared by none"],
)  # fmt: skip
def test_a_rule_about_a_package_means_the_application_that_is_installed_from_it(
    remedy: Remedy, each: str, item: str, stands: Version | None, ordered: tuple[Verb, dict[str, str]]
) -> None:
    """In the version that is wanted; names of both may be mixed up."""
    template = Template("web", {"*": "image-1"}, applications=SITES)
    of = symptom(remedy, item=item)
    told = Upkeep(1, (stands,)) if stands is not None else None
    found = step(treated(replace(of, rule=replace(of.rule, each=each), upkeep=told), aset=aset(template=template)))
    assert (found.intent.verb, found.intent.arguments) == ordered


def test_of_several_applications_from_one_package_the_one_behind_is_meant() -> None:
    sites = {"a": Application(package="nginx"), "b": Application(package="nginx", version="1.0")}
    of = symptom(Remedy("app_update"), item="nginx")
    told = Upkeep(1, (Version("a"), replace(BEHIND, application="b")))
    template = Template("web", {"*": "image-1"}, applications=sites)
    found = step(treated(replace(of, upkeep=told), aset=aset(template=template)))
    assert found.intent.arguments == {"application": "b", "version": "1.0"}


def test_the_worst_symptom_is_treated_first() -> None:
    """One action an appliance a tick."""
    mild = symptom(Remedy("app_restart"), severity="info", name="a")
    bad = symptom(Remedy("app_stop"), severity="critical", name="z")
    assert step(treated(mild, bad)).intent.verb is Verb.APP_STOP


def test_behind_what_may_be_held_stands_what_does_less_harm() -> None:
    tidy = Remedy("job_run", {"job": "tidy"})
    found = step(
        treated(
            symptom(Remedy("replace"), name="a", severity="critical"),
            symptom(Remedy("replace"), name="b"),
            symptom(Remedy("app_restart"), name="c"),
            symptom(tidy, name="full", severity="info", item=""),
        )
    )
    verbs = []
    one: Step | None = found
    while one is not None:
        verbs.append((one.intent.verb, climbed(one).rule))
        one = one.otherwise
    assert verbs == [
        (Verb.TERMINATE, "built-in/a/web"), (Verb.APP_RESTART, "built-in/c/web"), (Verb.JOB_RUN, "built-in/full/"),
    ]  # fmt: skip
    assert step(treated(symptom(tidy, name="full", item=""), symptom(Remedy("replace"), name="z"))).otherwise is None


def test_a_ladder_that_waits_does_not_keep_a_milder_symptom_from_its_own() -> None:
    """Patience with the one is no neglect of the other."""
    waiting = symptom(Remedy("app_stop"), severity="critical", retry_at=ahead(60))
    assert step(treated(waiting, symptom(Remedy("app_restart"), severity="info"))).intent.verb is Verb.APP_RESTART


def test_what_was_done_has_time_to_show_itself() -> None:
    """Backed off: nothing before the instant, something at it."""
    found = treated(symptom(*LADDER, rung=1, retry_at=ahead(1)))
    assert isinstance(found, Waiting)
    assert found.until == ahead(1)
    assert step(treated(symptom(*LADDER, rung=1, retry_at=ago(0)))).intent.verb is Verb.REBOOT


def test_without_an_agent_what_it_would_do_is_no_rung() -> None:
    """The next one that can be done is taken."""
    assert step(treated(symptom(*LADDER), takes=())).intent.verb is Verb.REBOOT


def test_what_its_agent_does_not_perform_is_no_rung() -> None:
    """An agent that only reports is no reason to wait for what it never does."""
    ladder = (Remedy("report_now"), *LADDER)
    assert step(treated(symptom(*LADDER), takes=("report_now",))).intent.verb is Verb.REBOOT
    assert step(treated(symptom(*ladder), takes=("report_now",))).intent.verb is Verb.REPORT_NOW
    assert step(treated(symptom(*ladder, rung=1), takes=("report_now",))).intent.verb is Verb.REBOOT


def test_what_is_taken_follows_from_who_is_heard_and_what_he_performs() -> None:
    """Of an agent that is not heard nothing is expected, whatever it performs."""
    one, other, silent = (member(ordinal=n).id for n in (1, 2, 3))
    inside = Inside(heard={one, other}, abilities={other: ("report_now",), silent: ("report_now",)}.get)
    assert inside.takes(one) == GUEST_VERBS
    assert inside.takes(other) == ("report_now",)
    assert inside.takes(silent) == ()


def test_a_ladder_that_ends_opens_one_incident_and_then_waits() -> None:
    """Every repetition is limited."""
    spent = symptom(*LADDER, rung=5)
    change = treated(spent)
    assert isinstance(change, Change)
    (found,) = change.findings
    assert isinstance(found, Finding)
    assert found.kind is FindingKind.INCIDENT
    assert found.subject.endswith(":built-in/down/web")
    again = treated(spent, findings={(found.kind, found.subject): found})
    assert isinstance(again, Waiting)


def test_nothing_that_can_be_done_is_an_incident_at_once() -> None:
    """Silence would be taken for patience."""
    change = treated(symptom(Remedy("app_restart")), takes=())
    assert isinstance(change, Change)
    assert "nothing on its ladder" in change.findings[0].message  # type: ignore[union-attr]


def test_a_rule_without_a_ladder_only_shows() -> None:
    """Its finding is open; nothing is done and nothing is waited for."""
    assert treated(symptom()) is None


@pytest.mark.parametrize("kind", [ControlKind.PAUSE, ControlKind.MAINTENANCE], ids=["paused", "in maintenance"])
def test_people_come_first(kind: ControlKind) -> None:
    """What they laid on an appliance holds its ladders, and says whose it is."""
    found = treated(symptom(*LADDER), aset=aset(controls=(control(kind),)))
    assert isinstance(found, Waiting)
    assert control(kind).owner in found.reason


def test_a_protected_appliance_is_not_replaced() -> None:
    """The rungs below stay."""
    protected = aset(controls=(control(ControlKind.PROTECT),))
    assert isinstance(treated(symptom(*LADDER, rung=2), aset=protected), Waiting)
    assert step(treated(symptom(*LADDER, rung=1), aset=protected)).intent.verb is Verb.REBOOT


def test_one_action_at_a_time() -> None:
    """Neither beside an order to its node nor beside a command."""
    assert treated(symptom(*LADDER), intent=intent(Verb.REBOOT, IntentState.PERFORMED)) is None
    command = replace(intent(Verb.APP_RESTART, IntentState.RECORDED))
    assert isinstance(treated(symptom(*LADDER), under_way=(command,)), Waiting)


def test_a_node_need_not_wait_for_what_its_silent_agent_was_to_do() -> None:
    command = replace(intent(Verb.SCAN, IntentState.RECORDED))
    found = step(treated(symptom(*LADDER), under_way=(command,), takes=(), heard=False))
    assert found.intent.verb is Verb.REBOOT


BY_CLOUD = {"by": "cloud", "command": "c-1"}


@pytest.mark.parametrize(
    ("state", "result", "heard", "waits"),
    [
        (IntentState.RECORDED, {}, True, True),
        (IntentState.PERFORMED, {}, True, True),
        (IntentState.PERFORMED, {}, False, False),
        (IntentState.RECORDED, {}, False, True),
        (IntentState.PERFORMED, BY_CLOUD, False, True),
        (IntentState.PERFORMED, BY_CLOUD, True, True),
    ],
    ids=["its agent is to fetch it", "its agent is at it", "it fell silent over it", "its cloud is to begin it",
         "its cloud is at it", "its cloud is at it though its agent is back"],
)  # fmt: skip
def test_a_job_holds_a_reboot_up_while_somebody_is_at_it(
    state: IntentState, result: dict[str, object], heard: bool, waits: bool
) -> None:
    """Its cloud runs jobs, which it does not take over from an agent that had them."""
    job = replace(intent(Verb.JOB_RUN, state), result=result)
    found = treated(symptom(Remedy("reboot")), under_way=(job,), takes=("job_run",), heard=heard)
    assert isinstance(found, Waiting) is waits
    assert waits or step(found).intent.verb is Verb.REBOOT


@pytest.mark.parametrize(
    "of",
    [
        member(state=ApplianceState.STOPPED),
        member(state=ApplianceState.FAULTED),
        member(wanted=Power.STOPPED),
        member(state=ApplianceState.ISOLATED, wanted=Power.ISOLATED),
        member(retry_at=ahead(5)),
    ],
    ids=["stopped", "faulted", "wanted off", "isolated", "just rebooted"],
)
def test_an_appliance_whose_node_is_not_well_is_not_treated(of: Any) -> None:
    """The node's own ladder comes first."""
    assert treated(symptom(*LADDER), of=of) is None


@pytest.mark.parametrize(
    ("remedy", "verbs", "verb", "wanted"),
    [
        pytest.param("stop", {"stop_node"}, Verb.STOP, Power.STOPPED, id="stopped"),
        pytest.param("isolate", {"stop_node", "isolate_node"}, Verb.ISOLATE, Power.ISOLATED, id="isolated"),
        pytest.param(
            "suspend", {"isolate_node"}, Verb.ISOLATE, Power.SUSPENDED, id="isolated in place of a suspension"
        ),
    ],
)
def test_what_a_rule_puts_out_of_service_is_kept_so(remedy: str, verbs: set[str], verb: Verb, wanted: Power) -> None:
    """The appliance is wanted so from now on: the node's ladder would start it again otherwise. It is an action of the
    rule's, and so under the breakers."""
    found = step(treated(symptom(Remedy(remedy)), view=view(node(), verbs=frozenset(verbs))))
    assert (found.intent.verb, found.intent.origin) == (verb, Origin.OBSERVATION)
    assert found.intent.action_class is ActionClass.DISRUPTIVE
    assert found.change.member["wanted"] is wanted
    assert climbed(found).rung == 1


def test_where_the_cloud_cannot_isolate_the_next_rung_is_taken() -> None:
    found = treated(symptom(Remedy("isolate"), Remedy("stop")), view=view(node(), verbs=frozenset({"stop_node"})))
    assert step(found).intent.verb is Verb.STOP


def test_nothing_is_due_without_symptoms() -> None:
    """And nothing is waited for."""
    assert treated() is None


def test_a_rule_that_stands_for_each_account_means_that_account() -> None:
    found = treated(symptom(Remedy("account_revoke"), item="eve"))
    assert isinstance(found, Step)
    assert (found.intent.verb, found.intent.arguments) == (Verb.ACCOUNT_REVOKE, {"user": "eve"})
