"""One job and what has become of its runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import structlog

from cloudmon.clock import Clock
from cloudmon.engine.rhythm import Rhythm
from cloudmon.errors import CloudmonError
from cloudmon.model.health import JobHealth

_log = structlog.get_logger(__name__)

Job = Callable[[], object]


class Task:
    """One job of an engine, and how its runs went; :meth:`claim` and :meth:`release` want the engine's lock."""

    def __init__(self, name: str, rhythm: Rhythm, job: Job, late_after_s: float, clock: Clock) -> None:
        self.name = name
        self.rhythm = rhythm
        self.running = False
        self._job = job
        self.late_after_s = late_after_s
        self._clock = clock
        self._again = False
        self._was_late = False
        self._well_at = clock.monotonic()
        self._running_since: dt.datetime | None = None
        self._last_success_at: dt.datetime | None = None
        self._last_failure_at: dt.datetime | None = None
        self._last_error = ""
        self._runs = 0
        self._failures = 0

    def expect(self) -> None:
        """From now on it is expected to run."""
        self._well_at = self._clock.monotonic()

    def claim(self) -> bool:
        """True when the caller may run it; otherwise it runs once more after the run that is under way."""
        if self.running:
            self._again = True
            return False
        self.running = True
        return True

    def release(self, more: bool) -> bool:
        again = self.running = more and self._again
        self._again = False
        return again

    def run(self) -> None:
        self._running_since = self._clock.now()
        try:
            self._job()
        except Exception as error:
            self.ended(error)
        else:
            self.ended(None)

    def ended(self, error: Exception | None) -> None:
        self._running_since = None
        self._runs += 1
        if error is None:
            self._well_at = self._clock.monotonic()
            self._last_success_at = self._clock.now()
            return
        self._failures += 1
        self._last_failure_at = self._clock.now()
        said = f": {error.message}" if isinstance(error, CloudmonError) else ""
        self._last_error = f"{type(error).__name__}{said}"
        _log.error("the job failed; it runs again at its usual time", job=self.name, exc_info=error)

    @property
    def late(self) -> bool:
        return self._clock.monotonic() - self._well_at > self.late_after_s

    def watch(self) -> None:
        """Say once that it is late, and once that it is not any more."""
        late = self.late
        if late and not self._was_late:
            since = self._running_since
            doing = "is under way" if self.running else "is not under way"
            _log.error("the job is late", job=self.name, run=doing, since=since and since.isoformat())
        if self._was_late and not late:
            _log.info("the job is in time again", job=self.name)
        self._was_late = late

    def health(self) -> JobHealth:
        return JobHealth(
            name=self.name,
            interval_s=self.rhythm.interval_s,
            late_after_s=self.late_after_s,
            late=self.late,
            running_since=self._running_since,
            last_success_at=self._last_success_at,
            last_failure_at=self._last_failure_at,
            last_error=self._last_error,
            runs=self._runs,
            failures=self._failures,
        )
