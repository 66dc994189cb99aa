"""``cloudmon notifications`` and ``cloudmon notify``: what was told to whom, and whether it arrives."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, How, Output, Since, Tenant, asks
from cloudmon.cli.output import Column, Row
from cloudmon.errors import RequestRefused
from cloudmon.model.messages import Delivery, DeliveryState

COLUMNS = (
    Column("created_at", "AT"),
    Column("notifier", "NOTIFIER"),
    Column("state", "STATE"),
    Column("attempts", "TRIES", right=True),
    Column("event", "EVENT"),
    Column("title", "TITLE"),
    Column("error", "ERROR"),
    Column("next_at", "NEXT TRY"),
    Column("id", "ID", table=False),
    Column("severity", "SEVERITY", table=False),
    Column("subject", "SUBJECT", table=False),
    Column("tenant", "TENANT", table=False),
    Column("ended_at", "ENDED", table=False),
    Column("body", "BODY", table=False),
)
KINDS = (
    Column("name", "NOTIFIER"),
    Column("kind", "KIND"),
    Column("severity", "FROM"),
    Column("findings", "FINDINGS", lambda row: output.shown(row["findings"]) or "all"),
    Column("sets", "SETS"),
    Column("tenants", "TENANTS"),
    Column("pending", "PENDING", right=True),
)

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """List those who are told of findings, and send them test messages."""


def notifications(  # noqa: PLR0913  # one option each
    notifier: Annotated[str, typer.Option("--notifier", "-n", help="Only this one's.", show_default=False)] = "",
    state: Annotated[
        DeliveryState | None, typer.Option("--state", help="Only those that stand so.", show_default=False)
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1)] = 100,
    tenant: Tenant = None,
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what was told to whom, newest first: what was taken, what is tried still, and what was given up."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        found = at.store.messages.deliveries(
            at.scope,
            notifier=notifier,
            state=state,
            since=opening.when(since, at.now, option="--since"),
            limit=limit,
        )
    output.emit([_row(one) for one in found], COLUMNS, form, empty="nothing was told to anybody")


@app.command("list")
def listing(config: Config = None, form: Output = Format.TABLE) -> None:
    """Show who is told of what, and how much waits for them."""
    from cloudmon.cli import opening

    with opening.opened(config) as at:
        counts = at.store.messages.unfinished(at.scope)
        rows = [
            {
                "name": name,
                "kind": one.kind,
                "severity": one.severity,
                "findings": [str(kind) for kind in one.findings],
                "sets": list(one.sets),
                "tenants": list(one.tenants),
                "pending": counts.get(name, 0),
            }
            for name, one in at.settings.notify.items()
        ]
    output.emit(rows, KINDS, form, empty="nobody is told of anything; [notify.<name>] in the settings names somebody")


@app.command("test")
@asks("1m", tenants=False)
def trial(
    name: Annotated[str, typer.Argument(help="A notifier, as the settings name it.")],
    *,
    how: How,
) -> None:
    """Send a test message, and say what came of it. It is tried once, by the monitor that runs, or by this command."""
    from cloudmon.cli import asking, opening
    from cloudmon.model.identity import DEFAULT_TENANT
    from cloudmon.model.requests import RequestVerb
    from cloudmon.plugins import nearest
    from cloudmon.settings import load

    known = list(load(opening.settings_path(how.config)).notify)
    if name not in known:
        raise RequestRefused(f"there is no notifier named {name}{nearest(name, known)}")
    wish = asking.Wish(RequestVerb.NOTIFY, name, DEFAULT_TENANT, "to see whether it arrives")
    asking.ask(how, lambda _: wish)


def _row(delivery: Delivery) -> Row:
    pending = delivery.state is DeliveryState.PENDING
    return {
        "created_at": delivery.created_at,
        "notifier": delivery.notifier,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "event": delivery.event,
        "title": delivery.title,
        "error": delivery.error,
        "next_at": delivery.due_at if pending else None,
        "id": delivery.id,
        "severity": delivery.severity,
        "subject": delivery.subject,
        "tenant": delivery.tenant,
        "ended_at": delivery.ended_at,
        "body": dict(delivery.body),
    }
