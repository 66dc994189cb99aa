"""Adds up what a host tells to its state. Pure: values in, values out; nothing of it counts before it is written.

Hosts send at least once, in an order that holds by the second only, and after their monitor was away all that they
kept. So each line is known by its mark, a line that comes again changes nothing, and of one run of a query what was
added stands, whatever order its lines come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from cloudmon.channel.osquery import applications, mapping
from cloudmon.channel.osquery.bodies import Answer, Line
from cloudmon.channel.osquery.mapping import Spent
from cloudmon.channel.osquery.queries import MATCHES, PROBES, Query, Schedule
from cloudmon.channel.osquery.values import Item, Row
from cloudmon.model.guests import Sections

MARKS = 256
"""Lines that are remembered of a host, the newest."""

CLOCK_BEHIND_S, CLOCK_AHEAD_S = 90.0, 5.0
"""Seconds between what a host says that it saw and when it came in that need no clock which is off: lines wait."""

Mark = tuple[str, float, int, int]


class Run(NamedTuple):
    """One run of a query that says what changed, as far as its lines came."""

    mark: Mark
    added: frozenset[str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of a host beside its state; all of it can be lost without harm but for what it guards against."""

    marks: tuple[Mark, ...] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    spent: Mapping[str, Spent] = field(default_factory=dict)
    matches: Sequence[Row] | None = None
    probes: Sequence[Row] | None = None


class Folded(NamedTuple):
    """A host after what it told."""

    sections: Sections
    memory: Memory
    offset_s: float
    version: str
    want_whole: bool
    """Whether something was told that does not stand on what is known: all of it should be asked for."""


class Base(NamedTuple):
    """What is known of a host before it tells more."""

    asked: Schedule
    """What its configuration asks for."""
    sections: Sections
    memory: Memory
    now: float
    """When it tells it, by our clock, in unix seconds."""
    version: str
    """Of its osquery."""
    offset_s: float = 0.0
    """Seconds by which its clock is ahead."""


