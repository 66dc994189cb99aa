"""Where a world is kept: nowhere but in memory, or in a file that several processes share.

A file is a SQLite database with a row a machine and one row for the rest. Every call is one transaction that takes
the write lock first, reads what other processes changed since, and writes what this call changed: a process that is
killed at any moment leaves the world as it was before its call, or after it.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cloudmon import errors
from cloudmon_providers.dummy.machine import Machine

BUSY_S = 60.0
"""How long a call waits for another process's call."""


_NO_WORLD = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR})
"""Whatever this file is, it is no world, or not one of ours."""


class Storage(Protocol):
    """What a world asks of the place that it is kept in."""

    shared: bool
    """True where what was begun can be abandoned, and read anew."""

    def begin(self, revision: int) -> tuple[dict[str, Any] | None, list[Machine]]:
        """Open a turn: the world's own values and the machines that changed since ``revision``; None: nothing has."""

    def commit(self, values: dict[str, Any], machines: Iterable[Machine]) -> None:
        """Close the turn with what it changed."""

    def abandon(self) -> None:
        """Close the turn with nothing changed."""

    def close(self) -> None:
        """Let go of the place."""


class Nowhere:
    """A world in memory: nobody else changes it, nothing is written."""

    shared = False

    def begin(self, revision: int) -> tuple[dict[str, Any] | None, list[Machine]]:  # noqa: ARG002
        return None, []

    def commit(self, values: dict[str, Any], machines: Iterable[Machine]) -> None:
        pass

    def abandon(self) -> None:
        pass

    def close(self) -> None:
        pass


class SharedFile:
    """A world in a file."""

    shared = True

    def __init__(self, path: Path) -> None:
        """Opens the file, and makes it and its folder where there are none. CloudError as every verb."""
        self._path = path
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        # One connection for all threads: the world lets one in at a time.
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._closing = weakref.finalize(self, self._connection.close)
        # A process that ends does not wait for the call of a thread that hangs; the system closes the file.
        self._closing.atexit = False
        execute = self._connection.execute
        execute("PRAGMA journal_mode=WAL")
        # Processes are killed here, machines are not: what was handed to the kernel is safe enough.
        execute("PRAGMA synchronous=OFF")
        execute("BEGIN IMMEDIATE")
        execute(
            "CREATE TABLE IF NOT EXISTS world (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL)"
        )
        execute(
            "CREATE TABLE IF NOT EXISTS machines (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL)"
        )
        execute("CREATE INDEX IF NOT EXISTS machines_by_revision ON machines (revision)")
        execute("COMMIT")

    def begin(self, revision: int) -> tuple[dict[str, Any] | None, list[Machine]]:
        execute = self._connection.execute
        with self._telling():
            execute("BEGIN IMMEDIATE")
            row = execute("SELECT revision, body FROM world WHERE id = 1").fetchone()
            if row is None or row[0] == revision:
                return None, []
            changed = execute("SELECT body FROM machines WHERE revision > ? ORDER BY revision, rowid", (revision,))
            return json.loads(row[1]), [Machine.from_text(body) for (body,) in changed]

    def commit(self, values: dict[str, Any], machines: Iterable[Machine]) -> None:
        revision = values["revision"]
        with self._telling():
            self._connection.executemany(
                "INSERT INTO machines (id, revision, body) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, body = excluded.body",
                [(machine.id, revision, machine.to_text()) for machine in machines],
            )
            self._connection.execute(
                "INSERT INTO world (id, revision, body) VALUES (1, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, body = excluded.body",
                (revision, json.dumps(values)),
            )
            self._connection.execute("COMMIT")

    def abandon(self) -> None:
        with self._telling():
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._closing()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What the system and the database say of the file, as a cloud's error that names it."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind = errors.UnexpectedAnswer if code in _NO_WORLD else errors.Unreachable
            raise kind(f"the file of this cloud, {self._path}, cannot be used: {error}") from error
        except OSError as error:
            raise errors.Unreachable(
                f"the file of this cloud, {self._path}, cannot be used: {error.strerror or error}"
            ) from error
