"""When the database is locked, full, gone or no database: one clear sentence, bounded tries, nothing half-written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from cloudmon import faultpoints
from cloudmon.errors import Fenced, StoreBroken, StoreError, StoreUnavailable
from cloudmon.model.sets import SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Ownership, Store, database, open_store, presence
from cloudmon.store.database import TRIES
from cloudmon.testing.store_words import START

SPEC = SetSpec("storefront", 1, Template("web", {"*": "i"}))


class Pauses:
    """Counts pauses, and may do something in one."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.then: Callable[[], object] = lambda: None

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.then()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def store(tmp_path: Path, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
    url = f"sqlite:///{tmp_path}/s.db"
    one = open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=pauses)
    yield one
    one.close()


@pytest.fixture
def owner(store: Store) -> Ownership:
    return store.monitors.begin(host="here", pid=1, now=START)


@pytest.fixture
def on_postgres(postgres_url: str, pauses: Pauses) -> Iterator[Store]:
    one = open_store(postgres_url, log_key=b"key", anchor_dir=None, now=START, paused=pauses)
    yield one
    one.close()


def put(store: Store, owner: Ownership) -> None:
    store.sets.put(owner, uid=None, spec=SPEC, author="x", now=START)


def hang_up(url: str) -> None:
    """End every session of the database but our own, as a server that restarts does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_store_that_stays_locked_is_tried_a_bounded_number_of_times(
    tmp_path: Path, store: Store, owner: Ownership, pauses: Pauses
) -> None:
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked") as refused:
        put(store, owner)
    assert refused.value.retriable
    assert len(pauses.taken) == TRIES - 1
    assert pauses.taken == sorted(pauses.taken)
    other.execute("ROLLBACK")
    other.close()
    assert store.sets.all(EVERYONE) == []


def test_a_store_that_is_locked_for_a_moment_is_written_after_it(
    tmp_path: Path, store: Store, owner: Ownership, pauses: Pauses
) -> None:
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses.then = lambda: other.execute("ROLLBACK")
    put(store, owner)
    assert len(pauses.taken) == 1
    assert len(store.sets.all(EVERYONE)) == 1
    other.close()


def test_readers_go_on_while_the_store_is_locked(tmp_path: Path, store: Store) -> None:
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.sets.all(EVERYONE) == []
    other.close()


@pytest.mark.parametrize(
    ("pragma", "sentence"),
    [("max_page_count = 1", "the disk under the store is full"), ("query_only = ON", "can only be read, not written")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_more_is_said_and_nothing_is_written(
    store: Store, owner: Ownership, pragma: str, sentence: str
) -> None:
    big = SetSpec("storefront", 2_000, Template("web", {"*": "i"}))
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {pragma}")
    with pytest.raises(StoreUnavailable, match=sentence):
        store.sets.put(owner, uid=None, spec=big, author="x", now=START)
    assert store.sets.all(EVERYONE) == []
    assert store.log.verify(EVERYONE) == []


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_text("Dear diary, " * 100)
    with pytest.raises(StoreBroken, match="not a SQLite database"):
        open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)


def test_a_server_that_is_not_there_is_said_without_the_password(pauses: Pauses) -> None:
    url = "postgresql://ann:hunter2@127.0.0.1:1/estate"
    with pytest.raises(StoreUnavailable, match="cannot be reached") as refused:
        open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=pauses)
    assert "hunter2" not in str(refused.value)
    assert len(pauses.taken) == TRIES - 1


def test_a_database_that_does_not_exist_is_said(postgres_url: str, pauses: Pauses) -> None:
    url = postgres_url.replace("?", "_not_there?")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=pauses)


def test_the_shown_url_has_no_password(postgres_url: str, pauses: Pauses) -> None:
    url = postgres_url.replace("postgres:@", "postgres:hunter2@") + "&passfile=hunter3"
    one = open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=pauses)
    assert "hunter" not in one.url_shown
    assert "postgres:***@/" in one.url_shown
    one.close()


def test_a_connection_that_broke_between_transactions_is_not_noticed(postgres_url: str, on_postgres: Store) -> None:
    owner = on_postgres.monitors.begin(host="here", pid=1, now=START)
    hang_up(postgres_url)
    put(on_postgres, owner)
    hang_up(postgres_url)
    assert len(on_postgres.sets.all(EVERYONE)) == 1


def test_a_connection_that_breaks_within_a_transaction_is_tried_again_from_its_beginning(
    postgres_url: str, on_postgres: Store, pauses: Pauses
) -> None:
    owner = on_postgres.monitors.begin(host="here", pid=1, now=START)
    broken: list[str] = []

    @sa.event.listens_for(on_postgres._database.engine, "before_cursor_execute")
    def break_once(*about: object) -> None:
        statement = str(about[2])
        if "INSERT INTO appliances" in statement and not broken:
            broken.append(statement)
            hang_up(postgres_url)

    put(on_postgres, owner)
    assert len(broken) == len(pauses.taken) == 1
    assert len(on_postgres.members.all(EVERYONE)) == 1
    assert on_postgres.log.verify(EVERYONE) == []


def test_a_commit_that_was_not_answered_is_not_repeated_and_says_so(
    postgres_url: str, on_postgres: Store, pauses: Pauses
) -> None:
    owner = on_postgres.monitors.begin(host="here", pid=1, now=START)

    def cut(point: str) -> None:
        if point == "store.before-commit":
            hang_up(postgres_url)

    faultpoints.install(cut)
    try:
        with pytest.raises(StoreUnavailable, match="may or may not"):
            put(on_postgres, owner)
    finally:
        faultpoints.install(None)
    assert pauses.taken == []
    assert on_postgres.sets.all(EVERYONE) == []


def test_a_reader_sees_one_state_of_the_store_however_much_is_written_meanwhile(
    store: Store, on_postgres: Store
) -> None:
    for one in (store, on_postgres):
        late = one.monitors.begin(host="here", pid=1, now=START)
        counted = sa.text("SELECT count(*) FROM sets")

        def look(
            connection: sa.Connection, one: Store = one, late: Ownership = late, counted: Any = counted
        ) -> tuple[int, int]:
            before = int(connection.execute(counted).scalar_one())
            put(one, late)
            return before, int(connection.execute(counted).scalar_one())

        assert one._database.read(look) == (0, 0)
        assert len(one.sets.all(EVERYONE)) == 1


def test_a_serialization_failure_is_tried_again(on_postgres: Store, pauses: Pauses) -> None:
    failures = iter(["40001", "40P01"])

    def work(connection: sa.Connection) -> int:
        state = next(failures, None)
        if state:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")
        return int(connection.exec_driver_sql("SELECT 7").scalar_one())

    assert on_postgres._database.write(work) == 7
    assert len(pauses.taken) == 2


def test_no_statement_s_values_are_in_an_error(store: Store, owner: Ownership) -> None:
    put(store, owner)
    with pytest.raises(StoreError) as refused:
        store._database.write(
            lambda connection: connection.execute(
                sa.text("INSERT INTO set_generations (set_uid, generation) VALUES (:uid, 1)"), {"uid": "hunter2"}
            )
        )
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in str(refused.value.__cause__)


def test_streaming_on_postgresql_uses_a_cursor_of_the_server(on_postgres: Store) -> None:
    kinds: list[type] = []

    @sa.event.listens_for(on_postgres._database.engine, "before_cursor_execute")
    def note(*about: object) -> None:
        kinds.append(type(about[1]))

    assert list(on_postgres.usage.events(EVERYONE)) == []
    assert any(issubclass(kind, psycopg.ServerCursor) for kind in kinds)


# --- a store that a person has to mend --------------------------------------------------------------------------------


def damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\x5a" * (path.stat().st_size - 4_096))


def test_a_damaged_file_is_a_store_that_is_away_until_somebody_mends_it(tmp_path: Path, pauses: Pauses) -> None:
    path = tmp_path / "s.db"
    one = open_store(f"sqlite:///{path}", log_key=b"key", anchor_dir=None, now=START, paused=pauses)
    put(one, one.monitors.begin(host="here", pid=1, now=START))
    one.close()
    damaged(path)
    with pytest.raises(StoreBroken, match="damaged; restore it from a backup") as refused:
        open_store(f"sqlite:///{path}", log_key=b"key", anchor_dir=None, now=START, paused=pauses).sets.all(EVERYONE)
    assert isinstance(refused.value, StoreUnavailable)
    assert not refused.value.retriable


@pytest.fixture(params=["store", "on_postgres"])
def either(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def test_a_table_that_is_missing_is_said(either: Store) -> None:
    either._database.write(lambda connection: connection.exec_driver_sql("DROP TABLE requests"))
    with pytest.raises(StoreBroken, match="a table of the store, or a part of one, is missing"):
        either.requests.pending(EVERYONE)


def as_ann(url: str) -> str:
    """The same database as a user without rights of her own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS ann")
        connection.execute("CREATE ROLE ann LOGIN")
    return url.replace("postgres:@", "ann:@")


