"""What rules want done for one appliance: the ladder of the worst symptom, a rung at a time.

It comes after everything that ``decide`` finds due for the node itself: what is found inside an appliance is treated
while its node is there and well.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from cloudmon.model.actions import GUEST_VERBS, ActionClass, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Power
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.policies import Remedy, RuleState, Symptom
from cloudmon.model.sets import ControlKind, Template
from cloudmon.reconcile import accounts, commands, decide, power, remote
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.case import Case
from cloudmon.reconcile.decide import Decision
from cloudmon.reconcile.picture import CloudView
from cloudmon.reconcile.plan import Step, Waiting

SEVERITIES = ("critical", "warning", "info")
"""Worst first."""

HARM = (ActionClass.SAFE, ActionClass.DISRUPTIVE, ActionClass.DESTRUCTIVE)
"""Least first."""

NOTIFY = "notify"
"""A rung that tells somebody, see :mod:`cloudmon.reconcile.calling`: not an action, and not counted as one."""
POWER: Mapping[str, Power] = {"stop": Power.STOPPED, "suspend": Power.SUSPENDED, "isolate": Power.ISOLATED}
"""Remedies that change what the appliance is wanted to be, and so are kept."""
_OF_PACKAGES = re.compile(r"\b(packages|versions)\b")
"""In the list that a rule stands for the items of: they are packages."""


def treat(  # one thing each, named by the caller
    case: Case,
    symptoms: Sequence[Symptom],
    under_way: Sequence[Intent],
    *,
    takes: Container[str],
    heard: bool,
) -> Decision:
    """What is due because of what was found in the appliance.

    Arguments:
        case: the appliance; ``decide`` found nothing due for it.
        symptoms: the rules that fire for it now.
        under_way: actions inside it that have not come to their end.
        takes: verbs of commands that the agent of its present incarnation takes now, or else its cloud.
        heard: whether it is that agent.
    """
    member, now = case.member, case.now
    if not symptoms or member.state is not ApplianceState.RUNNING or member.wanted is not Power.RUNNING:
        return None
    if case.intent is not None or case.aset.retiring_since is not None:
        return None
    # Something was done to its node just now, which has time to show itself.
    if member.retry_at is not None and now < member.retry_at:
        return None
    # People come first: what they have laid on it, and what they have just asked for.
    for kind in (ControlKind.PAUSE, ControlKind.MAINTENANCE):
        control = case.aset.control(kind, member.ordinal, now)
        if control is not None:
            why, until = f"{symptoms[0].message}; held by {kind} of {control.owner}", control.until
            return Waiting(case.subject, why, until, rule=symptoms[0].key, lasts=True)
    # What an agent that fell silent was to do holds nothing up: a boot may be what it needs.
    awaited = [one for one in under_way if _awaited(one, takes=takes, heard=heard)]
    if awaited:
        whose = next((one.key for one in symptoms if one.state.intent_id == awaited[0].id), "")
        return Waiting(case.subject, f"{awaited[0].verb} is on its way inside it", awaited[0].deadline, rule=whose)
    worst_first = sorted(symptoms, key=lambda one: (SEVERITIES.index(one.rule.severity), one.key))
    return _first(_ruled(_rung(case, symptom, takes=takes), symptom) for symptom in worst_first)


def _ruled(decision: Decision, symptom: Symptom) -> Decision:
    """The decision; one that waits says for which rule."""
    return replace(decision, rule=symptom.key) if isinstance(decision, Waiting) else decision


def _first(rungs: Iterable[Decision]) -> Decision:
    """The first that is due. A ladder that waits does not keep a milder symptom from its own, nor does one that a
    breaker holds: behind it stands the first that does less harm."""
    waiting: Decision = None
    due: list[Step] = []
    for found in rungs:
        if isinstance(found, Step):
            if not due or HARM.index(found.intent.action_class) < HARM.index(due[-1].intent.action_class):
                due.append(found)
        elif found is not None and not isinstance(found, Waiting):
            if not due:
                return found
        else:
            waiting = waiting or found
    chosen: Step | None = None
    for step in reversed(due):
        chosen = replace(step, otherwise=chosen)
    return chosen or waiting


def _awaited(command: Intent, *, takes: Container[str], heard: bool) -> bool:
    """Whether somebody is at work on a command, or is about to be."""
    if remote.by_cloud(command):
        return True
    # What an agent fetched before it fell silent no cloud takes over.
    return command.verb.value in takes and (heard or command.state is IntentState.RECORDED)


def _rung(case: Case, symptom: Symptom, *, takes: Container[str]) -> Decision:
    rule, state = symptom.rule, symptom.state
    if not rule.then:
        return None
    if state.retry_at is not None and case.now < state.retry_at:
        return Waiting(case.subject, f"{symptom.message}: what was done has time to show itself", state.retry_at)
    # What cannot be done here is no rung here.
    possible = [remedy for remedy in rule.then if able(remedy, case.view, takes=takes)]
    acting = [remedy for remedy in possible if remedy.verb != NOTIFY]
    told = sum(1 for remedy in possible[: state.rung] if remedy.verb == NOTIFY)
    # Telling somebody is all that its rule wants, and is done apart.
    if possible and not acting:
        return None
    if state.rung - told >= rule.max_attempts:
        return _stuck(case, symptom, f"{state.rung - told} actions did not end it")
    if not acting:
        return _stuck(case, symptom, "nothing on its ladder can be done for it")
    # The last one that does something is tried again until the limit.
    remedy = acting[min(state.rung - told, len(acting) - 1)]
    why = f"{symptom.key}: {symptom.message}; rung {state.rung + 1}, {remedy.verb}"
    if remedy.verb == "replace" and case.control(ControlKind.PROTECT):
        return Waiting(case.subject, f"{symptom.message}; it is protected and is not replaced", None, lasts=True)
    if remedy.verb == "replace":
        ended = decide.end(case, ApplianceState.REQUESTED, why, Origin.OBSERVATION, ActionClass.DESTRUCTIVE)
        return _climbing(ended, case, symptom)
    if remedy.verb in POWER:
        return _climbing(_brought(case, POWER[remedy.verb], why), case, symptom)
    verb = Verb(remedy.verb)
    if verb in GUEST_VERBS:
        verb, arguments = _versioned(verb, _arguments(remedy, symptom, case.aset.spec.template), symptom)
        if verb is Verb.ACCOUNT_GRANT:
            access = accounts.wanted(case.aset, case.now).get(symptom.item)
            # Taken back meanwhile: the next look finds that nothing is wanted.
            if access is None:
                return None
            arguments = {"user": symptom.item, "key": "\n".join(access.keys), "rights": ",".join(access.rights)}
        opened = commands.opened(case, verb, arguments, Origin.OBSERVATION, why)
        return _climbing(_proven(opened, symptom) if verb is Verb.QUARANTINE else opened, case, symptom)
    return _climbing(decide.step(case, verb, Origin.OBSERVATION, why), case, symptom)


def _proven(step: Step, symptom: Symptom) -> Step:
    """The step with what it was decided by: the finding may have ended when somebody asks, or looks for more of it."""
    evidence = {"rule": symptom.key, "since": symptom.state.since.isoformat(), "facts": dict(symptom.facts)}
    intent = replace(step.intent, evidence={**step.intent.evidence, **evidence})
    return replace(step, intent=intent, change=replace(step.change, opens_intent=intent))


def able(remedy: Remedy, view: CloudView | None, *, takes: Container[str]) -> bool:
    """Whether a remedy can be tried at all.

    Arguments:
        view: of the cloud that the appliance's node is in.
        takes: verbs of commands that the agent of its present incarnation takes now.
    """
    if remedy.verb == Verb.ISOLATE:
        return view is not None and "isolate_node" in view.verbs
    if remedy.verb in ("replace", NOTIFY, *POWER):
        return True
    verb = Verb(remedy.verb)
    if verb in GUEST_VERBS:
        return verb.value in takes
    return view is not None and f"{verb}_node" in view.verbs


def _versioned(verb: Verb, arguments: dict[str, str], symptom: Symptom) -> tuple[Verb, dict[str, str]]:
    """The same, of an application with a wanted version: that one, and installed where there is none to update."""
    stands = symptom.upkeep.of(arguments.get("application", "")) if symptom.upkeep is not None else None
    if stands is None or verb not in (Verb.APP_INSTALL, Verb.APP_UPDATE):
        return verb, arguments
    version = {"version": stands.target} if stands.target else {}
    return Verb.APP_INSTALL if stands.absent else verb, {**version, **arguments}


def _arguments(remedy: Remedy, symptom: Symptom, template: Template) -> dict[str, str]:
    found = {name: value.replace("{item}", symptom.item) for name, value in remedy.arguments.items()}
    # A rule that stands for each application or package, or for each account, means that one.
    if remedy.verb.startswith("app_") and symptom.item and remedy.arguments.get("application", "{item}") == "{item}":
        found["application"] = _application(symptom, template)
    if remedy.verb == Verb.ACCOUNT_REVOKE and symptom.item:
        found.setdefault("user", symptom.item)
    return found


def _application(symptom: Symptom, template: Template) -> str:
    """The application that a rule's item stands for: where that is a package, one that is installed from it, and among
    several one that is behind."""
    item, applications = symptom.item, template.applications
    if item in applications and not _OF_PACKAGES.search(symptom.rule.each):
        return item
    stands = symptom.upkeep
    of_package = [name for name, one in applications.items() if one.package == item]
    behind = (name for name in of_package if stands is not None and (one := stands.of(name)) and one.outdated)
    return next(behind, next(iter(of_package), item))


def _brought(case: Case, wanted: Power, why: str) -> Decision:
    """The order that brings it there, under the breakers like any other; in the same write, what it is wanted to be
    from now on: else its node's own ladder would take it back."""
    member = case.member
    order = power.down(replace(case, member=member._replace(wanted=wanted)))
    if order is None:
        return None
    found = decide.step(case, order.verb, Origin.OBSERVATION, why + order.remark, fallback=order.fallback)
    if not isinstance(found, Step):
        return found
    kept = {**found.change.member, "wanted": wanted, "attempts": 0, "retry_at": None}
    said = cases.log(case, "appliance.wanted", f"{member.ordinal}", wanted=wanted.value, reason=why)
    return replace(found, change=replace(found.change, member=kept, log=(said, *found.change.log)))


