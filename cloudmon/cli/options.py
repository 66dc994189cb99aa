"""Options that many commands share, so that each is spelled and explained once."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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


@dataclass(frozen=True, slots=True)
class How:
    """How something is asked for: how long to stay, in whose name, by which settings, and how it is printed."""

    wait: bool
    timeout: str
    tenant: str | None
    config: Path | None
    form: Format


def asks(timeout: str, *, tenants: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command that asks for something the options that all of these share, in the place of its ``how``.

    Arguments:
        timeout: how long it stays when nobody says.
        tenants: whether its name may be one of several tenants.
    """
    told: dict[str, tuple[Any, Any]] = {
        "wait": (Wait, True),
        "timeout": (Timeout, timeout),
        "tenant": (Tenant, None),
        "config": (Config, None),
        "form": (Output, Format.TABLE),
    }
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in told.items()
        if tenants or name != "tenant"
    ]

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def asking(**given: Any) -> None:
            how = How(**{name: given.pop(name, default) for name, (_, default) in told.items()})
            command(**given, how=how)

        kept = [one for name, one in own.parameters.items() if name != "how"]
        asking.__signature__ = own.replace(parameters=[*kept, *shared])  # type: ignore[attr-defined]
        return asking

    return with_options
