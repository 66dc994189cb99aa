"""One way to print results."""

from __future__ import annotations

import csv
import datetime as dt
import enum
import io
import json
from collections.abc import Sequence
from decimal import Decimal

import pytest

from cloudmon.cli import output
from cloudmon.cli.options import Format
from cloudmon.cli.output import Column


class Colour(enum.StrEnum):
    RED = "red"


VALUES = {
    "money": (Decimal("0.10"), "0.10"),
    "money that is small": (Decimal("1E-7"), "0.0000001"),
    "a great integer": (2**53, "9007199254740992"),
    "an integer": (2**53 - 1, 2**53 - 1),
    "an instant": (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
    "an instant elsewhere": (
        dt.datetime(2026, 1, 2, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        "2026-01-02T00:00:00+00:00",
    ),
    "a day": (dt.date(2026, 1, 2), "2026-01-02"),
    "a word": (Colour.RED, "red"),
    "nothing": (None, None),
    "truth": (True, True),
    "a list": ((Decimal(1), None), ["1", None]),
    "a mapping": ({"at": Colour.RED}, {"at": "red"}),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES)
def test_values_in_json(value: object, expected: object) -> None:
    text = output.as_json([{"it": value, "hidden": 1}], [Column("it", "IT")])
    assert json.loads(text) == [{"it": expected}]


def test_csv_has_a_header_and_quotes_what_needs_it() -> None:
    columns = [Column("name", "NAME"), Column("tags", "TAGS"), Column("gone", "GONE"), Column("up", "UP")]
    text = output.as_csv([{"name": 'a, "b"\nc', "tags": ["x", "y"], "up": True}], columns)
    assert list(csv.reader(io.StringIO(text))) == [
        ["name", "tags", "gone", "up"],
        ['a, "b"\nc', '["x", "y"]', "", "true"],
    ]


@pytest.mark.parametrize(
    ("items", "cell"),
    [
        (["one stopped", "two faulted"], '["one stopped", "two faulted"]'),
        (("a, b; c", 'd "e"', "f\ng"), '["a, b; c", "d \\"e\\"", "f\\ng"]'),
        ([Decimal("0.10"), 3, None, True, dt.date(2026, 1, 2)], '["0.10", 3, null, true, "2026-01-02"]'),
        ([{"größe": 2}], '[{"größe": 2}]'),
        ([], "[]"),
    ],
    ids=["blanks inside", "separators, quotes and lines inside", "values", "mappings", "none"],
)
def test_a_list_in_csv_is_json_so_that_its_items_can_be_told_apart(items: Sequence[object], cell: str) -> None:
    text = output.as_csv([{"found": items}], [Column("found", "FOUND")])
    assert list(csv.reader(io.StringIO(text))) == [["found"], [cell]]
    assert json.loads(cell) == json.loads(output.as_json([{"found": items}], [Column("found", "FOUND")]))[0]["found"]


def test_csv_of_nothing_is_its_header() -> None:
    assert output.as_csv([], [Column("name", "NAME")]) == "name\n"


def test_a_plain_table_is_aligned_and_cuts_nothing_off() -> None:
    columns = [Column("name", "NAME"), Column("count", "COUNT", right=True), Column("id", "ID", table=False)]
    text = output.as_text([{"name": "a" * 300, "count": 1}, {"name": "b", "count": 100}], columns)
    assert text.splitlines() == [
        "NAME" + " " * 298 + "COUNT",
        "a" * 300 + "      1",
        "b" + " " * 301 + "  100",
    ]


def test_what_a_cloud_calls_its_nodes_cannot_move_the_cursor() -> None:
    text = output.as_text([{"name": "evil\x1b[2J\nname"}], [Column("name", "NAME")])
    assert text == "NAME\nevil [2J name"


def test_markup_in_names_is_shown_as_it_is() -> None:
    table = output.as_rich([{"name": "[red]x[/red]"}], [Column("name", "NAME")])
    (cell,) = table.columns[0].cells
    assert str(cell) == "[red]x[/red]"


def test_a_table_of_nothing_says_so_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([], [Column("name", "NAME")], Format.TABLE, empty="no orphans")
    assert capsys.readouterr() == ("", "no orphans\n")


def test_json_of_nothing_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([], [Column("name", "NAME")], Format.JSON)
    assert capsys.readouterr() == ("[]\n", "")


DURATIONS = {0: "0s", 59: "59s", 60: "1m", 3_661: "1h 1m", 90_000: "1d 1h", 86_400: "1d"}


@pytest.mark.parametrize(("seconds", "text"), DURATIONS.items(), ids=str)
def test_durations_for_people(seconds: int, text: str) -> None:
    assert output.duration(seconds) == text
