"""Who makes the calls to clouds."""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Iterator

import pytest

from cloudmon import errors
from cloudmon.clock import SystemClock
from cloudmon.engine.workers import InlineWorkers, ThreadedWorkers, Workers
from cloudmon.testing import FakeClock

LONG_S = 30.0
"""Longest that a test waits for a thread that is about to do something."""


class Driver:
    """What calls are made with; knows which thread made it."""

    def __init__(self, cloud: str, number: int) -> None:
        self.cloud = cloud
        self.number = number
        self.thread = threading.get_ident()


class Makers:
    """Makes drivers, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.made: list[Driver] = []
        self.failures: list[Exception] = []
        self._lock = threading.Lock()

    def __call__(self, cloud: str) -> Driver:
        with self._lock:
            if self.failures:
                raise self.failures.pop()
            self.made.append(Driver(cloud, len(self.made)))
            return self.made[-1]


class Gate:
    """A call that does not return until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.thread = threading.current_thread()

    def __call__(self, driver: Driver) -> str:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(LONG_S)
        return driver.cloud


@pytest.fixture
def makers() -> Makers:
    return Makers()


@pytest.fixture
def gates() -> Iterator[Callable[[], Gate]]:
    made: list[Gate] = []

    def gate() -> Gate:
        made.append(Gate())
        return made[-1]

    yield gate
    for each in made:
        each.go.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Threaded = Callable[..., ThreadedWorkers[Driver]]


@pytest.fixture
def threaded(makers: Makers, clock: FakeClock) -> Iterator[Threaded]:
    opened: list[ThreadedWorkers[Driver]] = []

    def make(*, size: int = 1, spares: int = 1) -> ThreadedWorkers[Driver]:
        workers = ThreadedWorkers(
            makers,
            ["east", "west"],
            clock=clock,
            workers_per_cloud=size,
            stuck_after_s=60,
            spares_per_cloud=spares,
        )
        opened.append(workers)
        return workers

    yield make
    for workers in opened:
        workers.close(0)


@pytest.fixture(params=["inline", "threaded"])
def either(request: pytest.FixtureRequest, makers: Makers, threaded: Threaded) -> Workers[Driver]:
    return InlineWorkers(makers, ["east", "west"]) if request.param == "inline" else threaded()


def cloud_of(driver: Driver) -> str:
    return driver.cloud


def number_of(driver: Driver) -> int:
    return driver.number


def test_a_call_is_made_with_a_provider_of_its_cloud(either: Workers[Driver]) -> None:
    futures = [either.submit(cloud, cloud_of) for cloud in ("east", "west")]
    assert [future.result(LONG_S) for future in futures] == ["east", "west"]


def test_what_a_call_raises_travels_in_its_future_and_spoils_no_other(either: Workers[Driver]) -> None:
    def failing(driver: Driver) -> None:
        raise errors.OutOfCapacity(cloud=driver.cloud)

    failed = either.submit("east", failing)
    assert isinstance(failed.exception(LONG_S), errors.OutOfCapacity)
    assert either.submit("east", cloud_of).result(LONG_S) == "east"


def test_a_provider_that_cannot_be_made_fails_the_call_and_is_made_for_the_next(
    either: Workers[Driver], makers: Makers
) -> None:
    makers.failures.append(errors.CredentialsRejected(cloud="east"))
    assert isinstance(either.submit("east", cloud_of).exception(LONG_S), errors.CredentialsRejected)
    assert either.submit("east", cloud_of).result(LONG_S) == "east"


def test_a_provider_is_made_when_it_is_first_used_and_then_kept(either: Workers[Driver], makers: Makers) -> None:
    assert makers.made == []
    assert [either.submit("east", number_of).result(LONG_S) for _ in range(3)] == [0, 0, 0]
    assert [driver.cloud for driver in makers.made] == ["east"]


def test_a_cloud_that_is_not_configured_refuses_for_certain(either: Workers[Driver]) -> None:
    error = either.submit("north", cloud_of).exception(LONG_S)
    assert isinstance(error, errors.Refused)
    assert error.definite
    assert error.cloud == "north"


def test_once_closed_calls_are_cancelled_and_not_made(either: Workers[Driver]) -> None:
    either.close(LONG_S)
    made: list[str] = []
    future = either.submit("east", lambda driver: made.append(driver.cloud))
    assert future.cancelled()
    assert concurrent.futures.wait([future], timeout=0).done == {future}, "whoever waits for it must not wait for ever"
    assert made == []


