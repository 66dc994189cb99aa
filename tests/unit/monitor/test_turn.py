"""Whose turn it is: first come first served, a tick gives way, and what was overtaken meanwhile is decided anew."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from inhabited import DOWN, Inhabited, up

from cloudmon.model.requests import RequestVerb
from cloudmon.monitor.turn import Turn

SOON_S = 5.0


class Others:
    """Threads that wait for the turn, and the order in which they had it."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.had: list[str] = []
        self._threads: list[threading.Thread] = []

    def come(self, name: str) -> None:
        def take() -> None:
            with self.turn:
                self.had.append(name)

        before = len(self.turn._queue)
        self._threads.append(threading.Thread(target=take))
        self._threads[-1].start()
        ends = time.monotonic() + SOON_S
        while len(self.turn._queue) == before and time.monotonic() < ends:
            time.sleep(0.001)

    def gone(self) -> list[str]:
        for thread in self._threads:
            thread.join(SOON_S)
            assert not thread.is_alive()
        return self.had


def test_those_who_wait_have_their_turn_in_the_order_in_which_they_came() -> None:
    turn = Turn()
    others = Others(turn)
    with turn:
        for name in "abcde":
            others.come(name)
        others.had.append("first")
    assert others.gone() == ["first", *"abcde"]


def test_who_gives_way_has_the_turn_back_after_those_who_waited() -> None:
    turn = Turn()
    others = Others(turn)
    with turn:
        turn.give_way()
        others.come("a")
        others.come("b")
        turn.give_way()
        others.had.append("I")
        others.come("c")
        assert others.had == ["a", "b", "I"]
    assert others.gone() == ["a", "b", "I", "c"]


def test_who_is_interrupted_while_it_waits_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn()
    others = Others(turn)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with turn:
        others.come("a")
        with monkeypatch.context() as patched:
            patched.setattr(turn._changed, "wait_for", interrupted)
            with pytest.raises(KeyboardInterrupt):
                turn.give_way()
    assert others.gone() == ["a"]
    with turn:
        pass


def test_nobody_waits_for_itself() -> None:
    turn = Turn()
    with turn, pytest.raises(AssertionError, match="has the turn already"), turn:
        pass


# --- ticks that are overtaken -----------------------------------------------------------------------------------------


@pytest.fixture
def of(tmp_path: Path) -> Inhabited:
    return Inhabited(tmp_path, DOWN)


def attending_in_a_gap(of: Inhabited, monkeypatch: pytest.MonkeyPatch, *, ordinals: tuple[int, ...], gap: int) -> None:
    """When the tick gives way for the ``gap``-th time, these appliances say that they are down, and are attended to."""
    gaps = []

    def give_way() -> None:
        gaps.append(None)
        if len(gaps) == gap:
            of.monitor._turn.__exit__(None, None, None)
            for ordinal in ordinals:
                of.say(ordinal, up("down"))
            assert of.monitor.attend() == len(ordinals)
            of.monitor._turn.__enter__()

    monkeypatch.setattr(of.monitor._turn, "give_way", give_way)


@pytest.mark.parametrize("gap", [1, 2])
def test_what_is_heard_during_a_tick_is_acted_on_in_it_and_once(
    of: Inhabited, monkeypatch: pytest.MonkeyPatch, gap: int
) -> None:
    of.say(1, up("down"))
    attending_in_a_gap(of, monkeypatch, ordinals=(1,), gap=gap)
    of.tick()
    assert (len(of.commands()), of.found()) == (1, ["storefront/1: the shop is down"])
    of.tick(3)
    assert len(of.commands()) == 1


def overtaken(of: Inhabited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody asks for a restart of the first one, and during the tick for that the second one falls."""
    of.say(1, up())
    of.tick()
    of.ask_for(RequestVerb.COMMAND, "storefront/1", {"verb": "app_restart", "application": "shop"})
    attending_in_a_gap(of, monkeypatch, ordinals=(2,), gap=2)


def test_what_a_tick_decided_about_a_set_that_was_touched_meanwhile_is_decided_anew_by_the_next(
    of: Inhabited, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(of, monkeypatch)
    report = of.monitor.tick()
    assert (report.again, report.steady) == (True, False)
    assert (len(of.commands(1)), len(of.commands(2))) == (0, 1)
    of.monitor.tick()
    assert (len(of.commands(1)), len(of.commands(2))) == (1, 1)


def test_a_tick_that_was_overtaken_is_followed_by_one_that_gives_no_way(
    of: Inhabited, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(of, monkeypatch)
    of.monitor.tick()
    asked: list[None] = []
    monkeypatch.setattr(of.monitor._turn, "give_way", lambda: asked.append(None))
    of.monitor.tick()
    assert asked == []
    of.monitor.tick()
    assert len(asked) == 2