def test_a_user_who_lacks_rights_is_said_with_the_store_and_before_anything_is_made(
    new_postgres_url: Callable[[], str], pauses: Pauses
) -> None:
    url = new_postgres_url()
    ann = as_ann(url)
    assert "ann@" in presence.hindrance(ann) or "ann:" in presence.hindrance(ann)
    assert presence.hindrance(ann).endswith("this user may not make tables in schema public")
    assert presence.hindrance(url) == presence.hindrance("sqlite:///x.db") == ""
    for make in (False, True):
        if make:
            open_store(url, log_key=b"key", anchor_dir=None, now=START, paused=pauses).close()
        with pytest.raises(StoreBroken, match=r"ann.*lacks a right that the store needs; grant it"):
            open_store(ann, log_key=b"key", anchor_dir=None, now=START, paused=pauses)


def test_a_monitor_of_an_older_schema_writes_nothing_more(either: Store) -> None:
    owner = either.monitors.begin(host="here", pid=1, now=START)
    either.spans.extend(owner, "east", START, max_gap_s=60)
    newer = "UPDATE alembic_version SET version_num = '9999'"
    either._database.write(lambda connection: connection.exec_driver_sql(newer))
    for write in (lambda: put(either, owner), lambda: either.spans.extend(owner, "east", START, max_gap_s=60)):
        with pytest.raises(Fenced, match="was brought to schema 9999 under this monitor"):
            write()
    assert either.sets.all(EVERYONE) == []
