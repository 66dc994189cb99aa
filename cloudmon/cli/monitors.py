"""``cloudmon monitors`` and ``cloudmon upgrade``: who owns the estate, and what it is kept in."""

from __future__ import annotations

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output
from cloudmon.cli.output import Column

COLUMNS = (
    Column("epoch", "EPOCH", right=True),
    Column("id", "MONITOR"),
    Column("host", "HOST"),
    Column("pid", "PID", right=True),
    Column("started_at", "STARTED"),
    Column("ended_at", "ENDED"),
    Column("state", "STATE"),
)


def monitors(config: Config = None, form: Output = Format.TABLE) -> None:
    """Show the monitors that own, or owned, the estate. The newest owns it; all before it are fenced."""
    from cloudmon.cli import opening
    from cloudmon.store import MonitorRow

    def state(row: MonitorRow, newest: MonitorRow) -> str:
        if row.ended_at is not None:
            return "ended"
        return "owns the estate" if row is newest else "never said goodbye; fenced"

    with opening.opened(config) as at:
        found = at.store.monitors.all(at.scope)
        rows = [{**row._asdict(), "state": state(row, found[-1])} for row in found]
    output.emit(rows, COLUMNS, form, empty="no monitor has run yet")


def upgrade(config: Config = None) -> None:
    """Bring the store's schema up to date. Stop the monitor first, and have a copy of the store."""
    from cloudmon.cli import opening
    from cloudmon.cli.progress import Progress

    with Progress("upgrading the store"), opening.opened(config, upgrade=True) as at:
        shown = at.store.url_shown
    typer.echo(f"{shown} is up to date")
