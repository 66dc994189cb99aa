"""A world in a file: several processes are in it at once, and one that is killed leaves it whole."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cloudmon.errors import Refused
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings, Fault, World, worlds
from cloudmon_providers.dummy.storage import SharedFile

MAKER = """
import sys
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import NodeRequest
from cloudmon.testing import FakeClock
from cloudmon_providers.dummy import DummyProvider, DummySettings

path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
provider = DummyProvider("east", DummySettings(world=path), now=FakeClock().now, timeout_s=30)
offer = provider.list_offers()[0]
print("ready", flush=True)
for ordinal in range(first, last):
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, 1)
    tags = ownership_tags(token, set_name="web", tenant="default")
    node = provider.create_node(NodeRequest(str(token), f"web-{ordinal}", offer, "img", tags))
    print(ordinal, node.id, flush=True)
"""


def maker(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    """A process that makes the machines of these ordinals."""
    command = [sys.executable, "-c", MAKER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


def another(path: Path, **settings: Any) -> World:
    """The world as another process would open it."""
    return World(DummySettings(world=str(path), **settings), now=FakeClock().now, storage=SharedFile(path))


def request(ordinal: int, provider: DummyProvider) -> NodeRequest:
    token = Token("aaaaaaaaaaaa", "bbbbbbbbbbbb", ordinal, 1)
    tags = ownership_tags(token, set_name="web", tenant="default")
    return NodeRequest(str(token), f"web-{ordinal}", provider.list_offers()[0], "img", tags)


@pytest.fixture
def provider(path: Path) -> DummyProvider:
    return DummyProvider("east", DummySettings(world=str(path)), now=FakeClock().now, timeout_s=30)


def test_what_one_process_does_another_sees_at_once(path: Path, provider: DummyProvider) -> None:
    other = another(path)
    made = provider.create_node(request(1, provider))
    assert [node.id for node in other.nodes_true()] == [made.id]
    other.kill_node(made.id)
    assert provider.get_node(made.id).word == "failed"
    other.set_outage(True)
    other.plan_fault("list_offers", Fault.THROTTLE)
    other.set_outage(False)
    assert other.calls == provider.world.calls
    other.close()


def test_processes_that_race_with_the_same_tokens_get_the_same_machines(path: Path, provider: DummyProvider) -> None:
    racers = [maker(path, 1, 41) for _ in range(2)]
    outputs = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 41
    assert len(provider.world.nodes_true()) == 40


def test_a_token_is_spent_for_every_process(path: Path, provider: DummyProvider) -> None:
    made = provider.create_node(request(1, provider))
    other = another(path)
    other.delete_by_hand(made.id)
    other.close()
    with pytest.raises(Refused):
        provider.create_node(request(1, provider))


@pytest.mark.parametrize("answers", [1, 5, 23])
def test_a_process_that_is_killed_leaves_the_world_whole(path: Path, answers: int) -> None:
    """Whatever was answered is there, at most one more is, and the world goes on."""
    process = maker(path, 1, 100_000)
    assert process.stdout is not None
    told = [line.split() for line in itertools.islice(process.stdout, 1 + answers)][1:]
    os.kill(process.pid, signal.SIGKILL)
    rest = [line.split() for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.wait(timeout=30)

    world = another(path)
    there = {node.id for node in world.nodes_true()}
    answered = {line[1] for line in [*told, *rest]}
    assert answered <= there
    assert len(there) - len(answered) <= 1
    assert world.foreign() not in there
    world.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_turn_that_cannot_be_written_did_not_happen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = another(path)
    kept = world.foreign("kept")

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(SharedFile, "commit", full)
        with pytest.raises(sqlite3.OperationalError):
            world.foreign("lost")
    assert [node.id for node in world.nodes_true()] == [kept]
    assert len({kept, world.foreign("next")}) == 2
    world.close()


def test_a_world_is_opened_once_in_a_process(path: Path, provider: DummyProvider) -> None:
    options = DummySettings(world=str(path.parent / "." / path.name))
    assert worlds.open_world(options, cloud="west", now=FakeClock().now) is provider.world


def test_a_file_that_somebody_keeps_busy_holds_up_no_other_world(path: Path, tmp_path: Path) -> None:
    """A monitor's clouds are opened by their own threads: one that hangs must not take the others with it."""
    SharedFile(path).close()
    now = FakeClock().now
    somebody = sqlite3.connect(path, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    busy = threading.Thread(
        target=lambda: worlds.open_world(DummySettings(world=str(path)), cloud="east", now=now), daemon=True
    )
    busy.start()
    other = worlds.open_world(DummySettings(world=str(tmp_path / "west.world")), cloud="west", now=now)
    assert other.nodes_true() == []
    assert busy.is_alive()
    somebody.execute("ROLLBACK")
    somebody.close()
    busy.join(60)
    assert not busy.is_alive()


def test_a_long_story_reads_back_as_it_was(path: Path) -> None:
    clock = FakeClock()
    settings = DummySettings(world=str(path), boot_s=10, listing_lag_s=20, terminate_s=5, stop_s=5)
    world = World(settings, now=clock.now, storage=SharedFile(path))
    ids = [world.foreign(f"m{number}") for number in range(6)]
    clock.advance(15)
    world.kill_node(ids[0])
    world.stop_by_hand(ids[1])
    world.delete_by_hand(ids[2])
    world.hang(ids[3])
    world.reclaim(ids[4])
    clock.advance(7)
    truth = world.ledger()
    reread = World(settings, now=clock.now, storage=SharedFile(path))
    assert reread.ledger() == truth
    clock.advance(60)
    assert reread.ledger() == world.ledger()
    world.close()
    reread.close()
