"""``cloudmon doctor``: is everything in order, and what to do where it is not."""

from __future__ import annotations

import typer

from cloudmon.cli.options import Config, Format, Output


def doctor(config: Config = None, output: Output = Format.TABLE) -> None:
    """Check settings, store, clouds, notifiers, clock, and say what to do. Changes nothing; exit 1 if one is wrong."""
    from cloudmon.cli import checks, opening
    from cloudmon.cli.output import Column, emit

    found = list(checks.everything(opening.settings_path(config), opening.clock()))
    columns = [Column(key, key) for key in ("subject", "verdict", "found", "next")]
    rows = [{column.key: getattr(check, column.key) for column in columns} for check in found]
    emit(rows, columns, output)
    if any(check.verdict is checks.Verdict.WRONG for check in found):
        raise typer.Exit(1)
