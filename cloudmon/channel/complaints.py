"""Says in the log why requests were refused: enough to find the fault, never so much that the log is the fault."""

from __future__ import annotations

from typing import Any

import structlog

from cloudmon.clock import Clock

SPAN_S = 60.0
PER_REASON = 20
"""Lines a span for one reason; those beyond are counted, and the count is told with the next line."""

_log = structlog.get_logger(__name__)


class Complaints:
    """Lines about refusals, so many of each reason a minute. No line holds more of a request than ids and addresses."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._said: dict[str, int] = {}
        self.total = 0
        """Refusals since the beginning."""

    def add(self, reason: str, **about: Any) -> None:
        """One more refusal; ``about`` says whom it met."""
        self.total += 1
        if self._clock.monotonic() - self._since > SPAN_S:
            unsaid = {name: count - PER_REASON for name, count in self._said.items() if count > PER_REASON}
            for name, count in unsaid.items():
                _log.warning("more requests to the channel were refused", reason=name, count=count)
            self._said = {}
            self._since = self._clock.monotonic()
        said = self._said[reason] = self._said.get(reason, 0) + 1
        if said <= PER_REASON:
            _log.warning("a request to the channel is refused", reason=reason, **about)
