"""Every way of tampering with the action log is found, and named for what it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudmon.errors import StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.model.changes import Change
from cloudmon.model.sets import SetSpec, Template
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store import BreakKind, Store, open_store
from cloudmon.testing.store_words import START, later

KEY = b"the key that this log was written with"
ENTRIES = 8
Sql = Callable[..., None]


class Log:
    """A store with one set whose chain has ENTRIES entries, and a way to its file around the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = self.open()
        self.owner = self.store.monitors.begin(host="here", pid=1, now=START)
        spec = SetSpec("storefront", 1, Template("web", {"*": "i"}))
        self.uid = self.store.sets.put(self.owner, uid=None, spec=spec, author="x", now=START).uid
        for number in range(2, ENTRIES + 1):
            self.say(f"entry {number}")

    def open(self, key: bytes = KEY, *, anchored: bool = True) -> Store:
        anchors = self.folder / "anchors" if anchored else None
        return open_store(f"sqlite:///{self.folder}/s.db", log_key=key, anchor_dir=anchors, now=START)

    def say(self, word: str) -> None:
        entry = LogEntry(self.uid, later(1), word, "subject", {"word": word})
        self.store.ledger.write(self.owner, [Change("default", log=(entry,))], now=START)

    def sql(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.folder / "s.db") as connection:
            connection.execute(statement.replace(":uid", f"'{self.uid}'"), values)
        connection.close()

    def breaks(self, *, anchored: bool = True) -> list[tuple[BreakKind, int]]:
        store = self.store if anchored else self.open(anchored=False)
        found = store.log.verify(EVERYONE)
        assert all(one.chain == self.uid for one in found)
        assert all(one.message for one in found)
        if not anchored:
            store.close()
        return [(one.kind, one.seq) for one in found]

    def rewind(self, seq: int) -> None:
        """Cut the tail and make the head row agree."""
        self.sql("DELETE FROM action_log WHERE chain = :uid AND seq > ?", seq)
        self.sql(
            "UPDATE log_heads SET seq = ?, mac = (SELECT mac FROM action_log WHERE chain = :uid AND seq = ?)"
            " WHERE chain = :uid",
            seq,
            seq,
        )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_log_that_nobody_touched_is_whole(log: Log) -> None:
    assert log.breaks() == []


COLUMNS = ["tenant", "at", "kind", "subject", "body", "epoch", "previous", "mac"]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("seq", [1, 4, ENTRIES])
def test_a_changed_value_is_found_in_every_column(log: Log, column: str, seq: int) -> None:
    new: object = {"at": "2026-03-01T12:00:01.000001+00:00", "epoch": 7}.get(column, "x")
    if column == "body":
        new = '{"word":"another"}'
    log.sql(f"UPDATE action_log SET {column} = ? WHERE chain = :uid AND seq = ?", new, seq)  # noqa: S608
    assert log.breaks() == [(BreakKind.CHANGED, seq)]


def test_a_body_that_only_gained_a_blank_is_changed(log: Log) -> None:
    log.sql("UPDATE action_log SET body = body || ' ' WHERE chain = :uid AND seq = 3")
    assert log.breaks() == [(BreakKind.CHANGED, 3)]


@pytest.mark.parametrize("seq", [1, 4, ENTRIES - 1])
def test_a_removed_row_is_found(log: Log, seq: int) -> None:
    log.sql("DELETE FROM action_log WHERE chain = :uid AND seq = ?", seq)
    assert log.breaks() == [(BreakKind.REMOVED, seq)]


def test_a_removed_row_is_found_when_the_gap_was_closed(log: Log) -> None:
    log.sql("DELETE FROM action_log WHERE chain = :uid AND seq = 4")
    for seq in range(5, ENTRIES + 1):
        log.sql("UPDATE action_log SET seq = ? WHERE chain = :uid AND seq = ?", seq - 1, seq)
    assert (BreakKind.REMOVED, 4) in log.breaks()
    log.sql("UPDATE log_heads SET seq = seq - 1 WHERE chain = :uid")
    assert (BreakKind.REMOVED, 4) in log.breaks()
    assert (BreakKind.REMOVED, 4) in log.breaks(anchored=False)