def test_changed_settings_give_each_call_a_newly_made_provider(either: Workers[Driver]) -> None:
    before = either.submit("east", number_of).result(LONG_S)
    either.replace(["east", "north"])
    assert either.submit("east", number_of).result(LONG_S) != before
    assert either.submit("north", cloud_of).result(LONG_S) == "north"
    assert isinstance(either.submit("west", cloud_of).exception(LONG_S), errors.Refused)


def test_inline_a_simulated_crash_leaves_through_the_caller(makers: Makers) -> None:
    class Crash(BaseException):
        pass

    def crashing(driver: Driver) -> None:
        raise Crash

    with pytest.raises(Crash):
        InlineWorkers(makers, ["east"]).submit("east", crashing)


def test_on_a_thread_whatever_ends_a_call_reaches_its_waiter(threaded: Threaded) -> None:
    def leaving(driver: Driver) -> None:
        raise SystemExit(3)

    workers = threaded()
    assert isinstance(workers.submit("east", leaving).exception(LONG_S), SystemExit)
    assert workers.submit("east", cloud_of).result(LONG_S) == "east"


def test_a_provider_is_made_and_used_by_one_thread_only(threaded: Threaded, makers: Makers) -> None:
    workers = threaded(size=4)
    together = threading.Barrier(4, timeout=LONG_S)

    def meeting(driver: Driver) -> tuple[int, int, int]:
        together.wait()
        return driver.number, driver.thread, threading.get_ident()

    found = [future.result(LONG_S) for future in [workers.submit("east", meeting) for _ in range(4)]]
    assert all(made_by == used_by for _, made_by, used_by in found)
    assert sorted(number for number, _, _ in found) == [0, 1, 2, 3]


def test_no_more_calls_of_a_cloud_run_at_a_time_than_it_has_workers(
    threaded: Threaded, gates: Callable[[], Gate]
) -> None:
    workers = threaded(size=2)
    held = [gates() for _ in range(3)]
    for gate in held:
        workers.submit("east", gate)
    assert held[0].begun.wait(LONG_S)
    assert held[1].begun.wait(LONG_S)
    health = workers.health()[0]
    assert (health.cloud, health.threads, health.busy, health.queued, health.stuck) == ("east", 2, 2, 1, 0)
    assert not held[2].begun.is_set()
    held[0].go.set()
    assert held[2].begun.wait(LONG_S)


def test_threads_are_started_only_as_there_is_work(threaded: Threaded) -> None:
    workers = threaded(size=8)
    assert [health.threads for health in workers.health()] == [0, 0]
    workers.submit("east", cloud_of).result(LONG_S)
    assert [health.threads for health in workers.health()] == [1, 0]


def test_urgent_calls_go_before_others_that_wait(threaded: Threaded, gates: Callable[[], Gate]) -> None:
    workers = threaded()
    gate = gates()
    workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    order: list[str] = []
    calls = [
        workers.submit("east", lambda _, name=name: order.append(name), urgent=urgent)
        for name, urgent in [("a", False), ("b", True), ("c", False), ("d", True)]
    ]
    gate.go.set()
    concurrent.futures.wait(calls, timeout=LONG_S)
    assert order == ["b", "d", "a", "c"]


def test_a_call_keeps_the_context_of_its_submitter(threaded: Threaded) -> None:
    tick: contextvars.ContextVar[int] = contextvars.ContextVar("tick")
    tick.set(7)
    workers = threaded()
    future = workers.submit("east", lambda _: tick.get())
    tick.set(8)
    assert future.result(LONG_S) == 7


def test_a_call_cancelled_while_it_waits_is_not_made(threaded: Threaded, gates: Callable[[], Gate]) -> None:
    workers = threaded()
    gate = gates()
    workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    made: list[int] = []
    waiting = workers.submit("east", lambda _: made.append(1))
    assert waiting.cancel()
    gate.go.set()
    assert workers.submit("east", cloud_of).result(LONG_S) == "east"
    assert made == []


def test_a_cloud_that_hangs_holds_up_no_other(threaded: Threaded, gates: Callable[[], Gate]) -> None:
    workers = threaded()
    workers.submit("east", gates())
    assert workers.submit("west", cloud_of).result(LONG_S) == "west"


