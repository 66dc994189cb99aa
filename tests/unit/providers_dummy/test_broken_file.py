"""A world whose file cannot be used is a cloud that does not answer, or answers nonsense: never another error."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudmon.errors import CloudError, UnexpectedAnswer, Unreachable
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings, storage
from cloudmon_providers.dummy.storage import SharedFile

TOKEN = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", 1, 1)
TAGS = {**ownership_tags(TOKEN, set_name="web", tenant="default"), "much": "x" * 100_000}

Call = Callable[[DummyProvider], object]

VERBS: dict[str, Call] = {
    "list_nodes": lambda provider: provider.list_nodes(),
    "get_node": lambda provider: provider.get_node("vm-1"),
    "list_offers": lambda provider: provider.list_offers(),
    "create_node": lambda provider: provider.create_node(request()),
    "destroy_node": lambda provider: provider.destroy_node("vm-1"),
    "start_node": lambda provider: provider.start_node("vm-1"),
    "stop_node": lambda provider: provider.stop_node("vm-1"),
    "reboot_node": lambda provider: provider.reboot_node("vm-1"),
    "suspend_node": lambda provider: provider.suspend_node("vm-1"),
    "resume_node": lambda provider: provider.resume_node("vm-1"),
    "tag_node": lambda provider: provider.tag_node("vm-1", {"a": "b"}),
}


def request(size: str = "small") -> NodeRequest:
    return NodeRequest(str(TOKEN), "web-1", Offer("east", size, "east-1", 1, 1024, 10), "img", TAGS)


def opened(path: Path) -> DummyProvider:
    options = DummySettings(world=str(path), locations=("east-1",))
    return DummyProvider("east", options, now=FakeClock().now, timeout_s=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worlds" / "east.world"


def forbidden(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do everything, so the system's refusal is played."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path.parent))

    monkeypatch.setattr(Path, "mkdir", refuse)


def below_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.write_text("no folder", encoding="utf-8")


def a_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(parents=True)


def something_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    path.write_bytes(b"a picture of a cat" * 1000)


def another_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE machines (name TEXT)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (forbidden, Unreachable),
        (below_a_file, Unreachable),
        (a_folder, Unreachable),
        (something_else, UnexpectedAnswer),
        (another_database, UnexpectedAnswer),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_cannot_be_opened_is_an_error_of_the_cloud_that_names_it(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    error: type[CloudError],
) -> None:
    with monkeypatch.context() as patched:
        spoil(path, patched)
        with pytest.raises(error, match=r"the file of this cloud, .*/east\.world, cannot be used: ") as caught:
            opened(path)
    assert caught.value.__cause__ is not None


def test_a_file_that_can_be_opened_again_is_the_cloud_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        forbidden(path, patched)
        with pytest.raises(Unreachable):
            opened(path)
    assert not opened(path).list_nodes().nodes


@pytest.fixture
def busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DummyProvider]:
    """A cloud whose file another process does not give away."""
    monkeypatch.setattr(storage, "BUSY_S", 0.001)
    provider = opened(path)
    somebody = sqlite3.connect(path, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    yield provider
    somebody.execute("ROLLBACK")
    somebody.close()


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_another_process_keeps_makes_every_verb_unreachable(busy: DummyProvider, verb: str) -> None:
    with pytest.raises(Unreachable, match=r"/east\.world, cannot be used: database is locked") as caught:
        VERBS[verb](busy)
    assert caught.value.cloud == "east"


def test_a_disk_without_room_makes_nothing(path: Path) -> None:
    provider = opened(path)
    provider.list_nodes()
    room = provider.world._storage
    assert isinstance(room, SharedFile)
    (pages,) = room._connection.execute("PRAGMA page_count").fetchone()
    room._connection.execute(f"PRAGMA max_page_count = {pages}")
    size = provider.list_offers()[0].size
    with pytest.raises(Unreachable, match=r"/east\.world, cannot be used: database or disk is full"):
        provider.create_node(request(size))
    room._connection.execute("PRAGMA max_page_count = 1000000")
    assert not provider.list_nodes().nodes
    made = provider.create_node(request(size))
    assert [node.id for node in provider.list_nodes().nodes] == [made.id]


def test_a_file_that_broke_is_an_unexpected_answer(path: Path) -> None:
    provider = opened(path)
    provider.list_nodes()
    room = provider.world._storage
    assert isinstance(room, SharedFile)
    room._connection.execute("DROP TABLE world")
    with pytest.raises(UnexpectedAnswer, match=r"/east\.world, cannot be used: no such table"):
        provider.list_nodes()