COPY = (
    "INSERT INTO action_log SELECT chain, ?, tenant, at, kind, 'forged', body, epoch, previous, mac"
    " FROM action_log WHERE chain = :uid AND seq = ?"
)


def test_a_row_added_at_the_end_is_found(log: Log) -> None:
    log.sql(COPY, ENTRIES + 1, ENTRIES)
    assert log.breaks() == [(BreakKind.ADDED, ENTRIES + 1)]


def test_a_row_added_at_the_end_is_found_when_the_head_row_agrees(log: Log) -> None:
    log.sql(COPY, ENTRIES + 1, ENTRIES)
    log.sql("UPDATE log_heads SET seq = seq + 1 WHERE chain = :uid")
    assert log.breaks() != []


def test_a_row_put_in_between_is_found_when_the_later_ones_were_pushed_on(log: Log) -> None:
    for seq in range(ENTRIES, 3, -1):
        log.sql("UPDATE action_log SET seq = ? WHERE chain = :uid AND seq = ?", seq + 1, seq)
    log.sql(COPY, 4, 3)
    assert log.breaks() == [(BreakKind.ADDED, 4)]


def test_a_copied_row_is_found(log: Log) -> None:
    log.sql(COPY.replace("'forged'", "subject"), ENTRIES + 1, 5)
    assert log.breaks() == [(BreakKind.ADDED, ENTRIES + 1)]


def test_two_rows_that_changed_places_are_found(log: Log) -> None:
    for old, new in ((3, 99), (6, 3), (99, 6)):
        log.sql("UPDATE action_log SET seq = ? WHERE chain = :uid AND seq = ?", new, old)
    found = log.breaks()
    assert {kind for kind, _ in found} == {BreakKind.MOVED}
    assert {seq for _, seq in found} <= {3, 4, 5, 6}
    assert found


def test_a_row_that_was_carried_far_is_found(log: Log) -> None:
    log.sql("UPDATE action_log SET seq = 500 WHERE chain = :uid AND seq = 2")
    assert log.breaks() == [(BreakKind.MOVED, 500)]


def test_a_cut_tail_is_found_by_the_head_row(log: Log) -> None:
    log.sql("DELETE FROM action_log WHERE chain = :uid AND seq > 5")
    assert log.breaks(anchored=False) == [(BreakKind.TAIL_CUT, 6)]


def test_a_cut_tail_is_found_by_the_anchors_when_the_head_row_agrees(log: Log) -> None:
    log.rewind(5)
    assert log.breaks() == [(BreakKind.TAIL_CUT, 6)]
    assert log.breaks(anchored=False) == []  # nothing in the store itself can tell


def test_a_tail_that_was_cut_and_written_on_is_found_by_the_anchors(log: Log) -> None:
    log.rewind(5)
    for number in range(5):
        log.say(f"after the cut {number}")
    assert {kind for kind, _ in log.breaks()} == {BreakKind.REWRITTEN}
    assert min(seq for _, seq in log.breaks()) == 6


@pytest.mark.parametrize("anchored", [True, False], ids=["anchored", "not anchored"])
@pytest.mark.parametrize("heads", [True, False], ids=["head row too", "rows only"])
def test_a_deleted_chain_is_found(log: Log, anchored: bool, heads: bool) -> None:
    log.sql("DELETE FROM action_log WHERE chain = :uid")
    if heads:
        log.sql("DELETE FROM log_heads WHERE chain = :uid")
    assert log.breaks(anchored=anchored) == [(BreakKind.CHAIN_DELETED, 0)]


