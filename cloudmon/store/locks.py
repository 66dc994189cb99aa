"""One monitor a store: a locked file beside the SQLite file, an advisory lock on PostgreSQL.

Both free themselves when the process dies, however it dies. Readers and writers of requests take no lock.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from cloudmon.errors import MonitorAlreadyRuns, StoreUnavailable
from cloudmon.store import faults
from cloudmon.store.database import Database

WAY_OUT = "stop it first, or give this monitor a store of its own"


class Lock(Protocol):
    """The right to be this store's monitor."""

    def held(self) -> bool:
        """Whether it is still ours; once False it never is again."""


class NoLock:
    """Of a store in memory, which no other process can see."""

    def held(self) -> bool:
        return True


class FileLock:
    """A locked file. Its content only tells people who holds it."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file

    def held(self) -> bool:
        """Whether the locked file is still the one that others would try: somebody may have removed it."""
        try:
            found, ours = self._path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


class SessionLock:
    """An advisory lock of one PostgreSQL session. A session that ended with its connection is begun anew.

    Arguments:
        connection: the session that has it.
        take: begins another session and tries to lock in it: that session, or None when somebody else has the lock.
            Raises SQLAlchemyError while the server does not answer.
    """

    def __init__(self, connection: Connection, take: Callable[[], Connection | None]) -> None:
        self._connection: Connection | None = connection
        self._take = take
        self._lost = False

    def held(self) -> bool:
        """Whether nobody else has it.

        While the server does not answer that is not known, and taken for granted: nothing can be written meanwhile,
        and the epoch tells afterwards whether somebody else owned the estate.
        """
        if self._lost:
            return False
        if self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
            except SQLAlchemyError:
                self.release()
            else:
                return True
        try:
            self._connection = self._take()
        except SQLAlchemyError:
            return True
        self._lost = self._connection is None
        return not self._lost

    def release(self) -> None:
        """End the session, and the lock with it; it never goes back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _end(connection)


@contextlib.contextmanager
def lock(database: Database, estate: str, now: dt.datetime) -> Iterator[Lock]:
    """Be this store's monitor for the length of the block.

    Raises MonitorAlreadyRuns, naming who runs and the way out; StoreUnavailable when the lock cannot be asked for.
    """
    if database.in_memory:
        yield NoLock()
    elif database.path is not None:
        with _file(database.path, now) as held:
            yield held
    else:
        with _session(database, estate, now) as held:
            yield held


@contextlib.contextmanager
def _file(store: Path, now: dt.datetime) -> Iterator[Lock]:
    path = store.with_name(f"{store.name}.lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreUnavailable(f"the lock file {path} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MonitorAlreadyRuns(_sentence(_holder(file), str(store))) from None
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": now.isoformat(timespec="seconds")}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(about).encode() + b"\n", 0)
        yield FileLock(path, file)
    finally:
        # The file stays: removing it would let two others lock two different files.
        os.close(file)


def _holder(file: int) -> str:
    try:
        about = json.loads(os.pread(file, 4_096, 0))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def _session(database: Database, estate: str, now: dt.datetime) -> Iterator[Lock]:
    key = int.from_bytes(hashlib.sha256(f"cloudmon monitor of {estate}".encode()).digest()[:8], "big", signed=True)
    name = f"cloudmon {os.getpid()} {now:%Y-%m-%dT%H:%M:%SZ} {socket.gethostname()}"[:63]

    def take() -> Connection | None:
        connection = _begin(database, name)
        locked = False
        try:
            locked = _locks(connection, key)
        finally:
            if not locked:
                _end(connection)
        return connection if locked else None

    try:
        connection = _begin(database, name)
        try:
            if not _locks(connection, key):
                raise MonitorAlreadyRuns(  # noqa: TRY301  # the connection ends with it
                    _sentence(_session_holder(connection, key), database.url_shown)
                )
        except BaseException:
            _end(connection)
            raise
    except SQLAlchemyError as error:
        raise faults.of(error, database.url_shown).error from error
    held = SessionLock(connection, take)
    try:
        yield held
    finally:
        held.release()


def _begin(database: Database, name: str) -> Connection:
    connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(sa.text("SELECT set_config('application_name', :name, false)"), {"name": name})
    except BaseException:
        _end(connection)
        raise
    return connection


def _locks(connection: Connection, key: int) -> bool:
    return bool(connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one())


def _end(connection: Connection) -> None:
    # A connection that is broken already cannot be ended politely.
    with contextlib.suppress(SQLAlchemyError):
        connection.invalidate()
    connection.close()


def _session_holder(connection: Connection, key: int) -> str:
    found = connection.execute(
        sa.text(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
        ),
        {"key": key},
    ).scalar()
    parts = str(found or "").split(" ", 3)
    if len(parts) != 4 or parts[0] != "cloudmon":
        return "another session"
    return f"process {parts[1]} on {parts[3]} since {parts[2]}"


def _sentence(holder: str, store: str) -> str:
    return f"a monitor already runs on {store}: {holder}; {WAY_OUT}"
