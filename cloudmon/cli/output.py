"""Results as tables, JSON or CSV: one way for every command.

A command gives rows (mappings of plain values) and columns. JSON and CSV carry the values, under the columns' keys:
instants in ISO 8601, money and integers that JavaScript cannot hold as strings; a list in a field of CSV is JSON, since
any sign that could part its items may stand in one of them. A table is for people: columns may show
a value in their own words; rich draws it on a terminal, elsewhere it is plain aligned text.
"""

from __future__ import annotations

import csv
import datetime as dt
import enum
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from cloudmon.cli.options import Format

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, object]
EXACT = 2**53
"""Integers of this size and more are strings in JSON: readers that count in floats would change them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``key`` names it in JSON and CSV, ``title`` in a table."""

    key: str
    title: str
    show: Callable[[Row], str] | None = None
    """What a table shows instead of the value."""
    right: bool = False
    """True aligns a table's column to the right."""
    table: bool = True
    """False leaves it out of tables."""

    def text(self, row: Row) -> str:
        return printable(self.show(row) if self.show is not None else shown(row.get(self.key)))


def emit(rows: Sequence[Row], columns: Sequence[Column], output: Format, *, empty: str = "nothing to show") -> None:
    """Print rows to stdout. ``empty`` is said on stderr in the place of a table without rows."""
    if output is Format.JSON:
        typer.echo(as_json(rows, columns))
    elif output is Format.CSV:
        typer.echo(as_csv(rows, columns), nl=False)
    elif not rows:
        note(empty)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(as_rich(rows, columns))
    else:
        typer.echo(as_text(rows, columns))


def note(sentence: str) -> None:
    """Say something that is no result: to stderr, so that results can be piped."""
    typer.echo(printable(sentence), err=True)


def as_json(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A list of objects."""
    found = [{column.key: _plain(row.get(column.key)) for column in columns} for row in rows]
    return json.dumps(found, indent=2, ensure_ascii=False)


def as_csv(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """With a header; nothing at all is an empty field, a list or a mapping is JSON within its field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    writer.writerows([_cell(row.get(column.key)) for column in columns] for row in rows)
    return text.getvalue()


def as_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Aligned by blanks, nothing cut off."""
    seen = [column for column in columns if column.table]
    lines = [[column.title for column in seen], *([column.text(row) for column in seen] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(seen))]
    aligned = (
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, seen, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n".join(aligned)


def as_rich(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    """As wide as the terminal."""
    from rich.table import Table
    from rich.text import Text

    seen = [column for column in columns if column.table]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in seen:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        # Text and not str: what a cloud calls its nodes must not be read as markup.
        table.add_row(*(Text(column.text(row)) for column in seen))
    return table


def shown(value: object) -> str:
    """A value in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def moment(at: dt.datetime | None) -> str:
    """An instant for people, in UTC to the second."""
    return "" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z"


def duration(seconds: float) -> str:
    """``1d 3h``, ``2h 5m``, ``45s``: the two greatest units."""
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def printable(text: str) -> str:
    """``text`` without what could move a terminal's cursor: names come from clouds and other people."""
    return "".join(char if char.isprintable() else " " for char in text)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < EXACT else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def _cell(value: object) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, list | dict):
        return json.dumps(plain, ensure_ascii=False)
    return str(plain)


def facts(row: Row) -> str:
    """The facts of a row in a table: in the place of a long list, how long it is."""
    told = row["facts"]
    return pairs({path: counted(value) for path, value in told.items()}) if isinstance(told, Mapping) else ""


def counted(value: object) -> object:
    """A value, or how many items it has, where these are many."""
    return f"{len(value)} items" if isinstance(value, list | tuple) and len(value) > 3 else value


def pairs(value: object) -> str:
    """A mapping in a table: ``key=value`` of what is not empty."""
    if not isinstance(value, Mapping):
        return shown(value)
    return ", ".join(f"{key}={shown(_plain(item))}" for key, item in value.items() if item not in ("", None))