def test_a_head_row_that_is_gone_is_found(log: Log) -> None:
    log.sql("DELETE FROM log_heads WHERE chain = :uid")
    assert log.breaks() == [(BreakKind.HEAD_CHANGED, 0)]


@pytest.mark.parametrize("change", ["seq = 5", "mac = 'x'"])
def test_a_head_row_that_was_changed_is_found(log: Log, change: str) -> None:
    log.sql(f"UPDATE log_heads SET {change} WHERE chain = :uid")  # noqa: S608
    assert {kind for kind, _ in log.breaks()} == {BreakKind.HEAD_CHANGED}


def test_every_one_of_several_breaks_is_named(log: Log) -> None:
    log.sql("UPDATE action_log SET subject = 'x' WHERE chain = :uid AND seq = 2")
    log.sql("DELETE FROM action_log WHERE chain = :uid AND seq = 4")
    log.sql("DELETE FROM action_log WHERE chain = :uid AND seq > 6")
    assert log.breaks() == [(BreakKind.CHANGED, 2), (BreakKind.REMOVED, 4), (BreakKind.TAIL_CUT, 7)]


def test_a_changed_line_of_the_anchor_file_is_found(log: Log) -> None:
    path = log.folder / "anchors" / "heads.log"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = "9" + lines[2]
    path.write_text("".join(lines))
    (found,) = log.store.log.verify(EVERYONE)
    assert found.kind is BreakKind.ANCHOR_CHANGED
    assert "line 3" in found.message


def test_an_anchor_file_that_cannot_be_read_is_said(log: Log) -> None:
    path = log.folder / "anchors" / "heads.log"
    path.unlink()
    path.mkdir()
    assert [one.kind for one in log.store.log.verify(EVERYONE)] == [BreakKind.ANCHOR_UNREADABLE]


def test_another_key_is_told_apart_from_tampering_and_writes_nothing(log: Log) -> None:
    other = log.open(b"another key")
    (found,) = other.log.verify(EVERYONE)
    assert found.kind is BreakKind.WRONG_KEY
    assert "the key is not the one this log was written with" in found.message
    with pytest.raises(StoreError, match="the key is not the one"):
        other.monitors.begin(host="there", pid=2, now=START)
    assert len(other.monitors.all()) == 1
    other.close()


def test_a_key_check_that_was_tampered_with_does_not_stop_verification(log: Log) -> None:
    log.sql("UPDATE estates SET key_check = 'x'")
    log.sql("UPDATE action_log SET subject = 'x' WHERE chain = :uid AND seq = 2")
    assert log.breaks() == [(BreakKind.CHANGED, 2)]


def test_a_tenant_verifies_its_own_chains_only(log: Log) -> None:
    log.sql("UPDATE action_log SET subject = 'x' WHERE chain = :uid AND seq = 2")
    assert [one.seq for one in log.store.log.verify(Scope.of("default"))] == [2]
    assert log.store.log.verify(Scope.of("rival")) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mixture_of_deletions_and_changes_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = Log(tmp_path_factory.mktemp("log"))
    removed = data.draw(st.sets(st.integers(1, ENTRIES), max_size=ENTRIES - 1))
    changed = data.draw(st.sets(st.integers(1, ENTRIES))) - removed
    for seq in removed:
        log.sql("DELETE FROM action_log WHERE chain = :uid AND seq = ?", seq)
    for seq in changed:
        log.sql("UPDATE action_log SET subject = 'forged' WHERE chain = :uid AND seq = ?", seq)
    found = log.breaks()
    assert {seq for kind, seq in found if kind is BreakKind.CHANGED} == changed
    last = max(set(range(1, ENTRIES + 1)) - removed)
    assert {seq for kind, seq in found if kind is BreakKind.REMOVED} == {seq for seq in removed if seq < last}
    assert {seq for kind, seq in found if kind is BreakKind.TAIL_CUT} == ({last + 1} if last < ENTRIES else set())
    log.store.close()
