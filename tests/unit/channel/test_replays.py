"""What was taken is not taken again, for as long as it could be, and by no successor of the process either."""

from __future__ import annotations

import random

from cloudmon.channel.replays import AHEAD_S, BEHIND_S, Replays

SPAN_S = BEHIND_S + AHEAD_S


def test_a_nonce_is_seen_once_it_was_used_and_is_its_holders_own() -> None:
    memory = Replays(0, 0)
    assert not memory.seen("a", "n", 0)
    memory.use("a", "n", 0)
    assert memory.seen("a", "n", 0)
    assert not memory.seen("b", "n", 0)
    assert not memory.seen("a", "m", 0)


def test_a_nonce_is_remembered_as_long_as_its_request_could_be_taken() -> None:
    """Whatever happens in between, and however long nobody asks."""
    rng = random.Random(7)
    for _ in range(200):
        memory, at = Replays(0, 0), rng.uniform(0, 2_000)
        for other in sorted(rng.uniform(0, at) for _ in range(rng.randrange(8))):
            memory.use("x", f"{other}", other)
        memory.use("a", "n", at)
        asked = at + rng.uniform(0, SPAN_S)
        for other in sorted(rng.uniform(at, asked) for _ in range(rng.randrange(8))):
            memory.use("x", f"{other}", other)
        assert memory.seen("a", "n", asked)


def test_memory_does_not_grow_with_time() -> None:
    memory = Replays(0, 0)
    for second in range(10 * SPAN_S):
        memory.use("a", f"{second}", second)
    assert len(memory) <= 2 * SPAN_S + 4


def test_who_asks_too_much_is_full_and_others_are_not() -> None:
    memory = Replays(0, 0, per_key=3)
    for at in range(3):
        assert not memory.full("a", 0)
        memory.use("a", f"{at}", 0)
    assert memory.full("a", 0)
    assert not memory.full("b", 0)
    assert not memory.full("a", 2 * SPAN_S)


def test_all_together_are_full_before_memory_is() -> None:
    memory = Replays(0, 0, most=5)
    for at in range(5):
        memory.use(f"{at}", "n", 0)
    assert memory.full("another", 0)


def test_nothing_that_a_predecessor_may_have_taken_is_taken() -> None:
    """Its last request may have been dated as far ahead as requests may be."""
    assert Replays(1_000.0, 0).horizon >= 1_000 + AHEAD_S
    assert Replays(1_000.4, 0).horizon >= 1_000.4 + AHEAD_S
