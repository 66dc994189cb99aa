"""A store that was put back from an older copy: it says what is missing, and its monitors are told apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudmon.errors import Fenced
from cloudmon.model.changes import Change
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.sets import SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import BreakKind, Missing, Ownership, Store, open_store
from cloudmon.testing.store_words import START, later

SPEC = SetSpec("web", 1, Template("web", {"*": "image-1"}))


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    url = f"sqlite:///{folder}/a.db"
    store = open_store(url, log_key=b"key", anchor_dir=folder / "anchors", now=START)
    try:
        yield store
    finally:
        store.close()


def begin(store: Store, at: float = 0) -> Ownership:
    return store.monitors.begin(host="here", pid=1, now=later(at))


@pytest.fixture
def put_back(tmp_path: Path) -> tuple[Path, Ownership, str]:
    """A store as it was before two more sets were made: where it is, who owned it last, and its set."""
    with opened(tmp_path) as store:
        first = begin(store)
        uid = store.sets.put(first, uid=None, spec=SPEC, author="ann", now=START).uid
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with opened(tmp_path) as store:
        owner = begin(store, 1)
        store.sets.put(owner, uid=uid, spec=SPEC, author="ann", now=later(2))
        store.sets.put(owner, uid=None, spec=SetSpec("db", 1, SPEC.template), author="ann", now=later(3))
        assert store.log.missing() == []
    shutil.copy(tmp_path / "copy.db", tmp_path / "a.db")
    return tmp_path, owner, uid


def test_it_says_what_is_missing(put_back: tuple[Path, Ownership, str]) -> None:
    folder, _, uid = put_back
    with opened(folder) as store:
        missing = {one.chain: (one.stored, one.anchored) for one in store.log.missing()}
        assert missing["estate"] == (1, 2)
        assert missing[uid] == (1, 2)
        assert [found for chain, found in missing.items() if chain not in ("estate", uid)] == [(0, 1)]
        assert {one.kind for one in store.log.verify(EVERYONE)} == {BreakKind.TAIL_CUT, BreakKind.CHAIN_DELETED}


def test_what_was_said_once_is_not_said_again_and_the_breaks_stay(put_back: tuple[Path, Ownership, str]) -> None:
    folder, _, uid = put_back
    with opened(folder) as store:
        owner = begin(store, 10)
        assert Missing(uid, 1, 2) in store.log.missing()
        store.log.go_on()
        assert store.log.missing() == []
        store.sets.put(owner, uid=uid, spec=SPEC, author="ann", now=later(11))
        assert len({one.chain for one in store.log.verify(EVERYONE)}) == 3
    with opened(folder) as store:
        assert store.log.missing() == []


def test_without_anchors_nothing_is_known_to_be_missing(put_back: tuple[Path, Ownership, str]) -> None:
    folder, _, _ = put_back
    (folder / "anchors" / "heads.log").unlink()
    with opened(folder) as store:
        assert store.log.missing() == []
    store = open_store("memory", log_key=b"key", anchor_dir=None, now=START)
    assert store.log.missing() == []
    store.close()


def test_a_monitor_of_the_lost_time_is_fenced_though_its_epoch_came_again(
    put_back: tuple[Path, Ownership, str],
) -> None:
    folder, before, uid = put_back
    with opened(folder) as store:
        now = begin(store, 10)
        assert now.epoch == before.epoch
        with pytest.raises(Fenced, match=f"another monitor owns the estate in our epoch {now.epoch}"):
            store.sets.put(before, uid=uid, spec=SPEC, author="ann", now=later(11))
        store.sets.put(now, uid=uid, spec=SPEC, author="ann", now=later(11))


def test_what_was_found_is_written_with_the_beginning(tmp_path: Path) -> None:
    finding = Finding(FindingKind.SUSPICIOUS, "store", "default", "critical", "put back", {}, START)
    with opened(tmp_path) as store:
        store.monitors.begin(host="here", pid=1, now=START, changes=[Change("default", findings=(finding,))])
        assert store.findings.open(EVERYONE) == [finding]
