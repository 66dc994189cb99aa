"""The engine of one process, on a clock that is told the time."""

from __future__ import annotations

import datetime as dt
import random
import types
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged import Stage, Ticks

from cloudmon.engine.local import LocalEngine
from cloudmon.errors import StoreUnavailable


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_job_runs_when_the_engine_starts_and_at_every_interval(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.run(50)
    assert ticks.at == pytest.approx([0, 15, 30, 45])


def test_fractions_of_a_second_are_intervals_too(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 0.25, ticks, late_after_s=60)
    stage.run(0.8)
    assert ticks.at == pytest.approx([0, 0.25, 0.5, 0.75])


def test_the_time_that_a_job_takes_does_not_shift_its_next_runs(stage: Stage) -> None:
    ticks = Ticks(stage.clock)

    def slow() -> None:
        ticks()
        stage.clock.advance(4)

    stage.engine.every("tick", 15, slow, late_after_s=60)
    stage.run(50)
    assert ticks.at == pytest.approx([0, 15, 30, 45])


def test_runs_that_were_missed_collapse_into_one(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=1000)
    stage.run(140, at={20: lambda: stage.clock.advance(95)})
    assert ticks.at == pytest.approx([0, 15, 115, 120, 135], abs=0.5)


@pytest.mark.parametrize("hours", [-48, -1, 1, 48], ids=lambda hours: f"{hours:+d}h")
def test_a_jump_of_the_machine_clock_neither_stops_nor_bursts_a_job(stage: Stage, hours: int) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.run(50, at={20: lambda: stage.clock.jump(dt.timedelta(hours=hours))})
    assert ticks.at == pytest.approx([0, 15, 30, 45])


def test_the_machine_s_local_time_is_never_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> dt.datetime:
        raise AssertionError("asked for the machine's time")

    fake = types.SimpleNamespace(datetime=types.SimpleNamespace(now=forbidden), timedelta=dt.timedelta)
    monkeypatch.setattr("schedule.datetime", fake)
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.run(20)
    assert len(ticks.at) == 2


def test_a_job_that_raises_runs_again_at_its_usual_time_and_starves_no_other(stage: Stage) -> None:
    bad, good = Ticks(stage.clock), Ticks(stage.clock)

    def failing() -> None:
        bad()
        raise ValueError("no")

    stage.engine.every("bad", 15, failing, late_after_s=60)
    stage.engine.every("good", 15, good, late_after_s=60)
    stage.run(50)
    assert bad.at == pytest.approx([0, 15, 30, 45])
    assert good.at == pytest.approx([0, 15, 30, 45])
    assert (stage.health("bad").runs, stage.health("bad").failures) == (4, 4)
    assert (stage.health("good").runs, stage.health("good").failures) == (4, 0)


def test_of_a_foreign_exception_only_the_kind_is_shown(stage: Stage) -> None:
    def failing() -> None:
        raise ValueError("password hunter2")

    def away() -> None:
        raise StoreUnavailable("the disk is full")

    stage.engine.every("foreign", 15, failing, late_after_s=60)
    stage.engine.every("ours", 15, away, late_after_s=60)
    stage.run(1)
    assert stage.health("foreign").last_error == "ValueError"
    assert stage.health("ours").last_error == "StoreUnavailable: the disk is full"


def test_health_says_when_a_job_last_ended_well_and_when_it_failed(stage: Stage) -> None:
    start = stage.clock.now()

    def failing_later() -> None:
        if stage.clock.monotonic() >= 15:
            raise ValueError

    stage.engine.every("tick", 15, failing_later, late_after_s=60)
    stage.run(16)
    health = stage.health()
    assert start == health.last_success_at
    assert start + dt.timedelta(seconds=15) == health.last_failure_at


def test_a_job_that_ends_well_in_time_is_not_late(stage: Stage) -> None:
    stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=20)
    stage.run(100)
    assert not stage.health().late


def test_a_job_that_fails_each_time_is_late_in_the_end(stage: Stage) -> None:
    def failing() -> None:
        raise ValueError

    stage.engine.every("tick", 15, failing, late_after_s=40)
    seen: list[bool] = []
    stage.run(50, at={39: lambda: seen.append(stage.health().late), 41: lambda: seen.append(stage.health().late)})
    assert seen == [False, True]


