"""``cloudmon status``: the appliance state table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Tenant
from cloudmon.cli.output import Row
from cloudmon.clock import Clock
from cloudmon.errors import RequestRefused

WATCH_S = 2.0


def status(
    target: Annotated[
        str | None, typer.Argument(help="A set, or one appliance (storefront/3); all if left out.", show_default=False)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until interrupted.")] = False,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show every appliance, how fresh that knowledge is, and what it waits for."""
    from cloudmon.cli import opening, watching

    if watch and form is not Format.TABLE:
        raise RequestRefused(f"--watch is for people; repeat `cloudmon status -o {form}` instead")
    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target) if target is not None else None

        def look() -> Sequence[Row]:
            view = watching.View(at.store, at.settings, at.now, at.scope)
            return watching.rows(view) if named is None else watching.rows(view, named.aset, named.ordinal)

        if watch:
            _follow(look, at.clock)
        output.emit(look(), watching.COLUMNS, form, empty="no appliances are wanted")
        for finding in at.store.findings.open(at.scope):
            if finding.subject.startswith(("cloud:", "file:")):
                output.note(f"{finding.severity}: {finding.message} (since {output.moment(finding.opened_at)})")


def _follow(look: Callable[[], Sequence[Row]], clock: Clock) -> NoReturn:
    from cloudmon.cli import watching

    never = threading.Event()
    with watching.Live(look, clock) as live:
        while True:
            live.refresh()
            clock.wait(never, WATCH_S)
