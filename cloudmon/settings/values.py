"""Kinds of values that settings are made of: durations, instants, names. Each refusal is half a sentence: ``must
…``."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import BeforeValidator, Field

NAME_LENGTH = 40
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdwy])")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
LONGEST_S = 1_000 * _UNITS_S["y"]


def seconds(value: object) -> float:
    """Seconds of a number, or of text such as ``90s``, ``15m``, ``2h``, ``30d``, ``1y`` (365 days), ``1h30m``."""
    if isinstance(value, bool):
        raise ValueError("must be a duration: seconds, or text such as 90s, 15m, 2h, 30d, 1y")
    if isinstance(value, int | float):
        found = float(value)
    else:
        text = str(value).strip().lower()
        parts = _PART.findall(text)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            found = float(text)
        elif parts and not _PART.sub("", text).strip():
            found = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
        else:
            raise ValueError("must be a duration: seconds, or text such as 90s, 15m, 2h, 30d, 1y")
    if not 0 <= found <= LONGEST_S:  # NaN is refused here too
        raise ValueError("must be a duration from 0 to 1000y")
    return found


def whole_seconds(value: object) -> int:
    """As :func:`seconds`, and whole."""
    found = seconds(value)
    if not found.is_integer():
        raise ValueError("must be a whole number of seconds")
    return int(found)


def instant(value: object) -> dt.datetime:
    """An aware UTC instant of ISO 8601 text or a TOML date-time; without an offset it is taken as UTC, a date alone
    as its first instant."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("must be an instant in ISO 8601, such as 2027-01-31T18:00:00+01:00") from None
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise ValueError("must be an instant in ISO 8601, such as 2027-01-31T18:00:00+01:00")


def name(value: object) -> str:
    """A name of a cloud, template, set or tenant: it ends up in tags, host names and file names of every cloud."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > NAME_LENGTH:
        raise ValueError(f"must be a name of letters, digits and inner hyphens, at most {NAME_LENGTH} characters")
    return value


def number(value: object) -> object:
    """Refuses what Python would quietly count with: true and false are no numbers in a settings file."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def money(value: object) -> object:
    """An amount; a TOML float becomes exactly the digits that were written."""
    return str(value) if isinstance(value, float) else number(value)


Seconds = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)]
"""Seconds as a number or as duration text."""
WholeSeconds = Annotated[int, BeforeValidator(whole_seconds, json_schema_input_type=int | str)]
"""Whole seconds as a number or as duration text."""
Instant = Annotated[dt.datetime, BeforeValidator(instant, json_schema_input_type=str)]
Name = Annotated[str, Field(max_length=NAME_LENGTH, pattern=f"^{_NAME.pattern}$"), BeforeValidator(name)]
Count = Annotated[int, BeforeValidator(number, json_schema_input_type=int), Field(ge=0)]
"""A whole number that is not negative."""
Fraction = Annotated[float, BeforeValidator(number, json_schema_input_type=float), Field(gt=0, le=1)]
