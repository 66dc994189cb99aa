"""What was observed while the store was away, in a bounded local file, in order.

One JSON object a line. A listing is written as what changed since the cloud's listing before it, so that a quiet hour
costs a few kilobytes however many nodes there are. When the file is full the oldest half gives up its nodes but keeps
its extents: metering still knows that, and when, the cloud was seen.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from cloudmon.model.nodes import Node, NodeState
from cloudmon.model.observations import Observation

_log = structlog.get_logger(__name__)

MIB = 1024 * 1024


class Journal:
    """Observations, appended while the store is away and replayed when it is back.

    What :meth:`append` returned from survives kill -9 and loss of power; a line that was cut off is as if it had never
    been appended. Safe to share between threads.

    Arguments:
        path: the file; made readable for its owner only.
        limit_mib: its largest size. A listing that would take more than half of it is kept without its nodes.
        max_gap_s: how far apart two observations without nodes may lie to be kept as one extent.
    """

    def __init__(self, path: Path, limit_mib: float, *, max_gap_s: float = 120.0) -> None:
        self._path = path
        self._limit = int(limit_mib * MIB)
        self._max_gap = dt.timedelta(seconds=max_gap_s)
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, dict[str, Node]] = {}
        self._dropped = 0
        self._size = self._whole_size()
        with self._lock:
            for _ in self._decoded(self._lines(), self._seen):
                pass

    @property
    def size(self) -> int:
        """Bytes that it takes; 0 when nothing is in it."""
        return self._size

    @property
    def dropped(self) -> int:
        """How many listings had to give up their nodes since this journal was opened."""
        return self._dropped

    def append(self, observation: Observation) -> None:
        """Add one observation; OSError when the disk takes none, and then nothing was added."""
        with self._lock:
            observation, line = self._fitted(observation)
            if self._size + len(line) > self._limit:
                self._compact(len(line))
                observation, line = self._fitted(observation)
            self._write(line)
            if observation.nodes is not None:
                self._seen[observation.cloud] = {node.id: node for node in observation.nodes}

    def replay(self) -> Iterator[Observation]:
        """Every observation, oldest first; those that gave up their nodes have None for them, and may stand for
        several that lay close together."""
        with self._lock:
            end = self._size
        yield from self._decoded(self._lines(end), {})

    def clear(self) -> None:
        """Forget everything: it is in the store."""
        with self._lock:
            self._path.unlink(missing_ok=True)
            self._seen.clear()
            self._size = 0

    # --- the file ---------------------------------------------------------------------------------------------------

    def _whole_size(self) -> int:
        """Size of what is whole; a torn last line is cut off."""
        try:
            with self._path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                end = size
                while end > 0:
                    start = max(0, end - MIB)
                    file.seek(start)
                    newline = file.read(end - start).rfind(b"\n")
                    if newline >= 0:
                        end = start + newline + 1
                        break
                    end = start
                if end != size:
                    file.truncate(end)
                return end
        except FileNotFoundError:
            return 0

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            try:
                os.ftruncate(descriptor, self._size)  # what an append that failed may have left
                _write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._size)
                raise
        finally:
            os.close(descriptor)
        self._size += len(line)

    def _lines(self, end: int | None = None) -> Iterator[bytes]:
        left = self._size if end is None else end
        try:
            with self._path.open("rb") as file:
                for line in file:
                    left -= len(line)
                    if left < 0:
                        return
                    yield line
        except FileNotFoundError:
            return

    def _compact(self, need: int) -> None:
        """Make room for ``need`` bytes.

        Takes the nodes from the oldest half, all but each cloud's last listing there, which the rest builds on.
        """
        cut = self._size - self._limit // 2
        older: list[Observation] = []
        base_at: dict[str, int] = {}
        seen: dict[str, dict[str, Node]] = {}
        kept: list[bytes] = []
        for line in self._lines():
            if cut <= 0:
                kept.append(line)
                continue
            cut -= len(line)
            for observation in self._decoded([line], seen):
                if observation.nodes is not None:
                    if observation.cloud in base_at:
                        before = base_at[observation.cloud]
                        older[before] = self._bared(older[before])
                    base_at[observation.cloud] = len(older)
                older.append(observation)
        lines = [self._encoded_anew(observation) for observation in self._merged(older)]
        if sum(map(len, lines)) + sum(map(len, kept)) > self._limit - need:
            # Either a listing takes so much that few of them fit: begin anew with the next one. Or years of extents
            # have come together: metering estimates the oldest.
            older = [self._bared(observation) for observation in (*older, *self._decoded(kept, seen))]
            lines = [self._encoded_anew(observation) for observation in self._merged(older)]
            kept = []
            self._seen.clear()
            while sum(map(len, lines)) > self._limit // 4:
                del lines[: len(lines) // 2 + 1]
        self._rewrite([*lines, *kept])
        _log.warning("the journal is full: the oldest listings gave up their nodes", listings=self._dropped)

    def _encoded_anew(self, observation: Observation) -> bytes:
        return _line(observation, observation.nodes, (), full=observation.nodes is not None)

    def _merged(self, observations: Iterable[Observation]) -> list[Observation]:
        """Neighbours of one cloud that have no nodes and differ in their time only, as one; in the same order."""
        merged: list[Observation] = []
        last_at: dict[str, int] = {}
        for observation in observations:
            at = last_at.get(observation.cloud)
            if at is not None and self._alike(merged[at], observation):
                until = max(merged[at].finished_at, observation.finished_at)
                merged[at] = replace(merged[at], finished_at=until)
            else:
                last_at[observation.cloud] = len(merged)
                merged.append(observation)
        return merged

    def _alike(self, before: Observation, after: Observation) -> bool:
        return (
            before.nodes is None
            and after.nodes is None
            and before.healthy == after.healthy
            and before.reason == after.reason
            and after.started_at - before.finished_at <= self._max_gap
        )

    def _rewrite(self, lines: Sequence[bytes]) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for line in lines:
                _write_all(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(self._path)
        self._size = sum(map(len, lines))

    def _bared(self, observation: Observation) -> Observation:
        """Without its nodes."""
        self._dropped += observation.nodes is not None
        return replace(observation, nodes=None)

    # --- one line ---------------------------------------------------------------------------------------------------

    def _fitted(self, observation: Observation) -> tuple[Observation, bytes]:
        """The observation and its line; without its nodes where they would fill the journal alone."""
        line = self._encoded(observation)
        if len(line) <= self._limit // 2:
            return observation, line
        self._seen.pop(observation.cloud, None)
        bared = self._bared(observation)
        return bared, self._encoded(bared)

    def _encoded(self, observation: Observation) -> bytes:
        if observation.nodes is None:
            return _line(observation, None, ())
        before = self._seen.get(observation.cloud)
        if before is None:
            return _line(observation, observation.nodes, (), full=True)
        now = {node.id: node for node in observation.nodes}
        changed = [node for node in observation.nodes if before.get(node.id) != node]
        return _line(observation, changed, [node_id for node_id in before if node_id not in now])

    def _decoded(self, lines: Iterable[bytes], seen: dict[str, dict[str, Node]]) -> Iterator[Observation]:
        """The observations of these lines; ``seen`` is each cloud's last listing, before and after."""
        for line in lines:
            try:
                found = json.loads(line)
                nodes = found["nodes"] and [_node(values) for values in found["nodes"]]
                observation = Observation(
                    found["cloud"],
                    dt.datetime.fromisoformat(found["started_at"]),
                    dt.datetime.fromisoformat(found["finished_at"]),
                    found["healthy"],
                    found["reason"],
                )
                full, gone = found.get("full", False), found.get("gone", ())
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("a line of the journal cannot be read and is left out", error=type(error).__name__)
                seen.clear()  # whichever cloud's it was, what builds on it would be wrong
                continue
            if nodes is None:
                yield observation
                continue
            listing = {} if full else seen.get(observation.cloud)
            if listing is None:  # what it builds on could not be read
                yield observation
                continue
            for node_id in gone:
                listing.pop(node_id, None)
            listing.update((node.id, node) for node in nodes)
            seen[observation.cloud] = listing
            yield replace(observation, nodes=tuple(listing.values()))


