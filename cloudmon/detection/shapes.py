"""Kinds of facts: what a value can be, and how what an appliance says of itself becomes one.

What an appliance says is taken for nothing more than that: a value of another kind than the schema's is not known.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

_LARGEST = 2**63


class Scalar(enum.Enum):
    """Kinds of single values, named as people read them in a sentence."""

    BOOL = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """One named fact of a record."""

    shape: Shape
    about: str
    """One sentence, with the unit."""
    age_of: str = ""
    """Name of the item's own field with the instant, in Unix seconds, that this fact is the age of."""
    aging: bool = False
    """True for a number of seconds that grows, or falls, while nothing else changes."""
    falling: bool = False
    """True for one that falls: the seconds until the instant that ``age_of`` names."""
    key: bool = False
    """True for the name under which the item is reported."""
    words: tuple[str, ...] = ()
    """Of a text: all that it can be. Empty: anything."""


@dataclass(frozen=True, slots=True)
class Record:
    """Facts with fixed names. One that is not there is not known."""

    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Table:
    """Items by name. One that is not there is known not to be there."""

    of: Shape
    item: str
    """What the names are: ``name of a package``."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list. ``of`` None: the empty list, which fits every other one."""

    of: Shape | None


Shape = Scalar | Record | Table | Listing

BOOL, WHOLE, NUMBER, TEXT = Scalar.BOOL, Scalar.WHOLE, Scalar.NUMBER, Scalar.TEXT


def single(kind: Scalar, value: object) -> object:
    """``value`` as a fact of that kind; None when it is none, and so is not known."""
    if kind is TEXT:
        return sound(value) if type(value) is str else None
    if kind is BOOL:
        return value if type(value) is bool else None
    if type(value) is int:
        if not -_LARGEST <= value < _LARGEST:
            return None
        return value if kind is WHOLE else float(value)
    if type(value) is float and math.isfinite(value):
        if kind is NUMBER:
            return value
        return round(value) if abs(value) < _LARGEST / 2 else None
    return None


def sound(text: str) -> str:
    """The text without halves of characters: CEL takes none, and one odd name must not hide all the others."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def described(shape: Shape | None) -> str:
    """The kind in a sentence: ``text``, ``a list of text``, ``a table``."""
    if isinstance(shape, Scalar):
        return shape.value
    if isinstance(shape, Listing):
        return f"a list of {described(shape.of)}" if isinstance(shape.of, Scalar) else "a list"
    return "a table" if isinstance(shape, Table) else "a group of facts"
