"""Folding usage events to intervals: as they come from memory, and as they come from a store."""

from __future__ import annotations

import collections
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks import children
from tests.benchmarks.figures import REPEATS, Figure, median, spread

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EVENTS_A_NODE = 10


def figures(folder: Path, *, events: int = 1_000_000, repeats: int = REPEATS) -> Iterator[Figure]:
    """Time and memory of a fold of so many events."""
    found = [children.ask("fold", "from_memory", events=events) for _ in range(repeats)]
    small = [children.ask("fold", "from_memory", events=events // 10) for _ in range(repeats)]
    seconds = [one["fold_s"] for one in found]
    yield Figure(
        f"fold of {events:,} usage events: time", median(seconds), "s", 12 * events / 1e6, beside=spread(seconds, "s")
    )
    peak, before = median(one["peak_mib"] for one in found), median(one["peak_mib"] for one in small)
    beside = f"{before:.1f} MiB, {peak:.1f} MiB"
    yield Figure(f"fold: peak memory, over that of {events // 10:,} events", peak / before, "x", 1.1, beside=beside)
    url = f"sqlite:///{folder / 'fold.db'}"
    children.ask("fold", "fill", url=url, events=events)
    read = [children.ask("fold", "from_store", url=url) for _ in range(repeats)]
    seconds = [one["both_s"] for one in read]
    yield Figure(
        "the same events read from SQLite and folded: time",
        median(seconds),
        "s",
        beside=f"{spread(seconds, 's')}; fold alone {median(one['fold_s'] for one in read):.1f} s; "
        f"{median(one['peak_mib'] for one in read):.0f} MiB",
    )


def made(events: int) -> Iterator[Any]:
    """Usage events of many nodes, each of which ran and stopped and ran again."""
    from cloudmon.model.usage import Dimension, Mark, UsageEvent

    evidence = {"source": "listing", "word": "running"}
    for number in range(events):
        node, turn = divmod(number, EVENTS_A_NODE)
        dimension = Dimension.NODE_RUNNING if turn // 2 % 2 == 0 else Dimension.NODE_STOPPED
        mark = Mark.BEGAN if turn % 2 == 0 else Mark.ENDED
        at = START + dt.timedelta(seconds=node % 1000 + 600 * ((turn + 1) // 2))
        set_uid, ordinal, node_id = f"set{node // 1000:09}", node % 1000, f"i-{node:017x}"
        key = f"{set_uid}/{ordinal}/1/east/{node_id}/{dimension}/{mark}/{turn}"
        yield UsageEvent(
            key, "default", set_uid, ordinal, 1, "east", node_id, dimension, mark, at, Decimal(0), evidence
        )


def _folded(events: Callable[[], Iterable[Any]]) -> dict[str, Any]:
    """What a fold took beyond what getting the events takes, and what both took."""
    from cloudmon.metering import fold
    from cloudmon.model.usage import Span

    spans = (Span("east", START, START + dt.timedelta(days=1), 1, True),)
    began = time.perf_counter()
    collections.deque(events(), maxlen=0)
    got = time.perf_counter()
    collections.deque(fold(events(), lambda _: spans, now=START + dt.timedelta(days=1)), maxlen=0)
    both = time.perf_counter() - got
    return {"fold_s": both - (got - began), "both_s": both, "peak_mib": children.peak_mib()}


def from_memory(events: int) -> dict[str, Any]:
    """A fold of events that are made as it goes."""
    return _folded(lambda: made(events))


def fill(url: str, events: int) -> dict[str, Any]:
    """Put the events into a new store."""
    import itertools

    from cloudmon.store import open_store

    store = open_store(url, log_key=b"k" * 32, anchor_dir=None, now=START)
    owner = store.monitors.begin(host="here", pid=1, now=START)
    stream = made(events)
    while batch := list(itertools.islice(stream, 20_000)):
        store.usage.add(owner, batch, START)
    store.close()
    return {}


def from_store(url: str) -> dict[str, Any]:
    """A fold of events that are read as it goes."""
    from cloudmon.model.tenants import EVERYONE
    from cloudmon.store import open_store

    store = open_store(url, log_key=b"k" * 32, anchor_dir=None, now=START)
    said = _folded(lambda: store.usage.events(EVERYONE))
    store.close()
    return said


if __name__ == "__main__":
    children.answer({"from_memory": from_memory, "fill": fill, "from_store": from_store})
