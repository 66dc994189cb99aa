"""The one place where the database's exceptions become ours: one clear sentence each, and no secret in it.

Codes and classes are read, and words that a driver has no code for; never the text of a statement or of a connection.
"""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy.exc

from cloudmon.errors import StoreBroken, StoreError, StoreUnavailable

if TYPE_CHECKING:
    import psycopg

UNWRITTEN = "nothing was written"


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, and whether the same transaction can simply be run again."""

    error: StoreError
    again: bool = False
    unreached: bool = False
    """Whether we did not even come in: then which store it was is half of what a reader wants to know."""


_SQLITE: dict[int, Fault] = {
    sqlite3.SQLITE_BUSY: Fault(
        StoreUnavailable(f"the store is locked by another process for too long; {UNWRITTEN}"), again=True
    ),
    sqlite3.SQLITE_LOCKED: Fault(StoreUnavailable(f"the store is locked; {UNWRITTEN}"), again=True),
    sqlite3.SQLITE_FULL: Fault(StoreUnavailable(f"the disk under the store is full; {UNWRITTEN}")),
    sqlite3.SQLITE_READONLY: Fault(
        StoreUnavailable(
            f"the store can only be read, not written; {UNWRITTEN}; this user must own its file and folder"
        )
    ),
    sqlite3.SQLITE_CANTOPEN: Fault(
        StoreUnavailable("the store's file cannot be opened; this user must own it and its folder")
    ),
    sqlite3.SQLITE_IOERR: Fault(StoreUnavailable("the disk under the store reports an error")),
    sqlite3.SQLITE_PERM: Fault(StoreUnavailable("this user may not open the store's file")),
    sqlite3.SQLITE_NOTADB: Fault(StoreBroken("the store's file is not a SQLite database")),
    sqlite3.SQLITE_CORRUPT: Fault(StoreBroken("the store's file is damaged; restore it from a backup")),
    sqlite3.SQLITE_CONSTRAINT: Fault(StoreError(f"the store refused a row that breaks its rules; {UNWRITTEN}")),
}

_NO_TABLE = Fault(StoreBroken("a table of the store, or a part of one, is missing; restore it from a backup"))

_POSTGRES: tuple[tuple[str, Fault], ...] = (
    ("40", Fault(StoreUnavailable(f"the store was too busy with other writers; {UNWRITTEN}"), again=True)),
    ("55P03", Fault(StoreUnavailable(f"the store is locked by another session; {UNWRITTEN}"), again=True)),
    ("57014", Fault(StoreUnavailable(f"the store took too long and the statement was cancelled; {UNWRITTEN}"))),
    ("57P", Fault(StoreUnavailable("the store's server is shutting down or not up yet"), again=True)),
    ("08", Fault(StoreUnavailable("the connection to the store is lost"), again=True, unreached=True)),
    ("53100", Fault(StoreUnavailable(f"the disk under the store is full; {UNWRITTEN}"))),
    ("53", Fault(StoreUnavailable("the store's server is out of resources or connections"), again=True)),
    ("58", Fault(StoreUnavailable("the disk under the store reports an error"))),
    ("25006", Fault(StoreUnavailable(f"the store can only be read, not written; {UNWRITTEN}"))),
    ("28", Fault(StoreUnavailable("the store rejected our user or password"), unreached=True)),
    ("3D", Fault(StoreUnavailable("the store's database does not exist; create it first"), unreached=True)),
    (
        "42501",
        Fault(
            StoreBroken("our database user lacks a right that the store needs; grant it all on the store's tables"),
            unreached=True,
        ),
    ),
    ("42P01", _NO_TABLE),
    ("42703", _NO_TABLE),
    ("23", Fault(StoreError(f"the store refused a row that breaks its rules; {UNWRITTEN}"))),
    ("22", Fault(StoreError(f"the store refused a value; {UNWRITTEN}"))),
)

_CONNECTION = Fault(StoreUnavailable("the store cannot be reached"), again=True, unreached=True)


def of(error: BaseException, store: str) -> Fault:
    """What an exception of the database of ``store`` means (its URL, without secrets). The fault's error is a fresh
    copy: it can be raised with its cause."""
    found = _find(error)
    said = _named(found.error.message, error)
    return replace(found, error=type(found.error)(f"{store}: {said}" if found.unreached else said))


def _find(error: BaseException) -> Fault:
    cause = _driver(error)
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause)
    # Importing psycopg takes 60 ms and 9 MiB: a process that never talked to PostgreSQL has not met its errors either.
    postgres = sys.modules.get("psycopg")
    if postgres is not None and isinstance(cause, postgres.Error):
        return _postgres(cause, postgres.OperationalError, postgres.InterfaceError)
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return Fault(StoreUnavailable("all connections to the store are in use"), again=True)
    if isinstance(error, sqlalchemy.exc.StatementError):
        return Fault(StoreError(f"a value has no place in the store ({_class(error.orig)}); {UNWRITTEN}"))
    return Fault(StoreError(f"the store did not understand us ({_class(error)}); {UNWRITTEN}"))


def _driver(error: BaseException) -> BaseException | None:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return error.orig
    return error


def _sqlite(error: sqlite3.Error) -> Fault:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Fault(StoreError(f"SQLite did not understand us ({_class(error)}); {UNWRITTEN}"))
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column")):
        return _NO_TABLE
    # Extended codes carry the primary one in their low byte.
    return _SQLITE.get(code & 0xFF, Fault(StoreError(f"SQLite refused; {UNWRITTEN}")))


def _postgres(error: psycopg.Error, *lost: type[psycopg.Error]) -> Fault:
    state = error.sqlstate or ""
    for prefix, fault in _POSTGRES:
        if state.startswith(prefix):
            return fault
    if isinstance(error, lost) and not state:
        # psycopg raises these without a code when the server hangs up or cannot be reached at all; the password
        # failure of a connection attempt comes without one too.
        if "authentication failed" in str(error):
            return Fault(StoreUnavailable("the store rejected our user or password"), unreached=True)
        if "does not exist" in str(error):
            return Fault(
                StoreUnavailable("the store's database or user does not exist; create it first"), unreached=True
            )
        return _CONNECTION
    return Fault(StoreError(f"PostgreSQL refused; {UNWRITTEN}"))


def _named(message: str, error: BaseException) -> str:
    cause = _driver(error)
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return f"{message} ({code})" if code else message


def _class(error: BaseException | None) -> str:
    return type(error).__name__
