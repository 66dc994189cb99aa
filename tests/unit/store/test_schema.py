"""Schema and migrations: a new store equals a migrated one, an older one is upgraded with its rows."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudmon.errors import MonitorAlreadyRuns, StoreError, StoreOutdated, StoreTooNew, StoreUnavailable
from cloudmon.model.actions import Verb
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store, database, locks, migrations, open_store, schema
from cloudmon.store.tables import METADATA
from cloudmon.testing.store_words import START

KEY = b"key"
Connect = Callable[[str], database.Database]


@pytest.fixture
def connect() -> Any:
    opened: list[database.Database] = []

    def make(url: str) -> database.Database:
        opened.append(database.connect(url))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def two_urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    make = request.getfixturevalue("new_postgres_url")
    return make(), make()


def described(one: database.Database) -> dict[str, Any]:
    """Everything that the database says of its tables, names included."""

    def work(connection: sa.Connection) -> dict[str, Any]:
        look = sa.inspect(connection)

        def of(table: str) -> dict[str, Any]:
            by_name = {"key": lambda found: str(found.get("name"))}
            return {
                "columns": [{**column, "type": str(column["type"])} for column in look.get_columns(table)],
                "primary key": look.get_pk_constraint(table),
                "foreign keys": sorted(look.get_foreign_keys(table), **by_name),
                "unique": sorted(look.get_unique_constraints(table), **by_name),
                "checks": sorted(look.get_check_constraints(table), **by_name),
                "indexes": [
                    {**index, "dialect_options": {key: str(value) for key, value in index["dialect_options"].items()}}
                    for index in sorted(look.get_indexes(table), **by_name)
                ],
                "options": look.get_table_options(table),
            }

        return {table: of(table) for table in look.get_table_names()}

    return one.read(work)


def old_store(one: database.Database) -> None:
    """A store as the first revision left it, with rows in it."""

    def work(connection: sa.Connection) -> None:
        migrations.upgrade(connection, "0001")
        for statement in (
            "INSERT INTO estates VALUES ('oldestate123', '2026-01-01T00:00:00.000000+00:00', 3, 'check')",
            "INSERT INTO findings (kind, subject, tenant, severity, message, evidence, opened_at) VALUES"
            " ('fault', 'x/1', 'acme', 'warning', 'not well', '{}', '2026-01-01T00:00:00.000000+00:00')",
            "INSERT INTO usage_events VALUES ('k', 'acme', 'x', 1, 1, 'east', 'n', 'node.running', 'began',"
            " '2026-01-01T00:00:00.000000+00:00', '0', '{}')",
            "INSERT INTO intents VALUES ('i', 'x', 1, 'acme', 'reboot', 'disruptive', 'request', 1, '', 'east', 'n',"
            " 'slow', '{}', '2026-01-01T00:00:00.000000+00:00', '2026-01-01T00:01:00.000000+00:00', 3, 'performed', '',"
            " '', 0, NULL, NULL, '')",
        ):
            connection.exec_driver_sql(statement)

    one.write(work)


def opened(url: str, *, upgrade: bool = False) -> Store:
    return open_store(url, log_key=KEY, anchor_dir=None, now=START, upgrade=upgrade, paused=lambda _: None)


def test_a_new_store_equals_one_migrated_from_nothing(two_urls: tuple[str, str], connect: Connect) -> None:
    made, migrated = (connect(url) for url in two_urls)
    made.write(schema.create)
    migrated.write(migrations.upgrade)
    assert described(made) == described(migrated)
    assert set(METADATA.tables) | {"alembic_version"} == set(described(made))
    assert made.read(migrations.revision) == migrated.read(migrations.revision) == migrations.NEWEST


def test_an_older_store_is_refused_until_it_may_be_upgraded(two_urls: tuple[str, str], connect: Connect) -> None:
    url = two_urls[0]
    old = connect(url)
    old_store(old)
    with pytest.raises(StoreOutdated, match="0001"):
        opened(url)
    store = opened(url, upgrade=True)
    assert store.estate == "oldestate123"
    (finding,) = store.findings.open(EVERYONE)
    assert (finding.subject, finding.tenant) == ("x/1", "acme")
    (event,) = store.usage.events(EVERYONE)
    assert (event.key, event.at) == ("k", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    (intent,) = store.intents.open(EVERYONE)
    assert (intent.id, intent.verb, intent.arguments, intent.result) == ("i", Verb.REBOOT, {}, {})
    store.close()
    opened(url).close()
    fresh = connect(two_urls[1])
    fresh.write(schema.create)
    assert described(old) == described(fresh)


def test_a_store_is_not_upgraded_under_a_monitor(two_urls: tuple[str, str], connect: Connect) -> None:
    """One of the older version would go on as if nothing had changed."""
    old = connect(two_urls[0])
    old_store(old)
    before = described(old)
    with locks.lock(old, "oldestate123", START), pytest.raises(MonitorAlreadyRuns, match="stop it first"):
        opened(two_urls[0], upgrade=True)
    assert described(old) == before
    opened(two_urls[0], upgrade=True).close()


def test_a_store_whose_making_was_cut_off_is_said(two_urls: tuple[str, str], connect: Connect) -> None:
    connect(two_urls[0]).write(lambda connection: migrations.upgrade(connection, "0001"))
    with pytest.raises(StoreError, match="was never made to its end"):
        opened(two_urls[0], upgrade=True)


def test_an_upgrade_that_fails_leaves_the_old_schema(
    two_urls: tuple[str, str], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = connect(two_urls[0])
    old_store(old)
    before = described(old)
    upgrade = migrations.upgrade

    def breaks(connection: sa.Connection) -> None:
        upgrade(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(migrations, "upgrade", breaks)
    with pytest.raises(KeyboardInterrupt):
        opened(two_urls[0], upgrade=True)
    assert described(old) == before


def test_a_newer_store_is_refused(two_urls: tuple[str, str], connect: Connect) -> None:
    url = two_urls[0]
    opened(url).close()
    one = connect(url)
    one.write(lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    for upgrade in (False, True):
        with pytest.raises(StoreTooNew, match="9999"):
            opened(url, upgrade=upgrade)


def test_a_database_of_something_else_is_refused_and_left_alone(two_urls: tuple[str, str], connect: Connect) -> None:
    one = connect(two_urls[0])
    one.write(lambda connection: connection.exec_driver_sql("CREATE TABLE letters (id INTEGER)"))
    with pytest.raises(StoreError, match="letters"):
        opened(two_urls[0])
    assert set(described(one)) == {"letters"}


def test_many_who_open_a_new_store_at_once_find_one_estate(two_urls: tuple[str, str]) -> None:
    found: list[str] = []

    def look() -> None:
        store = opened(two_urls[0])
        found.append(store.estate)
        store.close()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_the_revisions_named_are_those_that_are_shipped() -> None:
    files = sorted(path.name for path in Path(migrations.__file__).parent.glob("versions/0*.py"))
    assert tuple(name.partition("_")[0] for name in files) == migrations.REVISIONS


def test_words_that_are_none_are_refused_by_the_database_itself(two_urls: tuple[str, str], connect: Connect) -> None:
    one = connect(two_urls[0])
    old_store(one)
    wrong = "UPDATE usage_events SET mark = 'sometimes'"
    with pytest.raises(StoreError, match="breaks its rules"):
        one.write(lambda connection: connection.exec_driver_sql(wrong))


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/db", "sqlite://", "sqlite:///:memory:", "no url: secret", "postgresql://u:secret@h:x/d"]
)
def test_a_url_of_no_store_is_refused_without_repeating_its_secret(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        opened(url)
    assert "secret" not in str(refused.value)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere"):
        opened(f"sqlite:///{tmp_path}/nowhere/s.db")
