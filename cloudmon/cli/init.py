"""``cloudmon init``: a first settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    provider: Annotated[
        str, typer.Argument(help="Kind of cloud: dummy, aws, generic, or another installed one.")
    ] = "dummy",
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = Path("cloudmon.toml"),
) -> None:
    """Write a commented settings file for one kind of cloud. A file that is there already is left alone."""
    from cloudmon.cli import starting  # imports pydantic
    from cloudmon.errors import RequestRefused

    text = starting.text(provider)
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RequestRefused(f"{config} is there already; remove it, or name another file with -c") from None
    except OSError as error:
        raise RequestRefused(f"{config} cannot be written: {error.strerror or error}") from error
    typer.echo(f"wrote {config}; read it through, then: cloudmon doctor -c {config}")
