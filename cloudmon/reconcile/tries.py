"""Tries of a termination: never given up, but after so many of them an open incident, and tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cloudmon.model.actions import Intent, IntentState, LogEntry
from cloudmon.model.changes import FindingEnd, IntentUpdate
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.reconcile import case as cases
from cloudmon.reconcile.picture import Moment

INCIDENT_AFTER = 5
"""Tries of one termination before it is an incident; the tries go on."""


@dataclass(frozen=True, slots=True)
class Try:
    """One more try of a termination."""

    intent: Intent
    """As it stands once the try is recorded."""
    update: IntentUpdate
    findings: tuple[Finding, ...]
    log: tuple[LogEntry, ...]


def again(
    intent: Intent, moment: Moment, opened: Mapping[tuple[FindingKind, str], Finding], *, chain: str, message: str
) -> Try:
    """Try it once more, and say that it is an incident when it does not come to its end.

    Arguments:
        intent: an open one.
        moment: the tick.
        opened: all open findings.
        chain: of the log.
        message: what does not end, for people.
    """
    update = cases.retried(intent, moment)
    if intent.attempts + 1 < INCIDENT_AFTER:
        return Try(replace(intent, state=update.state, epoch=moment.epoch), update, (), ())
    update = replace(update, state=IntentState.INCIDENT)
    told = {"verb": intent.verb.value, "cloud": intent.cloud, "node": intent.node_id, "error": intent.error}
    evidence = {"incarnation": intent.incarnation, **told}
    said = Finding(
        FindingKind.INCIDENT, _subject(intent), intent.tenant, "critical", message, evidence, moment.now
    )  # fmt: skip
    body = {"ordinal": intent.appliance.ordinal, "message": message, **evidence}
    entry = LogEntry(chain, moment.now, "intent.incident", intent.id, body)
    return Try(
        replace(intent, state=update.state, epoch=moment.epoch),
        update,
        () if (said.kind, said.subject) in opened else (said,),
        () if intent.state is IntentState.INCIDENT else (entry,),
    )


def ended(intent: Intent) -> FindingEnd:
    """The incident about a termination has ended, if there was one."""
    return FindingEnd(FindingKind.INCIDENT, _subject(intent))


def accepted(intent: Intent) -> bool:
    """Whether the cloud took the last try, so that its effect is to be seen. An incident stays one, and says so by
    having neither an error nor a time to try again."""
    if intent.state is IntentState.INCIDENT:
        return not intent.error and intent.retry_at is None
    return intent.state is IntentState.PERFORMED


def _subject(intent: Intent) -> str:
    return f"intent:{intent.id}"
