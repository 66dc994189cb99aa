"""Options that many commands share, so that each is spelled and explained once."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class Format(enum.StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file; else $CLOUDMON_CONFIG, else ./cloudmon.toml.", show_default=False
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print it; lists within CSV are JSON.")]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Only this tenant's; needed where two use one name.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it stands in the action log for ever.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it is done, or only write the request.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to stay at most: 90s, 15m, 2h.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="From then: 90s, 15m, 2h, 30d ago, or an ISO 8601 instant.", show_default=False),
]
Until = Annotated[str | None, typer.Option("--until", help="Up to then; now if left out.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Target = Annotated[str, typer.Argument(help="One appliance (storefront/3), or all of a set (storefront/*).")]
