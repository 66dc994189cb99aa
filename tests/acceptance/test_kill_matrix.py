"""kill -9 at every named point, on both databases: a successor finds what was left, and every law holds again."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killed import driver, laws, story

from cloudmon import faultpoints

PROCESSES = multiprocessing.get_context("forkserver")
"""Processes begin as copies of one that has imported everything, done nothing and has no threads: each is a process of
its own all the same, and dies alone."""
PROCESSES.set_forkserver_preload(["cloudmon.monitor.service", "cloudmon_providers.dummy", "psycopg"])

PLACES = (
    ("observe.before-listing", "launch", 1),
    ("observe.before-listing", "heal", 2),
    ("observe.after-listing", "launch", 1),
    ("observe.after-listing", "heal", 2),
    ("tick.before-changes", "launch", 1),
    ("tick.before-changes", "end", 2),
    ("tick.after-changes", "launch", 1),
    ("tick.after-changes", "heal", 1),
    ("intents.before-record", "launch", 1),
    ("intents.before-record", "end", 1),
    ("intents.after-record", "launch", 1),
    ("intents.after-record", "requests", 1),
    ("act.before-call", "launch", 2),
    ("act.before-call", "requests", 1),
    ("act.before-call", "end", 1),
    ("act.after-call", "launch", 2),
    ("act.after-call", "requests", 2),
    ("act.after-call", "heal", 1),
    ("act.after-call", "end", 3),
    ("outcome.before-record", "launch", 1),
    ("outcome.before-record", "end", 1),
    ("outcome.after-record", "launch", 1),
    ("outcome.after-record", "heal", 1),
    ("requests.before-accept", "requests", 2),
    ("requests.before-accept", "end", 1),
    ("requests.after-accept", "requests", 2),
    ("requests.after-accept", "end", 1),
    ("wanted.before-generation", "launch", 1),
    ("wanted.before-generation", "end", 2),
    ("wanted.after-generation", "launch", 1),
    ("wanted.after-generation", "end", 1),
    ("store.before-commit", "launch", 1),
    ("store.before-commit", "requests", 3),
    ("store.before-commit", "end", 12),
    ("store.after-commit", "launch", 1),
    ("store.after-commit", "launch", 12),
    ("store.after-commit", "requests", 2),
    ("store.after-commit", "requests", 3),
    ("store.before-commit", "requests", 6),
    ("store.after-commit", "requests", 6),
    ("store.before-commit", "requests", 7),
    ("store.after-commit", "requests", 7),
    ("store.after-commit", "requests", 12),
    ("act.after-call", "requests", 3),
    ("store.after-commit", "heal", 4),
    ("store.after-commit", "end", 12),
    ("anchor.before-write", "launch", 1),
    ("anchor.before-write", "requests", 6),
    ("anchor.before-write", "end", 9),
    ("anchor.after-write", "launch", 4),
    ("anchor.after-write", "end", 5),
)
"""Point, chapter of the story, and how often it is reached in that chapter before the process dies."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cloudmon.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def kill(tmp_path: Path, url: str) -> Iterator[Callable[[str, str, int], int | None]]:
    """Tells the story in a process of its own that kills itself; gives the exit code."""
    processes = []

    def run(point: str, chapter: str, number: int) -> int | None:
        process = PROCESSES.Process(target=driver.tell, args=(tmp_path, url, chapter, point, number))
        processes.append(process)
        process.start()
        process.join(story.PATIENCE_S * len(story.CHAPTERS))
        return process.exitcode

    yield run
    for process in processes:
        process.kill()
        process.join()


def test_the_matrix_leaves_no_point_out() -> None:
    """A point that is added later has to be killed at as well."""
    assert {point for point, *_ in PLACES} == set(faultpoints.POINTS)


@pytest.mark.parametrize(("point", "chapter", "number"), PLACES, ids=str)
def test_after_kill_9_a_successor_keeps_every_law(
    point: str, chapter: str, number: int, tmp_path: Path, url: str, kill: Callable[[str, str, int], int | None]
) -> None:
    """The process dies at the point, another one goes on to the end of the story, and all laws hold."""
    assert kill(point, chapter, number) == -signal.SIGKILL, f"{point} was not reached {number} times in {chapter}"
    died = time.monotonic()
    story.Teller(tmp_path, url).tell()
    with laws.opened(tmp_path, away_s=time.monotonic() - died) as left:
        for law in laws.ALL:
            law(left)


def test_without_a_kill_the_story_keeps_every_law(tmp_path: Path, url: str) -> None:
    """What the others are measured against: the same story, undisturbed."""
    story.Teller(tmp_path, url).tell()
    with laws.opened(tmp_path, away_s=0.0) as left:
        for law in laws.ALL:
            law(left)
        assert [node.id for node in left.alive] == [story.member(left.store, "shop", 1).node_id]
