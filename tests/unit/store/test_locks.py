"""One monitor a store: who runs is named, a dead one holds nothing, and a lost lock is noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cloudmon.errors import MonitorAlreadyRuns, StoreUnavailable
from cloudmon.store import Store, open_store
from cloudmon.testing.store_words import START

HOLDER = """
import datetime as dt, sys
from cloudmon.store import open_store
now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
store = open_store(sys.argv[1], log_key=b"key", anchor_dir=None, now=now)
with store.lock(now):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/s.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def open_it(url: str) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def make() -> Store:
        opened.append(open_store(url, log_key=b"key", anchor_dir=None, now=START))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_a_second_monitor_is_refused_and_told_who_runs_and_what_to_do(open_it: Callable[[], Store]) -> None:
    first, second = open_it(), open_it()
    with first.lock(START):
        with pytest.raises(MonitorAlreadyRuns) as refused, second.lock(START):
            pytest.fail("two monitors hold one store")
        assert f"process {os.getpid()} on {socket.gethostname()} since 2026-03-01T12:00:00" in str(refused.value)
        assert "stop it first" in str(refused.value)
        assert first.url_shown.removeprefix("sqlite:///") in str(refused.value)
    with second.lock(START) as lock:
        assert lock.held()


def test_readers_and_requests_need_no_lock(open_it: Callable[[], Store]) -> None:
    first, second = open_it(), open_it()
    with first.lock(START):
        assert second.monitors.current() is None


def test_the_lock_of_a_killed_monitor_is_free(url: str, open_it: Callable[[], Store]) -> None:
    store = open_it()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MonitorAlreadyRuns, match=f"process {holder.pid} on"), store.lock(START):
            pytest.fail("two monitors hold one store")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert soon_held(store)


def soon_held(store: Store) -> bool:
    """PostgreSQL frees a killed client's session when it sees the socket close: soon, not at once."""
    for _ in range(5_000):
        try:
            with store.lock(START) as lock:
                return lock.held()
        except MonitorAlreadyRuns:
            continue
    return False


def test_a_lock_file_that_somebody_removed_is_no_longer_held(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)
    with store.lock(START) as lock:
        assert lock.held()
        (tmp_path / "s.db.lock").unlink()
        assert not lock.held()
        (tmp_path / "s.db.lock").touch()
        assert not lock.held()
    store.close()


def test_a_lock_file_with_strange_content_still_refuses(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)
    with store.lock(START):
        (tmp_path / "s.db.lock").write_text("?")
        with pytest.raises(MonitorAlreadyRuns, match="another process"), store.lock(START):
            pytest.fail("two monitors hold one store")
    store.close()


def test_a_lock_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)
    (tmp_path / "s.db.lock").mkdir()
    with pytest.raises(StoreUnavailable, match="lock file"), store.lock(START):
        pytest.fail("locked a folder")
    store.close()


def end_sessions(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


def test_a_lost_session_is_begun_anew_and_shuts_others_out_again(postgres_url: str) -> None:
    store = open_store(postgres_url, log_key=b"key", anchor_dir=None, now=START)
    with store.lock(START) as lock:
        end_sessions(postgres_url)
        assert lock.held()
        with pytest.raises(MonitorAlreadyRuns), store.lock(START):
            pytest.fail("two monitors hold one store")
    with store.lock(START) as other:
        assert other.held()
    store.close()


def test_a_lost_session_whose_lock_another_took_is_never_held_again(postgres_url: str) -> None:
    store = open_store(postgres_url, log_key=b"key", anchor_dir=None, now=START)
    with store.lock(START) as lock:
        end_sessions(postgres_url)
        with store.lock(START) as other:
            assert not lock.held()
            assert other.held()
        assert not lock.held()
    store.close()


def test_a_store_in_memory_has_nobody_to_lock_out() -> None:
    store = open_store("memory", log_key=b"key", anchor_dir=None, now=START)
    with store.lock() as lock, store.lock() as again:
        assert lock.held()
        assert again.held()
    store.close()
