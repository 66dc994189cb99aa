"""``cloudmon why``: the story of an appliance."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Since, Tenant
from cloudmon.cli.output import Column

COLUMNS = (
    Column("at", "WHEN"),
    Column("appliance", "APPLIANCE"),
    Column("part", "WHAT"),
    Column("text", "STORY"),
    Column("evidence", "EVIDENCE", table=False),
)


def why(  # one option each
    target: Annotated[str, typer.Argument(help="One appliance (storefront/3), or a whole set.")],
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many lines, the newest.")] = 100,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Tell the story of an appliance: what was wanted and seen, what was decided and why, what was done and how it
    ended; then how it stands and what it waits for. JSON has the evidence of each line."""
    from cloudmon.cli import opening, story, watching

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target)
        start = opening.when(since, at.now, option="--since")
        told = story.lines(at.store, at.scope, named, start)
        standing = watching.rows(
            watching.View(at.store, at.settings, at.now, at.scope), named.aset, named.ordinal
        )  # fmt: skip
    rows = [
        {"at": line.at, "appliance": line.appliance, "part": line.part, "text": line.text, "evidence": line.evidence}
        for line in told[-limit:]
    ]
    output.emit(rows, COLUMNS, form, empty=f"nothing happened to {named.text}")
    if len(told) > limit:
        output.note(f"{len(told) - limit} earlier lines are left out; --limit or --since shows others")
    for row in standing:
        waits = f"; waits for: {row['waits_for']}" if row["waits_for"] else ""
        # What has ended is wanted no more, whatever was wanted of it before.
        wanted = f", wanted {row['wanted']}" if row["state"] != "retired" else ""
        output.note(f"now: {row['appliance']} is {watching.state_shown(row)}{wanted}{waits}")
