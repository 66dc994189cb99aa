"""Values of osquery's rows: they come as text, as numbers, or not at all. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
Item = dict[str, Any]

MOST_TEXT = 1_024
MIB = 1_048_576


def text(row: Row, name: str, most: int = MOST_TEXT) -> str:
    """Empty where there is none."""
    found = row.get(name)
    if isinstance(found, str):
        return found[:most]
    return "" if found is None or isinstance(found, bool | dict | list) else str(found)[:most]


def whole(row: Row, name: str, least: int = 0) -> int | None:
    """A whole number, None where there is none; osquery says -1 of what it could not find out."""
    found = real(row, name)
    return None if found is None or found < least else int(found)


def real(row: Row, name: str) -> float | None:
    """A number within what can be written down."""
    found = row.get(name)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return None
    try:
        value = float(found) if not isinstance(found, str) or len(found) <= 40 else math.nan
    except (ValueError, OverflowError):
        return None
    return value if abs(value) < 2**53 else None


def known(item: Mapping[str, object | None]) -> Item:
    """What is not known is left out."""
    return {name: value for name, value in item.items() if value is not None and value != ""}


def two_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2g}")


def mib(row: Row, name: str, digits: int = 0) -> float | None:
    found = whole(row, name)
    return None if found is None else (found // MIB if not digits else round(found / MIB, digits))
