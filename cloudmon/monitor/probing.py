"""Asks appliances over the network whether they serve: one thread, in which all that wait wait together.

What is asked, and what an answer is, is in ``questions.py``. What keeps this machine from asking (no way there, no file
left) is no answer: then it is not known how the appliance does.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from cloudmon.clock import Clock
from cloudmon.model.identity import ApplianceId
from cloudmon.model.probes import ProbeResult
from cloudmon.monitor import questions
from cloudmon.monitor.outside import Key, Target
from cloudmon.monitor.questions import Answer

_log = structlog.get_logger(__name__)

AT_ONCE = 400
"""Probes under way at a time: ten thousand appliances that all let a probe time out are gone through in two minutes."""

GRAIN_S = 0.02
"""Probes that fall due within this are begun together."""

TELL_S = 0.25
"""News are told together that come within this."""

NEWS = 60
"""Results that say the same, one after another, of which each is news once something was wrong: as many as a rule may
look back at (``n_of_m``)."""

SPREAD_S = 0.003
"""Seconds by which the first asking of each new target is later than that of another, at the most: a whole estate is
not asked at once."""


class Prober:
    """Asks each target at its interval, each time a random bit earlier or later.

    Arguments:
        told: called with the appliances of which there is news, from this object's thread.
        chance: a number in [0, 1).
    """

    def __init__(
        self,
        clock: Clock,
        told: Callable[[Collection[ApplianceId]], None],
        *,
        at_once: int = AT_ONCE,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._told = told
        self._at_once = at_once
        self._chance = chance
        self._lock = threading.Lock()
        self._targets: dict[Key, Target] = {}
        self._results: dict[ApplianceId, dict[str, ProbeResult]] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._closed = False
        # Of the thread alone:
        self._due: list[tuple[float, int, Target]] = []
        self._scheduled: dict[Key, Target] = {}
        self._runs: dict[Key, tuple[int, bool]] = {}
        """How many results have said the same, one after another, and whether anything was wrong before."""
        self._serial = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._news: set[ApplianceId] = set()
        self._tell_at = 0.0
        self._complained = False

    # --- from any thread --------------------------------------------------------------------------------------------

    def aim(self, targets: Iterable[Target]) -> None:
        """Exactly these are asked from now on. Results of an earlier incarnation, and of probes that are no more, are
        forgotten."""
        wanted = {(one.appliance, one.name): one for one in targets}
        with self._lock:
            if self._closed or wanted == self._targets:
                return
            before, self._targets = self._targets, wanted
            for key, target in before.items():
                now = wanted.get(key)
                if now is None or (now.incarnation, now.probe) != (target.incarnation, target.probe):
                    self._forget(key)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="probes", daemon=True)
                self._thread.start()
        self._rouse()

    def aimed(self) -> Mapping[Key, Target]:
        return self._targets

    def answers(self, appliance: ApplianceId) -> Mapping[str, ProbeResult]:
        return self._results.get(appliance, {})

    def close(self, timeout_s: float) -> None:
        """Ask nobody any more, and wait at most so long for those that are being asked. A second call is quiet."""
        with self._lock:
            self._closed = True
        self._rouse()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _rouse(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(self._wake.set)

    def _forget(self, key: Key) -> None:
        appliance, name = key
        kept = {other: one for other, one in self._results.get(appliance, {}).items() if other != name}
        if kept:
            self._results[appliance] = kept
        else:
            self._results.pop(appliance, None)

    # --- on its own thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            asyncio.run(self._ask())
        except Exception as error:  # probes then say nothing, which is not that all is well
            _log.error("nobody is probed any more", exc_info=error)

    async def _ask(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        known: Mapping[Key, Target] = {}
        while True:
            self._wake.clear()
            if self._closed:
                break
            if known is not self._targets:
                known = self._targets
                self._follow(known, loop.time())
            self._begin(loop.time())
            self._tell(loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause_s(loop.time()))
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _follow(self, targets: Mapping[Key, Target], now: float) -> None:
        """Ask those that are new soon, and not those any more that are gone."""
        before = self._scheduled
        self._scheduled = {key: before[key] if before.get(key) == target else target for key, target in targets.items()}
        new = [target for key, target in self._scheduled.items() if before.get(key) is not target]
        for target in new:
            wait_s = min(target.probe.interval_s, len(new) * SPREAD_S) * self._chance()
            self._schedule(target, now + wait_s)
        for key in self._runs.keys() - targets.keys():
            del self._runs[key]

    def _schedule(self, target: Target, at: float) -> None:
        self._serial += 1
        heapq.heappush(self._due, (at, self._serial, target))

    def _begin(self, now: float) -> None:
        while self._due and self._due[0][0] <= now and len(self._under_way) < self._at_once:
            _, _, target = heapq.heappop(self._due)
            if self._scheduled.get((target.appliance, target.name)) is not target:
                continue
            task = asyncio.create_task(self._probe(target, now))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        full = len(self._under_way) >= self._at_once
        self._under_way.discard(task)
        if full:
            self._wake.set()

    def _pause_s(self, now: float) -> float | None:
        waits = [self._tell_at - now] if self._news else []
        if self._due and len(self._under_way) < self._at_once:
            waits.append(self._due[0][0] - now)
        return max(GRAIN_S, min(waits)) if waits else None

    async def _probe(self, target: Target, began: float) -> None:
        try:
            self._note(target, await questions.asked(target.probe, target.address))
        except OSError as error:
            if not self._complained:
                _log.warning("this machine cannot probe", address=target.address, error=os.strerror(error.errno or 0))
            self._complained = True
        except Exception as error:  # a mistake of ours must not stop the others
            _log.error("a probe failed for a reason of its own", probe=target.name, exc_info=error)
        interval_s = target.probe.interval_s * (0.95 + self._chance() / 10)
        now = asyncio.get_running_loop().time()
        self._schedule(target, max(now, began + interval_s))
        if len(self._due) == 1 or self._due[0][2] is target:
            self._wake.set()

    def _note(self, target: Target, answer: Answer) -> None:
        error = answer.error
        key, now = (target.appliance, target.name), self._clock.now()
        with self._lock:
            aimed = self._targets.get(key)
            if aimed is None or aimed.incarnation != target.incarnation:
                return  # it is another machine by now
            known = self._results.get(target.appliance, {})
            before = known.get(target.name)
            same = before is not None and before.ok is not bool(error)
            result = ProbeResult(
                target.incarnation,
                not error,
                error,
                now,
                before.since if same and before is not None else now,
                target.address,
                target.probe.interval_s,
                answer.certificate_until,
            )
            renewed = before is not None and before.certificate_until != answer.certificate_until
            self._results[target.appliance] = {**known, target.name: result}
        count, marred = self._runs.get(key, (0, False))
        count, marred = (count + 1 if same else 1), marred or bool(error)
        self._runs[key] = (count, marred and (bool(error) or count <= NEWS))
        if not same or renewed or (marred and count <= NEWS):
            if not self._news:
                self._tell_at = asyncio.get_running_loop().time() + TELL_S
                self._wake.set()
            self._news.add(target.appliance)

    def _tell(self, now: float) -> None:
        if self._news and now >= self._tell_at:
            news, self._news = self._news, set()
            self._told(news)