def test_a_job_that_never_starts_is_late(stage: Stage) -> None:
    engine = LocalEngine(stage.clock, start=lambda name, work: None)
    engine.every("tick", 15, Ticks(stage.clock), late_after_s=40)
    stage.clock.advance(41)
    assert engine.health()[0].late


def test_lateness_counts_from_when_the_engine_runs(stage: Stage) -> None:
    stage.engine = LocalEngine(stage.clock, start=lambda name, work: None, drain_s=0)
    stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=40)
    stage.clock.advance(1000)
    stage.run(1039)
    assert not stage.health().late
    stage.clock.advance(2)
    assert stage.health().late


def test_a_jump_of_the_machine_clock_makes_no_job_late(stage: Stage) -> None:
    stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=20)
    stage.run(32, at={31: lambda: stage.clock.jump(dt.timedelta(days=1))})
    assert not stage.health().late


def test_a_nudged_job_runs_at_once_and_keeps_its_usual_times(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.run(40, at={20: lambda: stage.engine.nudge("tick")})
    assert ticks.at == pytest.approx([0, 15, 20, 30], abs=0.5)


def test_a_job_nudged_while_it_runs_runs_once_more_however_often_it_was(stage: Stage) -> None:
    ticks = Ticks(stage.clock)

    def nudged() -> None:
        ticks()
        if len(ticks.at) == 1:
            for _ in range(3):
                stage.engine.nudge("tick")

    stage.engine.every("tick", 15, nudged, late_after_s=60)
    stage.run(10)
    assert ticks.at == [0, 0]


def test_nudges_before_the_start_and_after_the_stop_do_nothing(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 15, ticks, late_after_s=60)
    stage.engine.nudge("tick")
    assert ticks.at == []
    stage.run(1)
    stage.engine.nudge("tick")
    assert ticks.at == [0]


def test_two_jobs_cannot_have_one_name(stage: Stage) -> None:
    stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=60)
    with pytest.raises(ValueError, match="tick"):
        stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=60)


def test_an_interval_must_be_positive(stage: Stage) -> None:
    with pytest.raises(ValueError, match="positive"):
        stage.engine.every("tick", 0, Ticks(stage.clock), late_after_s=60)


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_a_job_runs_up_to_a_share_of_its_interval_after_its_usual_times_and_at_once_at_first() -> None:
    chances = iter([0.0, 0.5, 0.9, 0.1])
    stage = Stage(lambda: next(chances))
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60, jitter=0.1)
    stage.run(70)
    assert ticks.at == pytest.approx([0, 20, 41, 61.8])


def test_monitors_that_start_together_do_not_poll_together() -> None:
    def runs(seed: int) -> list[float]:
        stage = Stage(random.Random(seed).random)
        ticks = Ticks(stage.clock)
        stage.engine.every("tick", 15, ticks, late_after_s=60, jitter=0.1)
        stage.run(32)
        return ticks.at

    assert runs(1) == runs(1)
    assert runs(1)[0] == runs(2)[0] == 0
    assert runs(1)[1] != runs(2)[1]
    assert runs(1)[2] != runs(2)[2]


def test_jitter_is_not_made_up_for_runs_that_were_missed() -> None:
    stage = Stage(lambda: 0.5)
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=1000, jitter=0.1)
    stage.run(150, at={30: lambda: stage.clock.advance(95)})
    assert ticks.at == pytest.approx([0, 21, 125, 141], abs=0.5)


