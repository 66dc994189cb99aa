"""Heads of the action log's chains, kept in a file outside the store, so that a cut tail is noticed.

``heads.log`` gets one line per chain and transaction, after the commit: ``<seq> <code> <check> <chain>``. An anchor
may lag behind the store (a crash between the two), never run ahead of it. It is not forced to the disk each time: a
lost line makes the guard a little older, not wrong. A last line without its end is what a crash left and is ignored.
"""

from __future__ import annotations

import hmac
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from cloudmon import faultpoints
from cloudmon.errors import StoreUnavailable
from cloudmon.store import chain as chains
from cloudmon.store.chain import Head

FILE = "heads.log"
COMPACT_BYTES = 1_048_576


class Anchor(NamedTuple):
    """One line that can be trusted: this chain had this head."""

    chain: str
    head: Head


class Anchored(NamedTuple):
    """What an anchor file says."""

    anchors: tuple[Anchor, ...]
    """In the order written."""
    damaged: tuple[int, ...]
    """Numbers of lines whose check does not hold."""


class Anchors:
    """The anchor file of one store. Safe to share between threads; one process writes at a time (the monitor)."""

    def __init__(self, folder: Path, key: bytes, *, compact_bytes: int = COMPACT_BYTES) -> None:
        self.path = folder / FILE
        self.trouble = ""
        """Why the file could not be written the last time; empty when all is well."""
        self._key = key
        self._compact_bytes = compact_bytes
        self._waiting: dict[str, Head] = {}
        self._turn = threading.Lock()

    def write(self, heads: Mapping[str, Head]) -> None:
        """Append the heads of a transaction that is committed.

        Never raises for the disk's sake: what they anchor is written already. Heads that could not be appended are
        kept and tried with the next ones; ``trouble`` says why.
        """
        faultpoints.reached("anchor.before-write")
        with self._turn:
            for chain, head in heads.items():
                if chain not in self._waiting or head.seq > self._waiting[chain].seq:
                    self._waiting[chain] = head
            try:
                self._append(self._waiting)
            except OSError as error:
                self.trouble = f"the anchor file {self.path} cannot be written: {error.strerror}"
                return
            self._waiting = {}
            self.trouble = ""
        faultpoints.reached("anchor.after-write")

    def read(self) -> Anchored:
        """What the file says; a missing file says nothing. Raises OSError when it cannot be read."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Anchored((), ())
        return self._parse(content)

    def _append(self, heads: Mapping[str, Head]) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            line = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = os.open(self.path, flags, 0o600)
        try:
            _cut_torn_line(line)
            content = self._lines(Anchor(*item) for item in heads.items())
            while content:
                content = content[os.write(line, content) :]
            size = os.fstat(line).st_size
        finally:
            os.close(line)
        if size > self._compact_bytes:
            self._compact()

    def _lines(self, anchors: Iterable[Anchor]) -> bytes:
        return b"".join(
            f"{head.seq} {head.mac} {chains.anchor_check(self._key, chain, head)} {chain}\n".encode()
            for chain, head in anchors
        )

    def _parse(self, content: bytes) -> Anchored:
        anchors, damaged = [], []
        lines = content.split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            anchor = self._trusted(line)
            if anchor is not None:
                anchors.append(anchor)
            elif line:
                damaged.append(number)
        return Anchored(tuple(anchors), tuple(damaged))

    def _trusted(self, line: bytes) -> Anchor | None:
        parts = line.decode(errors="replace").split(" ", 3)
        if len(parts) != 4 or not parts[0].isdecimal():
            return None
        head = Head(int(parts[0]), parts[1])
        if not hmac.compare_digest(chains.anchor_check(self._key, parts[3], head).encode(), parts[2].encode()):
            return None
        return Anchor(parts[3], head)

    def _compact(self) -> None:
        """Keep what later lines do not already say, replacing the file in one step.

        Where a chain went back (its store was cut and written on), the older line is the evidence and stays.
        """
        anchored = self._parse(self.path.read_bytes())
        kept: list[Anchor] = []
        lowest_after: dict[str, int] = {}
        for anchor in reversed(anchored.anchors):
            lowest = lowest_after.get(anchor.chain)
            if lowest is None or anchor.head.seq >= lowest:
                kept.append(anchor)
            lowest_after[anchor.chain] = anchor.head.seq if lowest is None else min(lowest, anchor.head.seq)
        content = self._lines(reversed(kept))
        self._compact_bytes = max(self._compact_bytes, 2 * len(content))
        if anchored.damaged:
            return  # somebody was at the file: it stays as it is, for whoever looks into that
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o600)
        fresh.replace(self.path)


def know_a_store(folder: Path) -> bool:
    """Whether the anchors in ``folder`` tell of a store that was written to, whoever's key signed them.

    Raises StoreUnavailable when they cannot be read.
    """
    path = folder / FILE
    try:
        return b"\n" in path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreUnavailable(f"the anchor file {path} cannot be read: {error.strerror}") from error


def _cut_torn_line(file: int) -> None:
    """Drop a last line without its end, so that it neither swallows the next one nor looks like tampering."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return
    start = max(0, size - 4_096)
    os.ftruncate(file, start + os.pread(file, 4_096, start).rfind(b"\n") + 1)