class _Work:
    """What is under way within one call."""

    def __init__(self, base: Base) -> None:
        self.asked, self.now, self.offset_s = base.asked, base.now, base.offset_s
        self.version = base.version
        self.sections: dict[str, Mapping[str, Any]] = dict(base.sections)
        self.memory = base.memory
        self.want_whole = False
        self._touched: set[str] = set()

    def folded(self) -> Folded:
        self._derive()
        return Folded(self.sections, self.memory, self.offset_s, self.version, self.want_whole)

    # --- lines --------------------------------------------------------------------------------------------------------

    def line(self, line: Line) -> None:
        query = self.asked.queries.get(line.name)
        if query is None:
            return  # of an earlier configuration, or of somebody else's
        self.version = line.version or self.version
        if line.snapshot is not None:
            if line.mark not in self.memory.marks:
                self._seen(line.mark)
                self.whole(query, line.snapshot, line.at)
        elif query.section in mapping.ROWS:
            self._changed(query, line)

    def whole(self, query: Query, rows: Sequence[Row], at: float) -> None:
        """The rows are all there are."""
        section, here = query.section, self._here(at)
        if section in (MATCHES, PROBES):
            kept = {"matches": rows} if section == MATCHES else {"probes": rows}
            self.memory = replace(self.memory, **kept)  # type: ignore[arg-type]
            self._touched.add("applications")
        elif section == "system":
            self._put(section, mapping.system(rows, self._of(section), at=here, interval_s=self.asked.interval_s,
                                              version=self.version))  # fmt: skip
        elif section == "disks":
            self._put(section, mapping.disks(rows))
        elif section == "processes":
            users = mapping.users(self._of("accounts"))
            seen_at = at or self.now + self.offset_s
            found, spent = mapping.processes(rows, users, self.memory.spent, at=seen_at, offset_s=self.offset_s)
            self.memory = replace(self.memory, spent=spent)
            self._put(section, found)
        else:
            self._put(section, mapping.items(section, rows))

    def _changed(self, query: Query, line: Line) -> None:
        section, run = query.section, self.memory.runs.get(query.name)
        if run is None or run.mark != line.mark:
            if line.mark in self.memory.marks:
                return  # an older one, once more
            self._seen(line.mark)
            # Of several lines that belong together the first ones may have come to a monitor that knows it no more.
            self.want_whole = self.want_whole or (run is None and line.is_part)
            # A clock that was set back brings what is older after what is newer; or the host counts anew.
            if run is not None and run.mark[2] == line.epoch and line.counter <= run.mark[3]:
                self.want_whole = True
                if line.counter:
                    return
            run = Run(line.mark, frozenset())
            if line.counter == 0:
                # Its first results are all there are.
                self.sections.pop(section, None)
            elif section not in self.sections:
                self.want_whole = True
                return
        items = dict(self._of(section))
        added = mapping.items(section, line.added)
        for name in mapping.items(section, line.removed):
            if name not in run.added and name not in added:
                items.pop(name, None)
        items.update(added)
        run = Run(run.mark, run.added | added.keys())
        self.memory = replace(self.memory, runs={**self.memory.runs, query.name: run})
        self._put(section, items)

    # --- what is put down ---------------------------------------------------------------------------------------------

    def _seen(self, mark: Mark) -> None:
        self.memory = replace(self.memory, marks=(*self.memory.marks[-MARKS + 1 :], mark))

    def _of(self, section: str) -> Mapping[str, Any]:
        return self.sections.get(section, {})

    def _put(self, section: str, items: Mapping[str, Item]) -> None:
        self._touched.add(section)
        # A host has accounts, processes and disks. One that tells of none has not told; but files may all be missing.
        if items or section == "files":
            self.sections[section] = items
        else:
            self.sections.pop(section, None)

    def _derive(self) -> None:
        """What follows from several sections."""
        if "files" in self._touched and self.asked.files:
            names = mapping.users(self._of("accounts"))
            self.sections["files"] = mapping.owned(self._of("files"), self.asked.files, names)
        declared = self.asked.applications
        if not declared:
            self.sections.pop("applications", None)
        elif self._touched & {"applications", "services", "packages"}:
            seen = applications.Seen(
                self.sections.get("services"), self.sections.get("packages"), self.memory.matches, self.memory.probes
            )
            self.sections["applications"] = applications.section(
                declared, seen, self._of("applications"), at=self.now, offset_s=self.offset_s
            )

    def _here(self, at: float) -> float:
        """An instant of the host's clock by ours; never in our future."""
        return min(self.now, at - self.offset_s) if at else self.now


def lines(base: Base, told: Sequence[Line]) -> Folded:
    """A host's state after lines of its log, in the order they came."""
    work = _Work(base._replace(offset_s=off_by((line.at for line in told), base.now)))
    for line in told:
        work.line(line)
    return work.folded()


def answers(base: Base, told: Iterable[Answer]) -> Folded:
    """A host's state after answers to distributed queries, each named as the schedule names it, after a slash.

    One that failed changes nothing. ``want_whole`` says whether any of the schedule's is lacking.
    """
    work = _Work(base)
    found: set[str] = set()
    # Names of owners and users come with the accounts.
    for answer in sorted(told, key=lambda one: "_accounts_" not in one.id):
        query = base.asked.queries.get(answer.id.rpartition("/")[2])
        if query is not None and answer.ok:
            found.add(query.name)
            work.whole(query, answer.rows, 0.0)
    work.want_whole = bool(base.asked.queries.keys() - found)
    return work.folded()


def off_by(told: Iterable[float], now: float) -> float:
    """Seconds by which a host's clock is ahead, of what it says when it saw what came in ``now``; nought for what may
    be waiting. A backlog looks like a clock that is behind until it has been told."""
    newest = max(told, default=0.0)
    if newest <= 0 or -CLOCK_BEHIND_S <= newest - now <= CLOCK_AHEAD_S:
        return 0.0
    return float(round(newest - now, -1))