def test_a_call_that_never_returns_is_given_up_and_its_cloud_goes_on(
    threaded: Threaded, clock: FakeClock, gates: Callable[[], Gate]
) -> None:
    workers = threaded()
    gate = gates()
    hanging = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    waiting = workers.submit("east", cloud_of)
    clock.advance(59)
    workers.watch()
    assert not hanging.done()
    clock.advance(1)
    workers.watch()
    error = hanging.exception(LONG_S)
    assert isinstance(error, errors.Unreachable)
    assert not error.definite
    assert waiting.result(LONG_S) == "east"
    assert workers.health()[0].stuck == 1


def test_what_a_given_up_call_returns_in_the_end_is_dropped_and_its_thread_ends(
    threaded: Threaded, clock: FakeClock, gates: Callable[[], Gate]
) -> None:
    workers = threaded()
    gate = gates()
    hanging = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    clock.advance(61)
    workers.watch()
    gate.go.set()
    gate.thread.join(LONG_S)
    assert not gate.thread.is_alive()
    assert isinstance(hanging.exception(), errors.Unreachable)
    health = workers.health()[0]
    assert (health.stuck, health.threads) == (0, 0)


def test_stuck_threads_are_replaced_up_to_a_bound_and_after_that_calls_wait(
    threaded: Threaded, clock: FakeClock, gates: Callable[[], Gate]
) -> None:
    workers = threaded(size=1, spares=1)
    held = [gates(), gates()]
    for gate in held:
        workers.submit("east", gate)
        assert gate.begun.wait(LONG_S)
        clock.advance(61)
        workers.watch()
    waiting = workers.submit("east", cloud_of)
    workers.watch()
    health = workers.health()[0]
    assert (health.threads, health.stuck, health.queued) == (2, 2, 1)
    held[0].go.set()
    assert waiting.result(LONG_S) == "east"


def test_a_call_that_began_before_the_settings_changed_ends_with_its_old_provider(
    threaded: Threaded, gates: Callable[[], Gate], makers: Makers
) -> None:
    workers = threaded()
    gate = gates()
    running = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    waiting = workers.submit("east", number_of)
    urgent = workers.submit("east", number_of, urgent=True)
    workers.replace(["east"])
    assert [waiting.result(LONG_S), urgent.result(LONG_S)] == [1, 1]
    gate.go.set()
    assert running.result(LONG_S) == "east"


def test_what_waits_for_a_cloud_that_is_gone_from_the_settings_is_refused(
    threaded: Threaded, gates: Callable[[], Gate]
) -> None:
    workers = threaded()
    gate = gates()
    workers.submit("west", gate)
    assert gate.begun.wait(LONG_S)
    waiting = workers.submit("west", cloud_of)
    workers.replace(["east"])
    assert isinstance(waiting.exception(LONG_S), errors.Refused)


def test_a_call_that_hangs_since_before_the_settings_changed_is_given_up_too(
    threaded: Threaded, clock: FakeClock, gates: Callable[[], Gate]
) -> None:
    workers = threaded()
    gate = gates()
    hanging = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    workers.replace(["east"])
    clock.advance(61)
    workers.watch()
    assert isinstance(hanging.exception(LONG_S), errors.Unreachable)


def test_closing_cancels_what_waits_and_lets_what_runs_end(makers: Makers, gates: Callable[[], Gate]) -> None:
    workers = ThreadedWorkers(makers, ["east"], clock=SystemClock(), workers_per_cloud=1)
    gate = gates()
    running = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    waiting = workers.submit("east", cloud_of)
    waiting.add_done_callback(lambda _: gate.go.set())
    workers.close(LONG_S)
    assert waiting.cancelled()
    assert concurrent.futures.wait([waiting], timeout=0).done == {waiting}
    assert running.result(0) == "east"


def test_closing_leaves_a_stuck_call_behind(makers: Makers, gates: Callable[[], Gate]) -> None:
    workers = ThreadedWorkers(makers, ["east"], clock=SystemClock())
    gate = gates()
    hanging = workers.submit("east", gate)
    assert gate.begun.wait(LONG_S)
    workers.close(0.01)
    assert not hanging.done()
    assert gate.thread.daemon


def test_many_submitters_get_each_their_own_answer(threaded: Threaded) -> None:
    workers = threaded(size=4)
    answers: dict[int, int] = {}

    def submitting(start: int) -> None:
        for number in range(start, start + 200):
            answers[number] = workers.submit("east", lambda _, n=number: n).result(LONG_S)

    submitters = [threading.Thread(target=submitting, args=(start,)) for start in range(0, 800, 200)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(LONG_S)
    assert {number: number for number in range(800)} == answers
