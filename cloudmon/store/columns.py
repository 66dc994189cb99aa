"""Column types that say the same thing on SQLite and on PostgreSQL, and stay readable for whoever queries by hand.

An instant is ISO 8601 text of fixed width on SQLite (it sorts as time does, and parsing it is cheaper than building
a datetime from an integer) and ``timestamptz`` on PostgreSQL. Text sorts by its bytes on both. Money and quantities
are exact: text on SQLite, ``numeric`` on PostgreSQL. Words of an enum are stored as their values and checked.

What is read goes through one function a value (``result_processor``), not through SQLAlchemy's two around ours.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field

SQLITE = "sqlite"


def shown(instant: dt.datetime) -> str:
    """An instant as SQLite keeps it and the action log signs it: UTC, microseconds, fixed width."""
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone is not an instant")
    return instant.astimezone(dt.UTC).isoformat(timespec="microseconds")


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no blanks, no NaN."""
    return storable(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    )


def storable(text: str) -> str:
    """``text`` with what no database takes (NUL, halves of characters) replaced: a cloud may say anything."""
    if text.isprintable():  # in the usual case one look; a lone half of a character is not printable either
        return text
    return text.replace("\0", "\ufffd").encode(errors="surrogatepass").decode(errors="replace")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return shown(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


class Instant(TypeDecorator[dt.datetime]):
    """An aware instant; one without a time zone is refused."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == SQLITE:
            return dialect.type_descriptor(sa.Text())
        return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name == SQLITE:
            return shown(value)
        if value.tzinfo is None:
            raise ValueError("an instant without a time zone is not an instant")
        return value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:  # noqa: ARG002
        return instant_reader(dialect.name)


def _from_text(value: str | None) -> dt.datetime | None:
    return None if value is None else dt.datetime.fromisoformat(value)


def _as_is(value: Any) -> Any:
    return value


def instant_reader(dialect: str) -> Callable[[Any], Any]:
    """What turns the driver's own value of an instant into a datetime."""
    return _from_text if dialect == SQLITE else _as_is


class Amount(TypeDecorator[Decimal]):
    """An exact number, money or quantity; floats are refused."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(sa.Text() if dialect.name == SQLITE else sa.Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite():
            raise ValueError(f"an amount is a finite Decimal, not {type(value).__name__}")
        return format(value, "f") if dialect.name == SQLITE else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002
        return lambda value: None if value is None else Decimal(value)


class Json(TypeDecorator[Any]):
    """JSON in its one canonical spelling, as text, so that equal values are equal bytes."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else canonical(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002
        return _from_json


def _from_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _byte_ordered(dialect: Dialect) -> TypeEngine[Any]:
    # Not through the dialect's own descriptor: that would make it VARCHAR.
    return sa.Text() if dialect.name == SQLITE else sa.Text(collation="C")


class Plain(TypeDecorator[str]):
    """Text that sorts by its bytes on every database; characters that a database cannot hold are replaced."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _byte_ordered(dialect)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable(value)


class Word(TypeDecorator[Any]):
    """A word of one StrEnum, stored as its value; a word that is none of them is refused on the way in."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, words: type[enum.StrEnum]) -> None:
        super().__init__()
        self.words = words
        self._by_value = {str(word): word for word in words}

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _byte_ordered(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else str(self._by_value[value].value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002
        words: dict[str | None, Any] = {None: None}
        return (words | self._by_value).__getitem__


RowNumber = sa.BigInteger().with_variant(sa.Integer(), SQLITE)
"""A number the database gives out."""


def text(*, key: bool = False, null: bool = False, foreign: str = "") -> Any:
    """A column of plain text."""
    more = [sa.ForeignKey(foreign)] if foreign else []
    return Field(sa_column=sa.Column(Plain(), *more, primary_key=key, nullable=null))


def whole(*, key: bool = False, null: bool = False) -> Any:
    """A column of whole numbers that the caller gives."""
    return Field(sa_column=sa.Column(sa.BigInteger(), primary_key=key, nullable=null, autoincrement=False))


def numbered() -> Any:
    """The key column that the database counts."""
    return Field(sa_column=sa.Column(RowNumber, primary_key=True, autoincrement=True))


def real(*, null: bool = False) -> Any:
    """A column of numbers that need not be exact."""
    return Field(sa_column=sa.Column(sa.Double(), nullable=null))


def flag() -> Any:
    """A column of true and false."""
    return Field(sa_column=sa.Column(sa.Boolean(), nullable=False))


def instant(*, null: bool = False) -> Any:
    """A column of instants."""
    return Field(sa_column=sa.Column(Instant(), nullable=null))


def amount(*, null: bool = False) -> Any:
    """A column of exact numbers."""
    return Field(sa_column=sa.Column(Amount(), nullable=null))


def structure(*, null: bool = False) -> Any:
    """A column of canonical JSON."""
    return Field(sa_column=sa.Column(Json(), nullable=null))


def word(name: str, words: type[enum.StrEnum], *, key: bool = False, null: bool = False) -> Any:
    """A column of an enum's words, with a CHECK that names them; ``name`` is the column's name."""
    known = ", ".join(f"'{one.value}'" for one in words)
    check = sa.CheckConstraint(f"{name} IN ({known})", name=f"{name}_known")
    return Field(sa_column=sa.Column(Word(words), check, primary_key=key, nullable=null))
