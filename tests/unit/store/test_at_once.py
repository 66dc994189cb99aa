"""Many readings at once are of one state of the store, whoever writes meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudmon.errors import StoreUnavailable
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store, open_store
from cloudmon.store.database import TRIES
from cloudmon.testing.store_words import START


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    one = open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=lambda _: None)
    yield one
    one.close()


def ask(store: Store, name: str) -> None:
    store.requests.add(Request(name, RequestVerb.CONFIRM, "default", "east", {}, "somebody", "because", START))


def locked() -> sa.exc.OperationalError:
    """What SQLAlchemy raises when the database is busy."""
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return sa.exc.OperationalError("select", {}, cause)


def elsewhere(work: Callable[[], object]) -> None:
    """On another thread, and over before this returns."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_is_written_meanwhile_is_not_seen(store: Store) -> None:
    def twice() -> tuple[int, int]:
        before = len(store.requests.open(EVERYONE))
        elsewhere(lambda: ask(store, "late"))
        return before, len(store.requests.open(EVERYONE))

    ask(store, "early")
    assert store.at_once(twice) == (1, 1)
    assert len(store.requests.open(EVERYONE)) == 2


def test_within_another_it_is_one(store: Store) -> None:
    def inner() -> int:
        return store.at_once(lambda: len(store.requests.open(EVERYONE)))

    def outer() -> tuple[int, int]:
        before = inner()
        elsewhere(lambda: ask(store, "late"))
        return before, inner()

    assert store.at_once(outer) == (0, 0)


def test_a_connection_that_breaks_has_all_of_it_read_again(store: Store) -> None:
    seen: list[str] = []

    def work() -> int:
        seen.append("first")
        found = len(store.requests.open(EVERYONE))
        if len(seen) == 1:
            raise locked()
        return found

    assert store.at_once(work) == 0
    assert seen == ["first", "first"]


def test_a_store_that_stays_away_is_said_and_reads_anew_afterwards(store: Store) -> None:
    tries: list[None] = []

    def work() -> Any:
        tries.append(None)
        raise locked()

    with pytest.raises(StoreUnavailable):
        store.at_once(work)
    assert len(tries) == TRIES
    assert store.requests.open(EVERYONE) == []