def _climbing(decision: Decision, case: Case, symptom: Symptom) -> Decision:
    """The decision, with the rung that it takes remembered in the same write."""
    if not isinstance(decision, Step | Change):
        return decision
    state, rule = symptom.state, symptom.rule
    pause = dt.timedelta(seconds=rule.backoff_s * 2 ** min(state.rung, 10))
    change = decision.change if isinstance(decision, Step) else decision
    climbed: RuleState = replace(
        state,
        rung=state.rung + 1,
        retry_at=case.now + pause,
        intent_id=change.opens_intent.id if change.opens_intent is not None else state.intent_id,
    )
    change = replace(change, rules=(*change.rules, climbed))
    return replace(decision, change=change) if isinstance(decision, Step) else change


def _stuck(case: Case, symptom: Symptom, why: str) -> Decision:
    """Nothing more is tried; an open incident says so until the condition ends or somebody acts."""
    subject = f"{case.subject}:{symptom.key}"
    if (FindingKind.INCIDENT, subject) in case.findings:
        return Waiting(case.subject, f"an incident is open: {symptom.message}", None, lasts=True)
    message = f"{case.aset.name}/{case.member.ordinal}: {symptom.message}; {why}"
    evidence = {"incarnation": case.member.incarnation, "rule": symptom.key, "intent": symptom.state.intent_id}
    finding = Finding(FindingKind.INCIDENT, subject, case.member.tenant, "critical", message, evidence, case.now)
    return Change(
        tenant=case.member.tenant,
        appliance=case.member.id,
        findings=(finding,),
        log=(cases.log(case, "incident.opened", f"{case.member.ordinal}", message=message),),
    )
