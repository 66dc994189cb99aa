"""Reading much takes no more memory than reading little."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Mark
from cloudmon.store import Store, open_store
from cloudmon.testing.store_words import START, StoreWords, later

COUNT = 12_000


def peak(store: Store) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in store.usage.events(EVERYONE)) % COUNT == 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_streaming_three_times_the_usage_takes_the_same_memory(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/s.db", log_key=b"key", anchor_dir=None, now=START)
    owner = store.monitors.begin(host="here", pid=1, now=START)

    def add(part: int) -> None:
        who = [ApplianceId("set", ordinal) for ordinal in range(COUNT)]
        store.usage.add(owner, [StoreWords().usage(one, 1, Mark.BEGAN, later(part)) for one in who], START)

    add(0)
    peak(store)  # caches fill
    once = peak(store)
    add(1)
    add(2)
    assert peak(store) < 1.3 * once
    store.close()
