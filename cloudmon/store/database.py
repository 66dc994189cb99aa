"""One database, its transactions, and what happens when it does not answer.

A verb hands over a function of a connection. It runs in one transaction; when the database was merely busy, or the
connection broke before the commit, the whole function runs again, a bounded number of times. So such a function
changes nothing but the database. All exceptions that leave here are of :mod:`cloudmon.errors`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from cloudmon import clock, faultpoints
from cloudmon.errors import StoreError, StoreUnavailable
from cloudmon.store import faults
from cloudmon.store.columns import SQLITE, instant_reader

T = TypeVar("T")

TRIES = 5
FIRST_PAUSE_S = 0.05
BUSY_TIMEOUT_MS = 1_000
STREAM_ROWS = 2_000
RAW_ROWS = 500


def pause(seconds: float) -> None:
    """Let real time pass between two tries."""
    clock.SystemClock().wait(threading.Event(), seconds)


class Database:
    """Transactions over one engine. Safe to share between threads."""

    def __init__(self, engine: Engine, *, url_shown: str, path: Path | None, paused: Callable[[float], None]) -> None:
        self.engine = engine
        self.url_shown = url_shown
        self.path = path
        self.dialect = engine.dialect.name
        self.is_sqlite = self.dialect == SQLITE
        self.in_memory = self.is_sqlite and path is None
        self.instant: Callable[[Any], Any] = instant_reader(self.dialect)
        self._paused = paused
        self._file: tuple[int, int] | None = None
        self._reading = threading.local()
        # SQLite has one writer: waiting for it here costs nothing, waiting in its busy handler costs sleeps. The
        # one connection of a store in memory carries one transaction at a time, readers' included.
        self._writers = threading.RLock() if self.is_sqlite else contextlib.nullcontext()
        self._readers = self._writers if self.in_memory else contextlib.nullcontext()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction that may write, and commit it.

        Raises StoreUnavailable or StoreError; then nothing was written, except where the message says that the answer
        to the commit was lost.
        """
        return self._tried(lambda: self._write_once(work))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction that reads one state of the store; within :meth:`at_once`, in that one."""
        connection: Connection | None = getattr(self._reading, "connection", None)
        if connection is not None:
            return work(connection)
        return self._tried(lambda: self._read_once(work))

    def at_once(self, work: Callable[[], T]) -> T:
        """Let all that ``work`` reads on this thread be of one state of the store, in one transaction. It writes
        nothing, and may run again, whole, as any reading does."""

        def within(connection: Connection) -> T:
            self._reading.connection = connection
            try:
                return work()
            finally:
                self._reading.connection = None

        return self.read(within) if getattr(self._reading, "connection", None) is None else work()

    def _tried(self, once: Callable[[], T]) -> T:
        wait_s = FIRST_PAUSE_S
        for left in range(TRIES - 1, -1, -1):
            try:
                return once()
            except (SQLAlchemyError, sqlite3.Error) as error:
                fault = faults.of(error, self.url_shown)
                if not (fault.again and left):
                    raise fault.error from error
            self._paused(wait_s)
            wait_s *= 2
        raise AssertionError("unreachable")

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        with self._writers, self._connected() as connection:
            transaction = self._begun(connection, "BEGIN IMMEDIATE")
            try:
                result = work(connection)
                faultpoints.reached("store.before-commit")
                self._same_file()
            except BaseException:
                _take_back(transaction)
                raise
            self._commit(transaction)
        faultpoints.reached("store.after-commit")
        return result

    def _commit(self, transaction: sa.RootTransaction) -> None:
        try:
            transaction.commit()
        except SQLAlchemyError as error:
            _take_back(transaction)
            fault = faults.of(error, self.url_shown)
            if not self.is_sqlite and fault.again and getattr(error, "connection_invalidated", False):
                # Running it again could do it twice; whoever called looks at the store anew.
                raise StoreUnavailable(
                    "the connection to the store was lost during a commit; it may or may not have been written"
                ) from error
            raise

    def _read_once(self, work: Callable[[Connection], T]) -> T:
        with self._readers, self._connected() as opened:
            connection = opened
            if not self.is_sqlite:
                connection = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            transaction = self._begun(connection, "BEGIN")
            try:
                return work(connection)
            finally:
                _take_back(transaction)

    def raw(self, statement: sa.Select[Any], made: Callable[[Iterator[Any]], list[T]]) -> list[T]:
        """What ``made`` makes of all rows as the driver gives them: no conversion, no Row objects. For the hot reads.

        A few rows at a time, which the processor's caches hold until they are used: a hundred thousand rows that are
        fetched first and made into something afterwards come from memory twice, and cost half as much again.
        """

        def work(connection: Connection) -> list[T]:
            with connection.execute(statement) as result:
                cursor: Any = result.cursor
                return made(itertools.chain.from_iterable(iter(partial(cursor.fetchmany, RAW_ROWS), [])))

        return self.read(work)

    def stream(self, statement: sa.Select[Any]) -> Iterator[Any]:
        """Rows in constant memory: from one state of the store, a batch at a time.

        A store in memory hands over all rows at once: its one connection cannot wait for a slow reader.
        """
        if self.in_memory:
            yield from self.raw(statement, list)
            return
        try:
            with self._connected() as opened:
                # SQLite's cursor reads as it goes anyway; PostgreSQL's must be told to.
                connection = opened if self.is_sqlite else opened.execution_options(yield_per=STREAM_ROWS)
                self._begun(connection, "BEGIN")
                with connection.execute(statement) as result:
                    for batch in result.partitions(STREAM_ROWS):
                        yield from batch
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise faults.of(error, self.url_shown).error from error

    def _begun(self, connection: Connection, word: str) -> sa.RootTransaction:
        """A transaction, begun in the words of SQLite: a reader that turns writer can lose its turn half-way; a writer
        says so at once."""
        transaction = connection.begin()
        if self.is_sqlite:
            # Said to the driver itself, here and not when SQLAlchemy tells that a transaction begins: whoever listens
            # to that makes each statement dearer.
            driver: Any = connection.connection.dbapi_connection
            driver.execute(word)
        return transaction

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        self._same_file()
        with self.engine.connect() as opened:
            if self.path is not None and self._file is None:
                self._file = _identity(self.path)
            yield opened

    def _same_file(self) -> None:
        """Raises StoreUnavailable when the store's file is not the one that was opened: what goes on into a removed
        file is lost with it, and a new connection would make an empty one in its place."""
        if self._file is None or self.path is None or _identity(self.path) == self._file:
            return
        raise StoreUnavailable(
            f"the store's file {self.path} was removed or replaced while it was in use; move it back, or stop and "
            "begin again on what is there; nothing was written"
        )

    def close(self) -> None:
        self.engine.dispose()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one that takes its name; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # before each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _take_back(transaction: sa.RootTransaction) -> None:
    # A lost connection cannot be told to roll back; the server does it by itself.
    with contextlib.suppress(SQLAlchemyError):
        transaction.rollback()


# --- connecting -------------------------------------------------------------------------------------------------


def connect(url: str, *, paused: Callable[[float], None] = pause) -> Database:
    """The database at ``url``; nothing is asked of it yet, only the folder of a SQLite file must exist.

    Raises StoreError for a URL that names no database of ours, without repeating it.
    """
    if url == "memory":
        engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}, hide_parameters=True
        )
        _prepare_sqlite(engine, durable=False)
        return Database(engine, url_shown="memory", path=None, paused=paused)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError('the store\'s URL is none: "memory", "sqlite:///…" or "postgresql://…"') from None
    if parsed.get_backend_name() == SQLITE:
        return _sqlite_file(parsed, paused)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return _postgresql(parsed, paused)
    raise StoreError(f'a store is "memory", "sqlite:///…" or "postgresql://…", not {parsed.get_backend_name()}')


def _sqlite_file(url: URL, paused: Callable[[float], None]) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreError('a SQLite store needs a path; a store in memory is called "memory"')
    path = Path(url.database)
    if not path.parent.is_dir():
        raise StoreUnavailable(f"the folder of the store does not exist: {path.parent}")
    engine = sa.create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        pool_size=8,
        max_overflow=32,
        hide_parameters=True,
    )
    _prepare_sqlite(engine, durable=True)
    return Database(engine, url_shown=f"sqlite:///{path}", path=path, paused=paused)


def _prepare_sqlite(engine: Engine, *, durable: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def prepare(driver: sqlite3.Connection, _: object) -> None:
        # The driver's own idea of when a transaction begins is switched off; we say so.
        driver.isolation_level = None
        driver.execute("PRAGMA foreign_keys=ON")
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        if durable:
            driver.execute("PRAGMA journal_mode=WAL")
            driver.execute("PRAGMA synchronous=FULL")


def _postgresql(url: URL, paused: Callable[[float], None]) -> Database:
    # What it warns of, connections that broke, comes to us as exceptions.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "options": "-c timezone=UTC -c lock_timeout=10000",
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # Keepalives say nothing while sent data waits for its receipt.
            "tcp_user_timeout": 25_000,
            "application_name": "cloudmon",
        },
        pool_size=8,
        max_overflow=32,
        pool_timeout=10,
        hide_parameters=True,
    )
    secretless = url.set(
        password="***" if url.password else None,
        query={key: "***" if "pass" in key.lower() else value for key, value in url.query.items()},
    )
    return Database(engine, url_shown=secretless.render_as_string(), path=None, paused=paused)
