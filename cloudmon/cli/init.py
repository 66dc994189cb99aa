"""``cloudmon init``: a first settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    provider: Annotated[
        str, typer.Argument(help="Kind of cloud: dummy, local, aws, generic, or another installed one.")
    ] = "dummy",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The file to write; ./cloudmon.toml if left out.", show_default=False),
    ] = None,
) -> None:
    """Write a commented settings file for one kind of cloud. A file that is there already is left alone."""
    from cloudmon.cli import starting  # imports pydantic
    from cloudmon.errors import RequestRefused

    path = config or Path("cloudmon.toml")
    text = starting.text(provider)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RequestRefused(f"{path} is there already; remove it, or name another file with -c") from None
    except OSError as error:
        raise RequestRefused(f"{path} cannot be written: {error.strerror or error}") from error
    typer.echo(f"wrote {path}; read it through, then: cloudmon doctor -c {path}")