def _line(observation: Observation, nodes: Sequence[Node] | None, gone: Sequence[str], *, full: bool = False) -> bytes:
    content: dict[str, Any] = {
        "cloud": observation.cloud,
        "started_at": observation.started_at.isoformat(),
        "finished_at": observation.finished_at.isoformat(),
        "healthy": observation.healthy,
        "reason": observation.reason,
        "nodes": None if nodes is None else [_values(node) for node in nodes],
    }
    if full:
        content["full"] = True
    if gone:
        content["gone"] = gone
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _values(node: Node) -> list[Any]:
    return list(
        node._replace(
            public_addresses=list(node.public_addresses),
            private_addresses=list(node.private_addresses),
            created_at=node.created_at and node.created_at.isoformat(),  # type: ignore[arg-type] # JSON's form of it
            tags=dict(node.tags),
            ended_at=node.ended_at and node.ended_at.isoformat(),  # type: ignore[arg-type] # as created_at
        )
    )


def _node(values: list[Any]) -> Node:
    node = Node(*values)
    return node._replace(
        state=NodeState(node.state),
        public_addresses=tuple(node.public_addresses),
        private_addresses=tuple(node.private_addresses),
        created_at=None if node.created_at is None else dt.datetime.fromisoformat(str(node.created_at)),
        ended_at=None if node.ended_at is None else dt.datetime.fromisoformat(str(node.ended_at)),
    )


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
