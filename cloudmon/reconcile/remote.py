"""Commands that a cloud performs inside an appliance: what it is to run, and what is written on the way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Mapping, Sequence

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState, LogEntry, Verb
from cloudmon.model.changes import Change, IntentUpdate
from cloudmon.model.commands import TERMS
from cloudmon.model.identity import ApplianceId
from cloudmon.model.nodes import CommandResult
from cloudmon.model.sets import Application, Template
from cloudmon.reconcile.picture import CloudView, Estate

Argvs = Sequence[Sequence[str]]
"""Programs with their arguments, run one after another; the last one's exit is what counts."""

BY_CLOUD = "cloud"

MOST_OUTPUT = 16_384
"""Characters of output that are kept: the last, as of agents."""


def argvs(intent: Intent, template: Template | None) -> Argvs:
    """What is to be run for a command; empty where the template does not say, and where only an agent can."""
    return programs(intent.verb, intent.arguments, template) if template is not None else ()


def programs(verb: Verb, arguments: Mapping[str, str], template: Template) -> Argvs:
    """As :func:`argvs`, of a command that is not written down yet."""
    if verb is Verb.JOB_RUN:
        job = template.jobs.get(arguments.get("job", ""))
        return (job.argv,) if job is not None else ()
    application = template.applications.get(arguments.get("application", ""))
    return _worked(verb, application) if application is not None else ()


def _worked(verb: Verb, application: Application) -> Argvs:
    if verb is Verb.APP_RESTART and application.service:
        return (("systemctl", "restart", application.service),)
    if verb is Verb.APP_RESTART and application.start and application.stop:
        return (application.stop, application.start)
    if verb is Verb.APP_STOP and application.service:
        return (("systemctl", "stop", application.service),)
    if verb is Verb.APP_STOP and application.stop:
        return (application.stop,)
    return ()


def verbs(template: Template) -> frozenset[str]:
    """Verbs of commands that a cloud can perform in appliances of this template."""
    found = {Verb.JOB_RUN.value} if template.jobs else set()
    for application in template.applications.values():
        found |= {verb.value for verb in (Verb.APP_RESTART, Verb.APP_STOP) if _worked(verb, application)}
    return frozenset(found)


def timeout_s(intent: Intent, template: Template | None) -> float:
    """Seconds after which what runs is to be ended."""
    job = template.jobs.get(intent.arguments.get("job", "")) if template is not None else None
    return float(job.timeout_s) if job is not None and intent.verb is Verb.JOB_RUN else TERMS[intent.verb].timeout_s


def takes(
    estate: Estate, views: Mapping[str, CloudView], appliances: Container[ApplianceId]
) -> dict[ApplianceId, frozenset[str]]:
    """By appliance, of those that are asked about: verbs of commands that its cloud can perform in it."""
    able = {cloud for cloud, view in views.items() if "start_command" in view.verbs}
    if not able:
        return {}
    return {
        member.id: verbs(estate.sets[member.set_uid].spec.template)
        for member in estate.members
        if member.cloud in able and member.id in appliances and member.set_uid in estate.sets
    }


# --- what is written --------------------------------------------------------------------------------------------------


def by_cloud(intent: Intent) -> bool:
    """Whether it was handed to its cloud, and is no agent's any more."""
    return intent.result.get("by") == BY_CLOUD


def command_of(intent: Intent) -> str:
    """The cloud's id of what runs; empty before the cloud took it, and after the result."""
    open_now = intent.state is IntentState.PERFORMED and by_cloud(intent)
    return str(intent.result.get("command", "")) if open_now else ""


def handed(intent: Intent, now: dt.datetime) -> Change:
    """It is about to be handed over, once and never again."""
    return _change(
        intent,
        IntentUpdate(
            intent.id,
            frozenset({IntentState.RECORDED}),
            IntentState.PERFORMED,
            {"attempts": intent.attempts + 1, "result": {"by": BY_CLOUD}},
        ),
        _entry(intent, "intent.performed", now, by=BY_CLOUD),
    )


def begun(intent: Intent, node_id: str, command_id: str, now: dt.datetime) -> Change:
    """The cloud took it."""
    result = {"by": BY_CLOUD, "command": command_id, "node": node_id}
    update = IntentUpdate(intent.id, frozenset({IntentState.PERFORMED}), IntentState.PERFORMED, {"result": result})
    return _change(intent, update, _entry(intent, "intent.begun", now, command=command_id))


def refused(intent: Intent, error: str, now: dt.datetime, *, sure: bool) -> Change:
    """The cloud did not take it; unless that is sure, it stays open until its deadline, and not known."""
    if sure:
        values: dict[str, object] = {"ended_at": now, "error": error}
        update = IntentUpdate(intent.id, OPEN_INTENTS, IntentState.FAILED, values)
        return _change(intent, update, _entry(intent, "intent.failed", now, error=error))
    update = IntentUpdate(intent.id, frozenset({IntentState.PERFORMED}), IntentState.PERFORMED, {"error": error})
    return _change(intent, update, _entry(intent, "intent.unanswered", now, error=error))


def ended(intent: Intent, result: CommandResult, now: dt.datetime) -> Change:
    """What it came to."""
    well = result.exit == 0 and not result.error
    error = result.error or ("" if well else f"it ended with exit code {result.exit}")
    output = result.output[-MOST_OUTPUT:]
    told: dict[str, object] = {"by": BY_CLOUD, "output": output, "error": error, "ended_at": now.isoformat()}
    if result.exit is not None:
        told["exit"] = result.exit
    state = IntentState.DONE if well else IntentState.FAILED
    update = IntentUpdate(intent.id, OPEN_INTENTS, state, {"ended_at": now, "error": error, "result": told})
    return _change(intent, update, _entry(intent, f"intent.{state}", now, exit=result.exit, error=error))


def _change(intent: Intent, update: IntentUpdate, entry: LogEntry) -> Change:
    return Change(tenant=intent.tenant, appliance=intent.appliance, intents=(update,), log=(entry,))


def _entry(intent: Intent, kind: str, now: dt.datetime, **body: object) -> LogEntry:
    uid, ordinal = intent.appliance
    about = {"verb": intent.verb.value, "ordinal": ordinal, "incarnation": intent.incarnation}
    return LogEntry(uid, now, kind, intent.id, {**about, **body})
