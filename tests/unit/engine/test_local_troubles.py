"""What may go wrong in the engine of one process: jobs that fail, hang or do not end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from staged import LONG_S, Stage, Ticks

from cloudmon.clock import SystemClock
from cloudmon.engine.local import LocalEngine


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_machine_without_a_thread_left_is_a_failed_run_and_not_the_end() -> None:
    stage = Stage()
    tries: list[float] = []

    def none_left(name: str, work: Callable[[], None]) -> None:
        tries.append(stage.clock.monotonic())
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        work()

    stage.engine = LocalEngine(stage.clock, start=none_left)
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.run(20)
    assert (pytest.approx([15]), 2, 1) == (ticks.at, stage.health().runs, stage.health().failures)


class Real:
    """An engine on real threads and real time, with one job that does what the test says."""

    def __init__(self, *, drain_s: float = LONG_S, interval_s: float = 3600) -> None:
        self.engine = LocalEngine(SystemClock(), drain_s=drain_s)
        self.stop = threading.Event()
        self.interval_s = interval_s
        self.drained: list[bool] = []
        self.thread = threading.Thread(target=lambda: self.drained.append(self.engine.run(self.stop)), daemon=True)

    def begin(self, **jobs: Callable[[], object]) -> None:
        for name, job in jobs.items():
            self.engine.every(name, self.interval_s, job, late_after_s=3600)
        self.thread.start()

    def end(self) -> bool:
        self.stop.set()
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        return self.drained[0]


def test_a_job_that_hangs_holds_up_neither_the_others_nor_the_end() -> None:
    hang, ran = threading.Event(), threading.Event()
    real = Real(drain_s=0.01)
    real.begin(hanging=hang.wait, other=ran.set)
    assert ran.wait(LONG_S)
    assert real.end() is False
    assert real.engine.health()[0].running_since is not None
    hang.set()


def test_a_running_job_may_end_before_the_engine_does() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        assert may_end.wait(LONG_S)
        ended.set()

    real = Real()
    real.begin(tick=job)
    assert begun.wait(LONG_S)
    real.stop.set()
    assert not ended.is_set()
    may_end.set()
    assert real.end() is True
    assert ended.is_set()


def test_no_job_overlaps_itself_even_when_nudged_by_many() -> None:
    running, most, runs = [0], [0], [0]
    guard, enough = threading.Lock(), threading.Event()

    def job() -> None:
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
            runs[0] += 1
        with guard:
            running[0] -= 1
            if runs[0] >= 20:
                enough.set()

    real = Real(interval_s=0.01)
    real.begin(tick=job)

    def nudging() -> None:
        while not enough.is_set():
            real.engine.nudge("tick")

    nudgers = [threading.Thread(target=nudging) for _ in range(4)]
    for nudger in nudgers:
        nudger.start()
    assert enough.wait(LONG_S)
    for nudger in nudgers:
        nudger.join(LONG_S)
    real.end()
    assert most == [1]


def test_nothing_runs_again_after_the_stop() -> None:
    begun, may_end, runs = threading.Event(), threading.Event(), [0]

    def job() -> None:
        runs[0] += 1
        begun.set()
        assert may_end.wait(LONG_S)

    real = Real()
    real.begin(tick=job)
    assert begun.wait(LONG_S)
    real.engine.nudge("tick")  # noted: once more after this run
    real.stop.set()
    while real.engine._open:
        threading.Event().wait(0.001)
    may_end.set()
    real.end()
    assert runs == [1]
