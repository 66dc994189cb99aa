"""The engine of one process: ``schedule`` decides when, threads run.

The trigger loop never runs a job itself, so no job can hold up another; a job never overlaps itself, so there are
never more threads than jobs; what a job raises is counted and logged, and its next run comes at its usual time.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
import threading
from collections.abc import Callable
from typing import Any

import schedule
import structlog

from cloudmon.clock import Clock
from cloudmon.engine.rhythm import Beat, Rhythm
from cloudmon.engine.tasks import Job, Task
from cloudmon.model.health import JobHealth

_log = structlog.get_logger(__name__)

Start = Callable[[str, Callable[[], None]], None]
"""Name and work -> begins the work; returns at once, or, in a simulation, when the work is done."""

LOOK_S = 0.5
"""Longest pause of the trigger loop in seconds: how late a stop, or a job that hangs, may be noticed."""

_BASE = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - naive as schedule's times are; only differences mean anything


def on_thread(name: str, work: Callable[[], None]) -> None:
    """Begin ``work`` on a daemon thread: one that hangs does not keep the process from ending."""
    threading.Thread(target=work, name=f"job {name}", daemon=True).start()


class LocalEngine:
    """Runs jobs at their intervals until it is told to stop.

    Arguments:
        start: what begins a run; replaced in simulations.
        drain_s: how long :meth:`run` waits for running jobs once it is stopped.
        chance: a number in [0, 1), for jitter.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        start: Start = on_thread,
        drain_s: float = 5.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._start = start
        self._drain_s = drain_s
        self._scheduler = _SteadyScheduler(clock, chance)
        self._tasks: dict[str, Task] = {}
        self._idle = threading.Event()
        self._lock = threading.Lock()
        self._open = False

    def every(self, name: str, interval_s: float, job: Job, *, late_after_s: float, jitter: float = 0.0) -> None:
        """Run ``job`` when the engine starts and every ``interval_s`` seconds after that. Call before :meth:`run`.

        ``jitter`` is the share of the interval within which each run but the first comes after its usual time. A run
        that comes due while the one before still runs begins right after it; several collapse into one. The job is
        late when it has not ended well for ``late_after_s`` seconds: a job that never starts, hangs, or raises each
        time is late alike. ValueError for a name that is taken, an interval that is not positive, or a jitter that is
        not from 0 to below 1.
        """
        if name in self._tasks:
            raise ValueError(f"there is a job named {name} already")
        self._tasks[name] = Task(name, Rhythm.of(name, interval_s, jitter), job, late_after_s, self._clock)

    def reschedule(self, name: str, interval_s: float, *, late_after_s: float, jitter: float = 0.0) -> None:
        """Run this job by other times from now on, which count from its last usual one. Any thread may ask.

        Its next run comes within the new interval and its jitter. What is as it was already changes nothing. KeyError
        for an unknown name, ValueError as :meth:`every`.
        """
        task = self._tasks[name]
        task.rhythm, task.late_after_s = Rhythm.of(name, interval_s, jitter), late_after_s

    def nudge(self, name: str) -> None:
        """Run this job soon: at once, or right after the run that is under way. Its usual times stay as they are.

        Before the engine runs and after it was stopped this does nothing. KeyError for an unknown name.
        """
        self._begin(self._tasks[name])

    def run(self, stop: threading.Event) -> bool:
        """Run the jobs until ``stop`` is set; then wait for those under way, for ``drain_s`` seconds at most.

        Returns True when all have ended. Those that have not are left behind on their daemon threads.
        """
        for task in self._tasks.values():
            task.expect()
            self._scheduler.keep(task).do(functools.partial(self._begin, task))
        with self._lock:
            self._open = True
        while not stop.is_set():
            self._scheduler.follow()
            self._scheduler.run_pending()
            for task in self._tasks.values():
                task.watch()
            idle_s = self._scheduler.idle_seconds
            self._clock.wait(stop, LOOK_S if idle_s is None else min(LOOK_S, max(0.0, idle_s)))
        with self._lock:
            self._open = False
            self._scheduler.clear()
            self._tell_idle()
        if self._clock.wait(self._idle, self._drain_s):
            return True
        for task in self._tasks.values():
            if task.running:
                _log.warning("the job has not ended in time and is left behind", job=task.name)
        return False

    def health(self) -> tuple[JobHealth, ...]:
        """How each job is doing, in the order in which they were added."""
        return tuple(task.health() for task in self._tasks.values())

    def _begin(self, task: Task) -> None:
        with self._lock:
            if not self._open or not task.claim():
                return
            self._idle.clear()
        try:
            self._start(task.name, functools.partial(self._work, task))
        except RuntimeError as error:  # the machine has no thread left: the next interval tries again
            task.ended(error)
            self._release(task)

    def _work(self, task: Task) -> None:
        while True:
            task.run()
            if not self._release(task):
                return

    def _release(self, task: Task) -> bool:
        """The run is over; True when another one has been asked for meanwhile."""
        with self._lock:
            again = task.release(self._open)
            self._tell_idle()
            return again

    def _tell_idle(self) -> None:
        if not self._open and not any(task.running for task in self._tasks.values()):
            self._idle.set()


class _SteadyScheduler(schedule.Scheduler):
    """``schedule`` on steady time; used by one thread.

    ``schedule`` reads the machine's naive local time: a jump of the clock or the end of summer time silences its jobs
    for an hour or makes them run in a burst. This one keeps its jobs by a naive time base that never jumps: it counts
    the seconds of ``clock.monotonic()``.
    """

    def __init__(self, clock: Clock, chance: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._chance = chance

    def steady_s(self) -> float:
        return self._clock.monotonic()

    def keep(self, task: Task) -> _SteadyJob:
        """A job that is due now, and from then on as the task's rhythm says."""
        return _SteadyJob(self, task, Beat(task.rhythm, self.steady_s(), self._chance))

    def follow(self) -> None:
        """Take over the rhythms that tasks were given meanwhile."""
        for job in self.jobs:
            if isinstance(job, _SteadyJob):
                job.follow()

    @property
    def idle_seconds(self) -> float | None:
        """Seconds until the next run, negative when it is due; None without jobs."""
        following = self.get_next_run()
        return None if following is None else (following - _instant(self.steady_s())).total_seconds()


class _SteadyJob(schedule.Job):
    """A job that is due when its beat says so.

    In ``schedule`` itself an interval counts from the end of a run, and drifts. Takes no ``at``, ``to``, ``until`` or
    week days.
    """

    scheduler: _SteadyScheduler

    def __init__(self, scheduler: _SteadyScheduler, task: Task, beat: Beat) -> None:
        super().__init__(1, scheduler)
        self._task = task
        self._beat = beat

    def follow(self) -> None:
        self._beat.follow(self._task.rhythm, self.scheduler.steady_s())
        self._schedule_next_run()

    @property
    def should_run(self) -> bool:
        return self.next_run is not None and _instant(self.scheduler.steady_s()) >= self.next_run

    def run(self) -> Any:
        now_s = self.scheduler.steady_s()
        self.last_run = _instant(now_s)
        self._beat.ran(now_s)
        self._schedule_next_run()  # before the run: what it raises must not make it run again at once
        return self.job_func() if self.job_func is not None else None

    def _schedule_next_run(self) -> None:
        self.next_run = _instant(self._beat.due_s)


def _instant(steady_s: float) -> dt.datetime:
    """Steady seconds as ``schedule`` keeps them."""
    return _BASE + dt.timedelta(seconds=steady_s)
