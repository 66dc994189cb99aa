"""Who makes the calls: per cloud its own threads, each with its own provider.

Driver objects are not thread-safe (libcloud's have returned another thread's node), so a provider is made by the
thread that uses it and never leaves it. A cloud that hangs keeps its own threads only.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from cloudmon import errors
from cloudmon.clock import Clock
from cloudmon.engine.crew import Call, Crew
from cloudmon.model.health import WorkersHealth

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
T = TypeVar("T")


class Workers(Protocol[P_co]):
    """What makes calls to clouds. Nothing but a :class:`BaseException` that ends the process comes out of its verbs:
    what a call or the making of its provider raises travels in the call's future."""

    def submit(self, cloud: str, call: Callable[[P_co], T], *, urgent: bool = False) -> Future[T]:
        """Have ``call`` made with a provider of ``cloud``; urgent ones go before others that wait.

        The future fails with ``Refused`` when there is no such cloud (any more), with ``Unreachable`` when the call
        was given up because it did not return, and is cancelled when the workers were closed before the call began:
        then nothing was tried.
        """

    def replace(self, clouds: Collection[str]) -> None:
        """From now on exactly these clouds exist, and each call that has not begun gets a newly made provider."""

    def close(self, timeout_s: float) -> None:
        """Cancel what waits, give what runs ``timeout_s`` seconds to end, and leave behind what does not end."""


class InlineWorkers(Generic[P]):
    """Makes each call at once in the caller's thread, with one provider a cloud: what a simulation uses."""

    def __init__(self, make: Callable[[str], P], clouds: Collection[str]) -> None:
        self._make = make
        self._clouds = frozenset(clouds)
        self._providers: dict[str, P] = {}
        self._closed = False

    def submit(self, cloud: str, call: Callable[[P], T], *, urgent: bool = False) -> Future[T]:  # noqa: ARG002
        future: Future[T] = Future()
        if self._closed:
            _give_back(future)
            return future
        if cloud not in self._clouds:
            future.set_exception(_no_such(cloud))
            return future
        try:
            if cloud not in self._providers:
                self._providers[cloud] = self._make(cloud)
            future.set_result(call(self._providers[cloud]))
        except Exception as error:  # it travels in the future, as it would from a thread
            future.set_exception(error)
        return future

    def replace(self, clouds: Collection[str]) -> None:
        self._clouds = frozenset(clouds)
        self._providers.clear()

    def close(self, timeout_s: float) -> None:  # noqa: ARG002
        self._closed = True
        self._providers.clear()


class ThreadedWorkers(Generic[P]):
    """Makes calls on daemon threads, at most ``workers_per_cloud`` of each cloud at a time.

    Threads start when there is work for them. A call that runs longer than ``stuck_after_s`` is given up: its future
    fails with ``Unreachable``, and another thread takes the place of its own, at most ``spares_per_cloud`` times at
    once; whatever it returns later is dropped. Somebody has to look: call :meth:`watch` every few seconds.

    Arguments:
        make: makes a provider for the calling thread; called anew after :meth:`replace`, so it should look up the
            settings of the moment. When it raises, that call fails and the next one tries again.
        clouds: names of the clouds.
    """

    def __init__(
        self,
        make: Callable[[str], P],
        clouds: Collection[str],
        *,
        clock: Clock,
        workers_per_cloud: int = 8,
        stuck_after_s: float = 120.0,
        spares_per_cloud: int = 8,
    ) -> None:
        self._make = make
        self._clock = clock
        self.workers_per_cloud = workers_per_cloud
        self.stuck_after_s = stuck_after_s
        self._spares = spares_per_cloud
        self._lock = threading.Lock()
        self._closed = False
        self._crews: dict[str, Crew[P]] = {}
        self._retired: list[Crew[P]] = []
        self.replace(clouds)

    def submit(self, cloud: str, call: Callable[[P], T], *, urgent: bool = False) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            crew = self._crews.get(cloud)
            if self._closed:
                _give_back(future)
            elif crew is None:
                future.set_exception(_no_such(cloud))
            else:
                crew.add(Call(future, call, contextvars.copy_context()), urgent=urgent)
        return future

    def replace(self, clouds: Collection[str]) -> None:
        with self._lock:
            before = self._crews
            self._crews = {cloud: self._crew(cloud) for cloud in sorted(clouds)}
            waiting = {cloud: crew.retire() for cloud, crew in before.items()}
            self._retired = [crew for crew in (*self._retired, *before.values()) if not crew.deserted]
            for cloud, (urgent_calls, calls) in waiting.items():
                successor = self._crews.get(cloud)
                if successor is None:
                    for call in (*urgent_calls, *calls):
                        call.fail(_no_such(cloud))
                else:
                    successor.take_over(urgent_calls, calls)

    def size(self, workers_per_cloud: int, stuck_after_s: float) -> None:
        """From the next :meth:`replace` on."""
        with self._lock:
            self.workers_per_cloud, self.stuck_after_s = workers_per_cloud, stuck_after_s

    def watch(self) -> None:
        """Give up the calls that do not return, and start threads in the place of theirs."""
        with self._lock:
            self._retired = [crew for crew in self._retired if not crew.deserted]
            crews = [*self._crews.values(), *self._retired]
        for crew in crews:
            crew.give_up_stuck()

    def health(self) -> tuple[WorkersHealth, ...]:
        with self._lock:
            crews = list(self._crews.values())
        return tuple(crew.health() for crew in crews)

    def close(self, timeout_s: float) -> None:
        with self._lock:
            self._closed = True
            crews = [*self._crews.values(), *self._retired]
        until = self._clock.monotonic() + timeout_s
        for crew in crews:
            for calls in crew.retire():
                for call in calls:
                    _give_back(call.future)
        for crew in crews:
            for thread in crew.threads():
                thread.join(max(0.0, until - self._clock.monotonic()))

    def _crew(self, cloud: str) -> Crew[P]:
        return Crew(cloud, self._make, self._clock, self.workers_per_cloud, self.stuck_after_s, self._spares)


def _no_such(cloud: str) -> errors.Refused:
    return errors.Refused(f"No cloud named {cloud} is configured (any more).", cloud=cloud, code="no-such-cloud")


def _give_back(future: Future[T]) -> None:
    """Cancel it, and wake whoever waits for it: a future that is only cancelled counts as done nowhere."""
    if future.cancel():
        future.set_running_or_notify_cancel()
