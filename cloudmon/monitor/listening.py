"""Listens to clouds that tell of changes: one thread a cloud, which does nothing but wait and hand on.

An event that was handed on is taken. Where events cannot be heard that is said once, and the poll goes on as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

import structlog

from cloudmon.clock import Clock
from cloudmon.errors import CloudError
from cloudmon.provider import Events, Provider, Resetting

_log = structlog.get_logger(__name__)

WAIT_S = 20.0
"""How long one call waits for events."""

IDLE_S = 0.5
"""Pause after an answer without events: some clouds answer at once."""

PAUSE_S, PAUSE_MAX_S = 2.0, 60.0
"""First and longest pause after a failure."""


class Listener:
    """Listens to one cloud until it is told to stop.

    Arguments:
        make: makes the provider, on the thread that uses it.
        told: is given the ids of nodes that were told of; returns at once.
    """

    def __init__(
        self, cloud: str, make: Callable[[str], Provider], told: Callable[[str, Collection[str]], object], clock: Clock
    ) -> None:
        self.cloud = cloud
        self.error = ""
        """Why events are not heard now; empty while they are."""
        self._make = make
        self._told = told
        self._clock = clock
        self._stop = threading.Event()
        self._provider: Provider | None = None
        self._failures = 0

    def start(self) -> None:
        threading.Thread(target=self._listen, name=f"events {self.cloud}", daemon=True).start()

    def stop(self) -> None:
        """Listen no more. A call that waits is left behind on its thread; what it still hears comes again."""
        self._stop.set()

    def once(self) -> int:
        """One call; the seconds to wait before the next are in :meth:`pause_s`. How many events came."""
        try:
            return self._hear()
        except Exception as error:  # an adapter that breaks its contract must not silence its cloud for ever
            self._failed(error)
            return 0

    @property
    def pause_s(self) -> float:
        return min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._failures - 1, 10)) if self._failures else IDLE_S

    def _hear(self) -> int:
        provider = self._provider = self._provider or self._make(self.cloud)
        if not isinstance(provider, Events):
            return 0
        events = provider.wait_events(WAIT_S)
        if self._stop.is_set():
            return 0
        if events:
            self._told(self.cloud, {event.node_id for event in events if event.node_id})
            provider.take_events([event.receipt for event in events])
        if self.error:
            _log.info("events are heard again", cloud=self.cloud)
        self.error, self._failures = "", 0
        return len(events)

    def _failed(self, error: Exception) -> None:
        said = error.message if isinstance(error, CloudError) else type(error).__name__
        if not self.error:
            _log.warning("events are not heard; what changes is seen at the next poll", cloud=self.cloud, error=said)
        self.error = said
        self._failures += 1
        if isinstance(self._provider, Resetting):
            self._provider.reset()

    def _listen(self) -> None:
        while not self._stop.is_set():
            if not self.once():
                self._clock.wait(self._stop, self.pause_s)


class Listeners:
    """One listener for each cloud that tells of events.

    Arguments as of :class:`Listener`.
    """

    def __init__(
        self, make: Callable[[str], Provider], told: Callable[[str, Collection[str]], object], clock: Clock
    ) -> None:
        self._make, self._told, self._clock = make, told, clock
        self._running: dict[str, tuple[object, Listener]] = {}

    def follow(self, clouds: Mapping[str, object]) -> None:
        """Listen to exactly these; one whose settings (the value) are others than before is begun anew."""
        for cloud, (settings, listener) in list(self._running.items()):
            if clouds.get(cloud) != settings:
                listener.stop()
                del self._running[cloud]
        for cloud in clouds.keys() - self._running.keys():
            listener = Listener(cloud, self._make, self._told, self._clock)
            self._running[cloud] = (clouds[cloud], listener)
            listener.start()

    @property
    def clouds(self) -> Collection[str]:
        """Those that are listened to."""
        return self._running.keys()

    def errors(self) -> Mapping[str, str]:
        """By cloud, why its events are not heard now."""
        return {cloud: found.error for cloud, (_, found) in list(self._running.items()) if found.error}

    def close(self) -> None:
        """Listen to nobody any more."""
        for _, listener in self._running.values():
            listener.stop()
