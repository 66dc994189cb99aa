"""``cloudmon audit``: the action log, and whether anybody changed it."""

from __future__ import annotations

from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.app import group
from cloudmon.cli.options import Config, Format, Output, Since, Tenant, Until
from cloudmon.cli.output import Column
from cloudmon.errors import LogBroken

BREAKS = (
    Column("chain", "CHAIN", lambda row: str(row["name"] or row["chain"])),
    Column("name", "NAME", table=False),
    Column("seq", "ENTRY", right=True),
    Column("kind", "WHAT"),
    Column("message", "MESSAGE"),
)
ENTRIES = (
    Column("at", "WHEN"),
    Column("chain", "CHAIN", lambda row: str(row["name"] or row["chain"])),
    Column("name", "NAME", table=False),
    Column("seq", "ENTRY", right=True),
    Column("kind", "KIND"),
    Column("subject", "SUBJECT"),
    Column("body", "BODY", lambda row: output.pairs(row["body"])),
    Column("epoch", "EPOCH", right=True),
    Column("mac", "MAC", table=False),
)

app = group(no_args_is_help=True)


@app.callback()
def top() -> None:
    """Verify and show the action log."""


@app.command("verify")
def verify(config: Config = None, tenant: Tenant = None, form: Output = Format.TABLE) -> None:
    """Verify the action log against its key and its anchors.

    Every chain is read, and compared with the anchors outside the store. Exit code 1 when a byte was changed, or an
    entry removed, added, moved or cut off; each is named.
    """
    from cloudmon.cli import opening
    from cloudmon.cli.progress import Progress

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        with Progress("verifying the action log"):
            breaks = at.store.log.verify(at.scope)
        rows = [
            {
                "chain": found.chain,
                "name": names.set(found.chain),
                "seq": found.seq,
                "kind": found.kind,
                "message": found.message,
            }
            for found in breaks
        ]
    output.emit(rows, BREAKS, form, empty="the action log is whole")
    if breaks:
        raise LogBroken(f"the action log does not verify; breaks: {len(breaks)}")


@app.command("show")
def show(  # noqa: PLR0913  # one option each
    target: Annotated[
        str | None, typer.Argument(help="The chain of this set; all if left out.", show_default=False)
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 100,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show entries of the action log, newest last."""
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        names = opening.Names(at.store, at.scope)
        chain = opening.find(at.store, at.scope, target).aset.uid if target is not None else None
        first = opening.when(since, at.now, option="--since")
        last = opening.when(until, at.now, option="--until")
        opening.in_order(first, last)
        rows = [
            {**entry._asdict(), "name": names.set(entry.chain)}
            for entry in at.store.log.entries(at.scope, chain, first, last, limit)
        ]
    output.emit(rows, ENTRIES, form, empty="the action log has no such entries")
