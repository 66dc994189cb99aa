"""The journal keeps what was seen while the store was away."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.observations import Observation
from cloudmon.monitor.journal import Journal

START = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def node(number: int, state: NodeState = NodeState.RUNNING, *, name: str = "") -> Node:
    return Node(
        id=f"n-{number}",
        name=name or f"storefront-{number}",
        state=state,
        word=state.value,
        token=f"cm1-aaaaaaaaaaaa-bbbbbbbbbbbb-{number}-1",
        estate="aaaaaaaaaaaa",
        location="east",
        size="small",
        image="img",
        public_addresses=("192.0.2.1",),
        private_addresses=(),
        created_at=at(-60),
        tags={"cloudmon:set": "störefront"},
    )


def seen(cloud: str, seconds: float, *nodes: Node) -> Observation:
    return Observation(cloud, at(seconds), at(seconds + 1), True, "", nodes)


def failed(cloud: str, seconds: float, reason: str = "Unreachable") -> Observation:
    return Observation(cloud, at(seconds), at(seconds + 1), False, reason, None)


def by_id(observation: Observation) -> dict[str, Node] | None:
    return None if observation.nodes is None else {found.id: found for found in observation.nodes}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.jsonl"


def told(journal: Journal) -> list[Observation]:
    return list(journal.replay())


def test_what_was_appended_is_replayed_in_order_and_whole(path: Path) -> None:
    journal = Journal(path, 1)
    said = [
        seen("east", 0, node(1), node(2)),
        failed("west", 1),
        seen("east", 15, node(1, NodeState.STOPPED), node(3)),
        seen("east", 30),
    ]
    for observation in said:
        journal.append(observation)
    replayed = told(journal)
    assert [(o.cloud, o.started_at, o.finished_at, o.healthy, o.reason) for o in said] == [
        (o.cloud, o.started_at, o.finished_at, o.healthy, o.reason) for o in replayed
    ]
    assert [by_id(o) for o in said] == [by_id(o) for o in replayed]


def test_a_failed_listing_is_replayed_as_not_known_and_not_as_empty(path: Path) -> None:
    journal = Journal(path, 1)
    journal.append(failed("east", 0))
    assert told(journal)[0].nodes is None


def test_an_empty_listing_is_replayed_as_empty_and_not_as_not_known(path: Path) -> None:
    journal = Journal(path, 1)
    journal.append(seen("east", 0))
    assert told(journal)[0].nodes == ()


def test_a_listing_in_which_nothing_changed_takes_no_room_for_its_nodes(path: Path) -> None:
    journal = Journal(path, 1)
    nodes = [node(number) for number in range(500)]
    journal.append(seen("east", 0, *nodes))
    size = journal.size
    journal.append(seen("east", 15, *nodes))
    assert journal.size - size < 300
    assert len(told(journal)[1].nodes or ()) == 500


def test_it_is_there_again_after_the_process_was_killed(path: Path) -> None:
    before = Journal(path, 1)
    before.append(seen("east", 0, node(1), node(2)))
    after = Journal(path, 1)
    after.append(seen("east", 15, node(2)))
    assert [{"n-1", "n-2"}, {"n-2"}] == [set(by_id(o) or ()) for o in told(after)]


@pytest.mark.parametrize("lost", [1, 20, 100], ids=["newline", "some", "much"])
def test_a_torn_last_line_is_as_if_never_appended(path: Path, lost: int) -> None:
    journal = Journal(path, 1)
    journal.append(seen("east", 0, node(1)))
    journal.append(seen("east", 15, node(1), node(2)))
    os.truncate(path, journal.size - lost)
    again = Journal(path, 1)
    assert [at(0)] == [o.started_at for o in told(again)]
    again.append(seen("east", 30, node(1), node(3)))
    assert [{"n-1"}, {"n-1", "n-3"}] == [set(by_id(o) or ()) for o in told(again)]


def test_what_builds_on_an_unreadable_line_is_not_known(path: Path) -> None:
    journal = Journal(path, 1)
    for number in range(3):
        journal.append(seen("east", 15 * number, node(1), node(10 + number)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"x" + lines[1][1:] + lines[2])
    assert [{"n-1", "n-10"}, None] == [by_id(o) and set(by_id(o) or ()) for o in told(Journal(path, 1))]


def test_when_a_node_ended_is_kept_and_a_line_from_before_that_was_said_is_read(path: Path) -> None:
    journal = Journal(path, 1)
    ended = node(1, NodeState.TERMINATED)._replace(ended_at=at(-5), isolated=True, peers="")
    journal.append(seen("east", 0, ended))
    assert by_id(told(Journal(path, 1))[0]) == {"n-1": ended}
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f',"{at(-5).isoformat()}",true,""]]', "]]"), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    assert by_id(told(Journal(path, 1))[0]) == {"n-1": ended._replace(ended_at=None, isolated=None, peers=None)}


def test_what_a_failed_append_left_is_written_over(path: Path) -> None:
    journal = Journal(path, 1)
    journal.append(seen("east", 0, node(1)))
    with path.open("ab") as file:
        file.write(b'{"cloud": "ea')
    journal.append(seen("east", 15, node(2)))
    assert [{"n-1"}, {"n-2"}] == [set(by_id(o) or ()) for o in told(journal)]


def test_only_its_owner_can_read_it(path: Path) -> None:
    Journal(path, 1).append(seen("east", 0, node(1)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_cleared_it_is_empty_and_begins_with_whole_listings(path: Path) -> None:
    journal = Journal(path, 1)
    journal.append(seen("east", 0, node(1)))
    journal.clear()
    assert journal.size == 0
    assert told(journal) == []
    journal.append(seen("east", 15, node(1)))
    assert {"n-1"} == set(by_id(told(Journal(path, 1))[0]) or ())


def churn(journal: Journal, ticks: int, *, every: int = 15, cloud: str = "east") -> list[Observation]:
    """Listings in which all of 20 nodes change each time: each takes some 6 KB."""
    said = [
        seen(cloud, every * tick, *(node(n, name=f"{tick}-{n}-" + "x" * 50) for n in range(20)))
        for tick in range(ticks)
    ]
    for observation in said:
        journal.append(observation)
    return said


def test_full_it_drops_the_nodes_of_the_oldest_listings_and_keeps_the_newest(path: Path) -> None:
    journal = Journal(path, 0.1)
    said = churn(journal, 100)
    replayed = told(journal)
    assert path.stat().st_size <= 0.1 * 1024 * 1024
    assert journal.dropped > 0
    assert by_id(said[-1]) == by_id(replayed[-1])
    known = [o for o in replayed if o.nodes is not None]
    assert [by_id(o) for o in known] == [by_id(o) for o in said[-len(known) :]]
    assert len(known) + journal.dropped == len(said)


def test_full_it_keeps_when_the_cloud_was_seen(path: Path) -> None:
    journal = Journal(path, 0.1)
    said = churn(journal, 100)
    replayed = told(journal)
    assert said[0].started_at == replayed[0].started_at
    assert said[-1].finished_at == replayed[-1].finished_at
    gaps = [b.started_at - a.finished_at for a, b in itertools.pairwise(replayed)]
    assert max(gaps) <= dt.timedelta(seconds=15)


def test_full_it_keeps_that_the_cloud_was_not_seen(path: Path) -> None:
    journal = Journal(path, 0.1)
    journal.append(seen("east", -60, node(1)))
    journal.append(failed("east", -45, "Unreachable: no route"))
    journal.append(failed("east", -30, "Unreachable: no route"))
    churn(journal, 100)
    replayed = told(journal)
    assert [(True, at(-60), at(-59)), (False, at(-45), at(-29))] == [
        (o.healthy, o.started_at, o.finished_at) for o in replayed[:2]
    ]


def test_full_it_keeps_the_order_in_which_a_cloud_was_seen_and_not_seen(path: Path) -> None:
    journal = Journal(path, 0.1)
    journal.append(seen("east", -60, node(1)))
    journal.append(failed("east", -45))
    churn(journal, 100, cloud="west")
    assert [({"n-1"}, at(-60)), (None, at(-45))] == [
        (by_id(o) and set(by_id(o) or ()), o.started_at) for o in told(journal) if o.cloud == "east"
    ]


def test_extents_that_lie_far_apart_are_not_made_one(path: Path) -> None:
    journal = Journal(path, 0.1, max_gap_s=60)
    churn(journal, 100, every=100)
    bare = [o for o in told(journal) if o.nodes is None]
    assert len(bare) == journal.dropped
    assert all(o.finished_at - o.started_at == dt.timedelta(seconds=1) for o in bare)


def test_a_listing_that_would_fill_the_journal_alone_is_kept_without_its_nodes(path: Path) -> None:
    journal = Journal(path, 0.1)
    journal.append(seen("east", 0, node(1)))
    journal.append(seen("east", 15, *(node(number) for number in range(1000))))
    journal.append(seen("east", 30, node(2)))
    assert [{"n-1"}, None, {"n-2"}] == [by_id(o) and set(by_id(o) or ()) for o in told(journal)]
    assert journal.dropped == 1


def test_what_is_said_after_it_was_full_is_right_after_a_restart_too(path: Path) -> None:
    churn(Journal(path, 0.1), 60)
    again = Journal(path, 0.1)
    last = seen("east", 5000, node(1), node(2))
    again.append(last)
    assert by_id(last) == by_id(told(again)[-1])


def test_listings_that_leave_no_room_for_two_of_them_do_not_grow_it(path: Path) -> None:
    journal = Journal(path, 0.1)
    for tick in range(30):
        nodes = (node(n, name=f"{tick}-{n}") for n in range(150))
        journal.append(seen(f"cloud-{tick % 3}", 15 * tick, *nodes))
        assert path.stat().st_size <= 0.1 * 1024 * 1024
    assert told(journal)[-1].nodes is not None


def test_extents_alone_never_outgrow_it(path: Path) -> None:
    journal = Journal(path, 0.01)
    for number in range(200):
        journal.append(failed("east", 15 * number, f"reason {number}"))
        assert path.stat().st_size <= 0.01 * 1024 * 1024
    assert told(journal)[-1].reason == "reason 199"


def test_what_is_appended_during_a_replay_is_not_part_of_it(path: Path) -> None:
    journal = Journal(path, 1)
    journal.append(seen("east", 0, node(1)))
    replay = journal.replay()
    first = next(replay)
    journal.append(replace(first, started_at=at(15)))
    assert list(replay) == []
