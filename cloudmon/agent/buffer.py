"""Reports that the monitor has not taken yet, one file each, in order. Bounded: the oldest go when too many wait."""

from __future__ import annotations

import threading
from typing import Any

from .log import Log
from .place import Place

FOLDER = "reports"
MOST_REPORTS = 1000
MOST_BYTES = 16 * 1024 * 1024
MOST_HELD = 20
"""In memory, while the disk takes nothing."""
MOST_CHAIN = 250
"""While nothing is taken a full report is written now and then, so that not all is lost when the oldest go."""


class Buffer:
    """Files survive a kill; the agent writes, another thread sends."""

    def __init__(
        self, place: Place, log: Log, *, most_reports: int = MOST_REPORTS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._place = place
        self._log = log
        self._most_reports = most_reports
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._held: dict[str, dict[str, Any]] = {}
        """Reports that the disk did not take."""
        for name in sorted(place.names(FOLDER)):
            if name.endswith(".json"):
                self._sizes[name] = place.size(FOLDER, name)
            else:
                place.remove(FOLDER, name)
        self._next = int(max(self._sizes, default="0").partition("-")[0]) + 1

    def __len__(self) -> int:
        return len(self._sizes)

    def append(self, envelope: dict[str, Any]) -> None:
        """Keep a report: ``envelope["body"]`` is what goes over the line."""
        with self._lock:
            name = f"{self._next:015d}-{envelope['body']['kind']}.json"
            self._next += 1
            try:
                self._sizes[name] = self._place.store(envelope, FOLDER, name)
                self._log.well("the buffer")
            except OSError as wrong:
                # The disk may be full, which is just what this report says.
                self._log.once("the buffer", f"{wrong.strerror}; reports are kept in memory")
                self._held[name] = envelope
                self._sizes[name] = self._most_bytes // MOST_HELD

    def oldest(self) -> tuple[str, dict[str, Any]] | None:
        """Name and envelope; None when nothing waits. A file that cannot be read any more is dropped."""
        while True:
            with self._lock:
                name = next(iter(self._sizes), None)
            if name is None:
                return None
            envelope = self._load(name)
            if isinstance(envelope.get("body"), dict):
                return name, envelope
            self._log.say("a buffered report could not be read and is left out")
            self.drop(name)

    def drop(self, name: str) -> None:
        with self._lock:
            self._sizes.pop(name, None)
            self._held.pop(name, None)
        self._place.remove(FOLDER, name)

    def _load(self, name: str) -> dict[str, Any]:
        return self._held.get(name) or self._place.load(FOLDER, name)

    def chain(self) -> int:
        """How many differences stand behind the newest full report, or behind none."""
        with self._lock:
            count = 0
            for name in reversed(list(self._sizes)):
                if name.endswith("-full.json"):
                    break
                count += 1
            return count

    def too_full(self) -> bool:
        with self._lock:
            return len(self._sizes) >= self._most_reports or sum(self._sizes.values()) >= self._most_bytes

    def to_next_full(self, *, own: bool) -> list[dict[str, Any]]:
        """Throw away the oldest until a full one is first, for ``own`` the oldest itself in any case: what built on it
        has lost its ground. The results that were in them come back."""
        results: list[dict[str, Any]] = []
        first = own
        while True:
            with self._lock:
                name = next(iter(self._sizes), None)
            if name is None or (name.endswith("-full.json") and not first):
                return results
            first = False
            results += results_in(self._load(name))
            self.drop(name)

    def results(self) -> set[str]:
        """Ids of all results that stand in reports here."""
        with self._lock:
            names = list(self._sizes)
        return {result["id"] for name in names for result in results_in(self._load(name))}

    def last_seq(self, boot: str) -> int:
        """The highest number of a report of this boot; 0 when there is none."""
        with self._lock:
            names = list(self._sizes)
        for name in reversed(names):
            body = self._load(name).get("body")
            if isinstance(body, dict) and body.get("boot") == boot and isinstance(body.get("seq"), int):
                return int(body["seq"])
        return 0


def results_in(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    body = envelope.get("body")
    results = body.get("results") if isinstance(body, dict) else None
    return [one for one in results if isinstance(one, dict) and "id" in one] if isinstance(results, list) else []
