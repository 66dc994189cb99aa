"""The threads and the queue of one cloud."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, TypeVar

from cloudmon import errors
from cloudmon.clock import Clock
from cloudmon.model.health import WorkersHealth

P = TypeVar("P")


class Call(Generic[P]):
    """A call that waits or runs; it keeps the submitter's context, so that its log lines carry the tick's ids."""

    def __init__(self, future: Future[Any], call: Callable[[P], Any], context: contextvars.Context) -> None:
        self.future = future
        self._call = call
        self._context = context

    def make(self, provider: Callable[[], P]) -> None:
        """Make it, with a provider that is asked for only now."""
        try:
            self.succeed(self._context.run(lambda: self._call(provider())))
        except BaseException as error:  # the waiter must hear of anything, or it waits for ever
            self.fail(error)

    def succeed(self, result: Any) -> None:
        try:
            self.future.set_result(result)
        except InvalidStateError:  # given up long ago
            return

    def fail(self, error: BaseException) -> None:
        try:
            self.future.set_exception(error)
        except InvalidStateError:  # given up or cancelled
            return


class _Worker(Generic[P]):
    """One thread's place in its crew; touched under the crew's lock."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.call: Call[P] | None = None
        self.since = 0.0
        self.stuck = False


class Crew(Generic[P]):
    """The threads of one cloud, started as there is work for them, and the calls that wait for one.

    Arguments:
        make: makes a provider of the cloud for the thread that calls it.
        size: how many threads may make calls at a time.
        stuck_after_s: a call that runs longer is given up by :meth:`give_up_stuck`.
        spares: how many threads may stand in at once for those that are stuck.
    """

    def __init__(
        self, cloud: str, make: Callable[[str], P], clock: Clock, size: int, stuck_after_s: float, spares: int
    ) -> None:
        self._cloud = cloud
        self._provider_of = make
        self._clock = clock
        self._size = size
        self._stuck_after_s = stuck_after_s
        self._spares = spares
        self._changed = threading.Condition()
        self._urgent: deque[Call[P]] = deque()
        self._calls: deque[Call[P]] = deque()
        self._workers: set[_Worker[P]] = set()
        self._retired = False

    def add(self, call: Call[P], *, urgent: bool) -> None:
        with self._changed:
            (self._urgent if urgent else self._calls).append(call)
            self._staff()

    def take_over(self, urgent: Iterable[Call[P]], calls: Iterable[Call[P]]) -> None:
        """Stand in for a crew that was retired: what waited there waits here, in its order."""
        with self._changed:
            self._urgent.extend(urgent)
            self._calls.extend(calls)
            self._staff()

    def retire(self) -> tuple[list[Call[P]], list[Call[P]]]:
        """End every thread after the call it makes; what waits is handed back, urgent calls first."""
        with self._changed:
            waiting = list(self._urgent), list(self._calls)
            self._urgent.clear()
            self._calls.clear()
            self._retired = True
            self._changed.notify_all()
            return waiting

    def threads(self) -> list[threading.Thread]:
        with self._changed:
            return [worker.thread for worker in self._workers if worker.thread is not None and not worker.stuck]

    def give_up_stuck(self) -> None:
        """Fail the calls that run for too long, and start threads in the place of theirs."""
        given_up: list[Call[P]] = []
        with self._changed:
            before = self._clock.monotonic() - self._stuck_after_s
            for worker in self._workers:
                if worker.call is not None and not worker.stuck and worker.since <= before:
                    worker.stuck = True
                    given_up.append(worker.call)
            if not self._retired:
                self._staff()
        for call in given_up:  # outside the lock: a future's callbacks may submit
            call.fail(
                errors.Unreachable(
                    f"No answer within {self._stuck_after_s:g} s: the call was given up, and may yet take effect.",
                    cloud=self._cloud,
                )
            )

    @property
    def deserted(self) -> bool:
        """True when no thread is left that will ever end a call in time."""
        with self._changed:
            return all(worker.stuck for worker in self._workers)

    def health(self) -> WorkersHealth:
        with self._changed:
            return WorkersHealth(
                cloud=self._cloud,
                threads=len(self._workers),
                busy=sum(worker.call is not None and not worker.stuck for worker in self._workers),
                queued=len(self._urgent) + len(self._calls),
                stuck=sum(worker.stuck for worker in self._workers),
            )

    def _staff(self) -> None:
        """Wake or start as many threads as there is work for; the lock is held."""
        waiting = len(self._urgent) + len(self._calls)
        idle = sum(worker.call is None for worker in self._workers)
        stuck = sum(worker.stuck for worker in self._workers)
        room = self._size + min(stuck, self._spares) - len(self._workers)
        for _ in range(min(waiting - idle, room)):
            worker: _Worker[P] = _Worker()
            worker.thread = threading.Thread(
                target=self._work, args=(worker,), name=f"cloud {self._cloud}", daemon=True
            )
            try:
                worker.thread.start()
            except RuntimeError:  # the machine has no thread left; the next call or watch tries again
                break
            self._workers.add(worker)
        self._changed.notify(waiting)

    def _work(self, worker: _Worker[P]) -> None:
        made: list[P] = []

        def provider() -> P:
            if not made:
                made.append(self._provider_of(self._cloud))
            return made[0]

        while (call := self._next(worker)) is not None:
            call.make(provider)

    def _next(self, worker: _Worker[P]) -> Call[P] | None:
        """The next call for this thread; waits for one. None: the thread ends."""
        with self._changed:
            # A thread that was given up has been replaced, and its provider is not to be trusted any more.
            gone = worker.stuck
            worker.call = None
            while not gone and not self._retired:
                queue = self._urgent or self._calls
                if queue:
                    call = queue.popleft()
                    if call.future.set_running_or_notify_cancel():
                        worker.call = call
                        worker.since = self._clock.monotonic()
                        return call
                else:
                    self._changed.wait()
            self._workers.discard(worker)
            if gone and not self._retired:
                self._staff()  # when the spares had run out, work may be waiting for this place
            return None