@given(
    seed=st.integers(0, 2**32),
    interval_s=st.floats(0.1, 20),
    jitter=st.floats(0, 0.5),
    slow=st.floats(0, 0.4),
)
@settings(max_examples=60, deadline=None)
def test_jitter_keeps_runs_apart_and_their_mean_to_the_interval(
    seed: int, interval_s: float, jitter: float, slow: float
) -> None:
    """Run n is due within ``[n * interval, (n + jitter) * interval)``, however long each run takes: nothing drifts."""
    chance = random.Random(seed).random
    stage = Stage(chance)
    ticks = Ticks(stage.clock)

    def job() -> None:
        ticks()
        stage.clock.advance(interval_s * slow * chance())

    count = 30
    stage.engine.every("tick", interval_s, job, late_after_s=1000, jitter=jitter)
    stage.run(interval_s * (count + 0.5))
    near = 1e-5  # the clock counts in microseconds
    runs = ticks.at[: count + 1]
    assert len(runs) == count + 1
    assert all(later - former >= interval_s * (1 - jitter) - near for former, later in pairwise(runs))
    assert all(-near <= at - n * interval_s <= jitter * interval_s + near for n, at in enumerate(runs))
    assert (runs[-1] - runs[0]) / count == pytest.approx(interval_s, rel=jitter / count + 1e-4)


@pytest.mark.parametrize("jitter", [-0.1, 1.0], ids=["negative", "a whole interval"])
def test_jitter_is_a_share_of_the_interval(stage: Stage, jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter of tick"):
        stage.engine.every("tick", 15, Ticks(stage.clock), late_after_s=60, jitter=jitter)


# --- another rhythm ---------------------------------------------------------------------------------------------------


def test_a_job_that_gets_a_shorter_interval_runs_within_it(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 100, ticks, late_after_s=1000)
    stage.run(55, at={32: lambda: stage.engine.reschedule("tick", 10, late_after_s=60)})
    assert ticks.at == pytest.approx([0, 40, 50], abs=0.5)
    assert (stage.health().interval_s, stage.health().late_after_s) == (10, 60)


def test_a_longer_interval_counts_from_the_last_usual_time(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 10, ticks, late_after_s=1000)
    stage.run(230, at={25: lambda: stage.engine.reschedule("tick", 100, late_after_s=1000)})
    assert ticks.at == pytest.approx([0, 10, 20, 120, 220])


def test_the_rhythm_that_a_job_has_already_changes_nothing() -> None:
    chances = iter([0.0, 0.5, 0.5])
    stage = Stage(lambda: next(chances))
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60, jitter=0.1)
    same = {at: lambda: stage.engine.reschedule("tick", 20, late_after_s=60, jitter=0.1) for at in (1.0, 5.0, 22.0)}
    stage.run(42, at=same)
    assert ticks.at == pytest.approx([0, 20, 41])


def test_another_jitter_holds_for_the_next_run_already(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60)
    stage.run(45, at={5: lambda: stage.engine.reschedule("tick", 20, late_after_s=60, jitter=0.2)})
    assert ticks.at == pytest.approx([0, 22, 42])


def test_a_run_that_only_jitter_holds_back_is_not_lost(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60, jitter=0.6)
    stage.run(50, at={21: lambda: stage.engine.reschedule("tick", 20, late_after_s=60, jitter=0.2)})
    assert ticks.at == pytest.approx([0, 22, 42])


def test_a_job_may_reschedule_itself(stage: Stage) -> None:
    ticks = Ticks(stage.clock)

    def job() -> None:
        ticks()
        stage.engine.reschedule("tick", 5, late_after_s=60)

    stage.engine.every("tick", 20, job, late_after_s=60)
    stage.run(12)
    assert ticks.at == pytest.approx([0, 5, 10])


def test_a_rhythm_given_before_the_engine_runs_is_the_one_it_runs_by(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60)
    stage.engine.reschedule("tick", 5, late_after_s=60)
    stage.run(12)
    assert ticks.at == pytest.approx([0, 5, 10])


def test_what_is_no_rhythm_is_refused_and_the_old_one_stays(stage: Stage) -> None:
    ticks = Ticks(stage.clock)
    stage.engine.every("tick", 20, ticks, late_after_s=60)
    with pytest.raises(ValueError, match="positive"):
        stage.engine.reschedule("tick", 0, late_after_s=60)
    with pytest.raises(ValueError, match="jitter of tick"):
        stage.engine.reschedule("tick", 20, late_after_s=60, jitter=1)
    with pytest.raises(KeyError):
        stage.engine.reschedule("tock", 20, late_after_s=60)
    stage.run(30)
    assert ticks.at == pytest.approx([0, 20])
