"""A store that is gone, or another one, is noticed before anything is written or begun anew."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudmon.errors import StoreLost, StoreUnavailable
from cloudmon.model.sets import SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import BreakKind, Ownership, Store, open_store, presence
from cloudmon.store.database import connect
from cloudmon.testing.store_words import START, later

SPEC = SetSpec("web", 1, Template("web", {"*": "image-1"}))


class Kept:
    """A store with anchors, in a folder or on a server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.anchors = folder / "anchors"

    def open(self) -> Store:
        return open_store(self.url, log_key=b"key", anchor_dir=self.anchors, now=START, paused=lambda _: None)

    def used(self) -> None:
        """Let a monitor write to it, and end."""
        store = self.open()
        begin(store)
        store.close()


def begin(store: Store) -> Ownership:
    return store.monitors.begin(host="here", pid=1, now=START)


def put(store: Store, owner: Ownership) -> None:
    store.sets.put(owner, uid=None, spec=SPEC, author="ann", now=later(1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def kept(tmp_path: Path, file: Path) -> Kept:
    return Kept(tmp_path, f"sqlite:///{file}")


@pytest.fixture
def store(kept: Kept) -> Iterator[Store]:
    found = kept.open()
    yield found
    found.close()


# --- while it is used -------------------------------------------------------------------------------------------------


def taken_away(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def replaced(file: Path) -> None:
    taken_away(file)
    shutil.copy(file.with_name("elsewhere"), file)


@pytest.mark.parametrize("lose", [taken_away, replaced])
def test_a_file_that_is_another_one_or_none_is_neither_written_nor_read(
    store: Store, file: Path, lose: Callable[[Path], None]
) -> None:
    owner = begin(store)
    lose(file)
    before = file.read_bytes() if file.exists() else None
    for use in (
        lambda: put(store, owner),
        lambda: store.sets.all(EVERYONE),
        lambda: store.at_once(lambda: store.members.all(EVERYONE)),
        lambda: list(store.usage.events(EVERYONE)),
    ):
        with pytest.raises(StoreUnavailable, match=r"s\.db was removed or replaced while it was in use; move it back"):
            use()
    assert (file.read_bytes() if file.exists() else None) == before
    file.with_name("elsewhere").rename(file)
    put(store, owner)
    assert [aset.name for aset in store.sets.all(EVERYONE)] == ["web"]


def test_what_was_written_while_the_file_went_is_taken_back(file: Path) -> None:
    database = connect(f"sqlite:///{file}")
    database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x)"))
    with pytest.raises(StoreUnavailable, match="nothing was written"):
        database.write(lambda connection: (connection.exec_driver_sql("INSERT INTO t VALUES (1)"), taken_away(file)))
    file.with_name("elsewhere").rename(file)
    counted = database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM t").scalar())
    assert counted == 0
    database.close()


# --- when it is opened ------------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_is_not_made_anew_while_anchors_tell_of_it(kept: Kept, file: Path) -> None:
    kept.used()
    file.unlink()
    with pytest.raises(StoreLost, match=r"s\.db holds nothing, but .*heads\.log tells of one that did; put that one"):
        kept.open()
    assert not file.exists()
    file.write_bytes(b"")
    with pytest.raises(StoreLost):
        kept.open()
    file.unlink()
    kept.anchors.rename(kept.anchors.with_name("away"))
    kept.open().close()


def test_a_store_that_was_made_and_never_used_is_not_begun_while_anchors_tell_of_another(
    kept: Kept, file: Path
) -> None:
    kept.open().close()
    shutil.copy(file, file.with_name("unused"))
    kept.used()
    file.with_name("unused").rename(file)
    with pytest.raises(StoreLost):
        kept.open()


def test_an_empty_database_of_a_server_is_not_begun_while_anchors_tell_of_one(
    tmp_path: Path, kept: Kept, postgres_url: str
) -> None:
    kept.used()
    elsewhere = Kept(tmp_path, postgres_url)
    with pytest.raises(StoreLost, match="holds nothing"):
        elsewhere.open()
    assert not presence.is_made(postgres_url)


def test_anchors_without_a_whole_line_tell_of_nothing(kept: Kept) -> None:
    kept.anchors.mkdir()
    (kept.anchors / "heads.log").write_text("1 abc")
    kept.open().close()


def test_anchors_that_nobody_can_read_are_said(kept: Kept) -> None:
    (kept.anchors / "heads.log").mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match=r"heads\.log cannot be read"):
        kept.open()


def test_a_store_in_memory_begins_with_nothing_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        Kept(tmp_path, "memory").used()


# --- its log ----------------------------------------------------------------------------------------------------------


def test_the_log_of_a_store_that_nobody_began_is_whole(store: Store) -> None:
    assert store.log.verify(EVERYONE) == []


def test_the_log_of_a_store_that_somebody_began_is_missed(store: Store, file: Path) -> None:
    begin(store)
    with sqlite3.connect(file) as connection:
        for table in ("action_log", "log_heads"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  # two names of ours
    connection.close()
    assert {one.kind for one in store.log.verify(EVERYONE)} == {BreakKind.CHAIN_DELETED}
