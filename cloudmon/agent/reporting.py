"""Reports: the whole state at first, then what changed, each with the hash of the whole after it."""

from __future__ import annotations

import threading
from typing import Any

from . import buffer, states, version
from .buffer import Buffer
from .clock import Clock
from .commands import Commands
from .config import Config
from .log import Log
from .looking import Eyes
from .place import Place

SEQ = "seq.json"
MOST_BODY = 900 * 1024
"""A report stays below this: of one that would be larger the largest sections are left out."""
LEAST_BODY = 32 * 1024
MEANING = ("packages", "processes", "files", "services", "accounts")
"""What may be left out when there is far too much of it."""


class Reporter:
    """Writes reports into the buffer. Belongs to the main thread; others may ask for a full one."""

    def __init__(self, place: Place, clock: Clock, log: Log, eyes: Eyes, commands: Commands, waiting: Buffer) -> None:
        self._place = place
        self._clock = clock
        self._log = log
        self._eyes = eyes
        self._commands = commands
        self._buffer = waiting
        self._seq = 0
        self._sections: states.Sections = {}
        self._hashes: dict[str, str] = {}
        self._sizes: dict[str, tuple[states.Section, int]] = {}
        self._hash = ""
        self._instance = ""
        self._most_body = MOST_BODY
        self.full_wanted = threading.Event()

    def arrive(self, instance: str) -> None:
        """Numbers go on where they were, in the same boot."""
        self._instance = instance
        told = self._place.load(SEQ)
        stored = told.get("seq", 0) if told.get("boot") == self._eyes.boot else 0
        self._seq = max(stored if isinstance(stored, int) else 0, self._buffer.last_seq(self._eyes.boot))
        self.full_wanted.set()

    def raise_to(self, seq: object) -> None:
        """The monitor took a higher number of this boot than we know of: ours go on behind it."""
        if isinstance(seq, int) and seq > self._seq:
            self._seq = seq

    def too_large(self) -> None:
        """The monitor takes less than we thought."""
        self._most_body = max(LEAST_BODY, self._most_body // 2)

    def write(self, why: str, config: Config, interval_s: float) -> dict[str, Any]:
        """Look at everything and buffer a report of it; its body is returned."""
        if self._buffer.too_full():
            self._log.once("reports", "the buffer is full; the oldest reports are left out")
            self._commands.returned(self._buffer.to_next_full(own=True))
        full = self.full_wanted.is_set() or not self._hash or self._buffer.chain() >= buffer.MOST_CHAIN
        self.full_wanted.clear()
        sections = self._bounded(self._eyes.sections(config, interval_s))
        hashes = {
            name: self._hashes[name] if self._sections.get(name) is section else states.section_hash(section)
            for name, section in sections.items()
        }
        base, self._hash = self._hash, states.state_hash(hashes)
        body = {
            "v": 1,
            "instance": self._instance,
            "boot": self._eyes.boot,
            "seq": self._seq + 1,
            "at": round(self._clock.now(), 3),
            "offset_s": self._clock.ahead_s,
            "version": version.VERSION,
            "why": why,
            "kind": "full" if full else "diff",
            "base": "" if full else base,
            "hash": self._hash,
            "config": config.hash,
            "sections": sections if full else states.difference(self._sections, sections),
            "results": self._commands.results(),
        }
        self._sections, self._hashes = sections, hashes
        self._seq += 1
        # Of the same boot only a kill can come in between, which this outlives unwritten to the disk itself.
        self._place.keep({"boot": self._eyes.boot, "seq": self._seq}, SEQ, durable=False)
        self._buffer.append({"since_boot": self._clock.since_boot(), "body": body})
        return body

    def _size(self, name: str, section: states.Section) -> int:
        known = self._sizes.get(name)
        if known is None or known[0] is not section:
            known = self._sizes[name] = (section, len(states.canonical(section)))
        return known[1]

    def _bounded(self, sections: states.Sections) -> states.Sections:
        sizes = {name: self._size(name, section) for name, section in sections.items() if name in MEANING}
        total = sum(sizes.values())
        kept = dict(sections)
        while total > self._most_body and sizes:
            name = max(sizes, key=lambda one: sizes[one])
            self._log.once(f"{name} cannot be told", f"it would take {sizes[name]:,} bytes")
            total -= sizes.pop(name)
            del kept[name]
        return kept


def outgoing(envelope: dict[str, Any], boot: str, clock: Clock) -> dict[str, Any]:
    """A report as it is sent now: its instant by what is known of the clock now, since it may have been written before
    that was known."""
    body = dict(envelope["body"])
    then = envelope.get("since_boot")
    if body.get("boot") == boot and isinstance(then, (int, float)):
        body["at"] = round(clock.now() - max(0.0, clock.since_boot() - then), 3)
        body["offset_s"] = clock.ahead_s
    return body
