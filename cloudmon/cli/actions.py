"""``cloudmon actions`` and ``cloudmon incidents``: what was done, and what could not be."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Since, Tenant
from cloudmon.cli.output import Column

COLUMNS = (
    Column("id", "ID", table=False),
    Column("created_at", "WHEN"),
    Column("appliance", "APPLIANCE", lambda row: str(row["appliance"] or f"{row['cloud']}:{row['node']}")),
    Column("tenant", "TENANT", table=False),
    Column("verb", "ACTION"),
    Column("class", "CLASS"),
    Column("origin", "ORIGIN"),
    Column("incarnation", "INC", right=True),
    Column("cloud", "CLOUD"),
    Column("node", "NODE", table=False),
    Column("offer", "OFFER", table=False),
    Column("state", "STATE"),
    Column("reason", "REASON"),
    Column("attempts", "TRIES", right=True),
    Column("retry_at", "AGAIN AT", table=False),
    Column("ended_at", "ENDED"),
    Column("error", "ERROR"),
    Column("request", "REQUEST", table=False),
    Column("arguments", "ARGUMENTS", table=False),
    Column("result", "RESULT", table=False),
    Column("evidence", "EVIDENCE", table=False),
)
INCIDENTS = (
    Column("opened_at", "SINCE"),
    Column("subject", "SUBJECT"),
    Column("tenant", "TENANT", table=False),
    Column("severity", "SEVERITY"),
    Column("message", "WHAT AND WHAT TO DO"),
    Column("evidence", "EVIDENCE", table=False),
)


def actions(  # one option each
    target: Annotated[
        str | None, typer.Argument(help="A set, or one appliance (storefront/3); all if left out.", show_default=False)
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 50,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show control actions, newest last: why each was taken, and how it ended. JSON and CSV have what each was told
    and what it said: a job's exit and output, a scan's files."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        start = opening.when(since, at.now, option="--since")
        if target is not None:
            named = opening.find(at.store, at.scope, target)
            found = at.store.intents.of(at.scope, named.aset.uid, named.ordinal, None if start else limit)
        elif start is not None:
            found = at.store.intents.recent(at.scope, start)[::-1]
        else:
            found = at.store.intents.latest(at.scope, limit)
        chosen = [intent for intent in found if start is None or intent.created_at >= start][:limit]
        rows = [
            {
                "id": intent.id,
                "created_at": intent.created_at,
                "appliance": names.appliance(intent.appliance),
                "tenant": intent.tenant,
                "verb": intent.verb,
                "class": intent.action_class,
                "origin": intent.origin,
                "incarnation": intent.incarnation,
                "cloud": intent.cloud,
                "node": intent.node_id,
                "offer": intent.offer,
                "state": intent.state,
                "reason": intent.reason,
                "attempts": intent.attempts,
                "retry_at": intent.retry_at,
                "ended_at": intent.ended_at,
                "error": intent.error,
                "request": intent.request_id,
                "arguments": intent.arguments,
                "result": intent.result,
                "evidence": intent.evidence,
            }
            for intent in reversed(chosen)
        ]
    output.emit(rows, COLUMNS, form, empty="no actions")


def incidents(config: Config = None, tenant: Tenant = None, form: Output = Format.TABLE) -> None:
    """Show what could not be brought to its end and stays open until somebody or something ends it."""
    from cloudmon.cli import opening
    from cloudmon.model.findings import FindingKind
    from cloudmon.reconcile.putback import STORE

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        rows: list[output.Row] = [
            {
                "opened_at": finding.opened_at,
                "subject": names.subject(finding.subject),
                "tenant": finding.tenant,
                "severity": finding.severity,
                "message": finding.message,
                "evidence": finding.evidence,
            }
            for finding in at.store.findings.open(at.scope)
            if finding.kind is FindingKind.INCIDENT or finding.subject == STORE
        ]
        told = {row["subject"] for row in rows}
        rows += [
            {
                "opened_at": intent.created_at,
                "subject": names.appliance(intent.appliance) or f"{intent.cloud}:{intent.node_id}",
                "tenant": intent.tenant,
                "severity": "critical",
                "message": f"{intent.verb} did not come to its end: {intent.error or intent.reason}",
                "evidence": {"intent": intent.id, **intent.evidence},
            }
            for intent in at.store.intents.incidents(at.scope)
            if not told & {f"intent:{intent.id}", names.appliance(intent.appliance)}
        ]
    output.emit(rows, INCIDENTS, form, empty="no incidents")
