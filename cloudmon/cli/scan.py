"""``cloudmon scan``: samples and images on the monitor's own machine. What is in appliances their agents look through
(``cloudmon act … scan``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output
from cloudmon.cli.output import Column
from cloudmon.errors import RequestRefused

COLUMNS = (
    Column("path", "PATH"),
    Column("state", "STATE"),
    Column("signature", "SIGNATURE"),
    Column("engine", "BY"),
    Column("size", "BYTES", right=True),
    Column("error", "ERROR"),
    Column("sha256", "SHA256", table=False),
)


def scan(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, and folders with all in them.")],
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show files in which nothing was found too.")] = False,
    config: Config = None,
    form: Output = Format.TABLE,
) -> None:
    """Look for malware in files of this machine, with the hashes and YARA rules of [malware].

    Exit code 2: something was found. 1: nothing was found, but not every file could be looked at.
    """
    from cloudmon.cli import opening
    from cloudmon.malware import samples
    from cloudmon.settings import load

    settings = load(opening.settings_path(config))
    if settings.malware is None or not settings.malware.known:
        raise RequestRefused("no signatures are known; name hashes or rules under [malware] in the settings file")
    found = list(samples.scan(paths, settings.malware.known))
    rows = [
        {
            "path": one.path, "state": one.state, "signature": one.signature, "engine": one.engine, "size": one.size,
            "error": one.error, "sha256": one.sha256,
        }
        for one in found
        if everything or one.state != "clean"
    ]  # fmt: skip
    output.emit(rows, COLUMNS, form, empty=f"nothing was found in {len(found)} files")
    if any(one.signature for one in found):
        raise typer.Exit(2)
    if any(one.error for one in found):
        raise typer.Exit(1)
