"""Takes reports in: decides which are news, writes them in groups, and lets the monitor know.

A reply is sent after the commit, so what an agent was told is taken is in the store. A report that comes again, because
its reply was lost, is told so and written no second time.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import structlog

from cloudmon.channel import bodies
from cloudmon.channel.grouping import Grouped
from cloudmon.channel.roster import Roster
from cloudmon.clock import Clock
from cloudmon.model.guests import Agent, Report, ReportKind, Result
from cloudmon.model.identity import ApplianceId
from cloudmon.store import Ownership, Store

APART_S = 0.01
"""Seconds between two groups: at 1,500 reports a second a quarter of the commits, and of all that a report costs a
quarter less, for 5 ms more until its reply. A report that comes alone is written at once."""

_log = structlog.get_logger(__name__)


class Taking(enum.Enum):
    """What became of a report."""

    TAKEN = "taken"
    REPEAT = "repeat"
    """It was taken before."""
    MISFIT = "misfit"
    """It builds on a state that we do not have."""
    STRANGE = "strange"
    """It is not of the agent that is believed now."""


class Taken(NamedTuple):
    """What became of a report, and what its agent is told of it."""

    taking: Taking
    seq: int
    """Number of the last report taken of its boot; 0 when there is none."""
    want_full: bool


class Intake:
    """Writes reports. Used from one event loop; writes on the executor's thread.

    Arguments:
        owner_of: the ownership under which is written, asked each time.
        on_reports: told of reports after they were written, in their order, on the thread that writes: it hands them on
            and returns at once. What it raises is logged and changes nothing.
    """

    def __init__(
        self,
        store: Store,
        owner_of: Callable[[], Ownership],
        clock: Clock,
        roster: Roster,
        executor: Executor,
        on_reports: Callable[[Sequence[Report]], None],
    ) -> None:
        self._store = store
        self._owner_of = owner_of
        self._clock = clock
        self._roster = roster
        self._on_reports = on_reports
        self._wanted: set[ApplianceId] = set()
        self._grouped: Grouped[Report, Taken] = Grouped(self._write, executor, apart_s=APART_S)

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        """Ask for full reports with the next replies. From any thread."""
        self._wanted.update(appliances)

    async def take(self, report: Report, size: int) -> Taken:
        """Have a report written; returns once it is. Raises grouping.Full at once when too much waits, and StoreError
        when it could not be written."""
        return await self._grouped.put(report.appliance, report, size)

    # --- on the thread that writes ------------------------------------------------------------------------------------

    def _write(self, reports: Sequence[Report]) -> list[Taken]:
        takings = [self._look(report) for report in reports]
        news = [report for report, taking in zip(reports, takings, strict=True) if taking is Taking.TAKEN]
        if news:
            written = iter(self._store.reports.take(self._owner_of(), news, now=self._clock.now()))
            takings = [
                self._ended(report, next(written)) if taking is Taking.TAKEN else taking
                for report, taking in zip(reports, takings, strict=True)
            ]
            taken = [report for report, one in zip(reports, takings, strict=True) if one is Taking.TAKEN]
            if taken:
                self._tell(taken)
        return [self._told(report, taking) for report, taking in zip(reports, takings, strict=True)]

    def _look(self, report: Report) -> Taking:
        """What is known of a report before the store is asked."""
        agent = self._roster.get(report.appliance)
        if agent is None or agent.revoked_at is not None:
            return Taking.STRANGE
        if (agent.instance, agent.incarnation) != (report.instance, report.incarnation):
            return Taking.STRANGE
        if report.boot == agent.boot and report.seq <= agent.seq:
            return Taking.REPEAT
        if report.kind is ReportKind.DIFF and (not agent.hash or report.base != agent.hash):
            return Taking.MISFIT
        return Taking.TAKEN

    def _ended(self, report: Report, written: bool) -> Taking:
        if written:
            self._roster.heard(report)
            return Taking.TAKEN
        agent = self._roster.reread(report.appliance)
        if agent is None or agent.revoked_at is not None:
            return Taking.STRANGE
        if (agent.instance, agent.incarnation) != (report.instance, report.incarnation):
            return Taking.STRANGE
        if report.kind is ReportKind.DIFF and report.base != agent.hash:
            return Taking.MISFIT
        # Of this agent, and it fits: so it is of an earlier boot, and was taken then.
        return Taking.REPEAT

    def _told(self, report: Report, taking: Taking) -> Taken:
        agent = self._roster.get(report.appliance)
        seq = agent.seq if agent is not None and agent.boot == report.boot else 0
        if taking is Taking.TAKEN and report.kind is ReportKind.FULL:
            self._wanted.discard(report.appliance)
        return Taken(taking, seq, taking is Taking.MISFIT or report.appliance in self._wanted)

    def _tell(self, reports: Sequence[Report]) -> None:
        try:
            self._on_reports(reports)
        except Exception as error:
            _log.error("reports were taken, and whoever is told of them failed", exc_info=error)


def belongs(agent: Agent | None, instance: str) -> bool:
    """Whether a body's ``instance`` is the agent's that the key was given to."""
    return agent is not None and agent.instance == instance


def report_of(agent: Agent, body: bodies.ReportBody, now: dt.datetime) -> Report:
    """The report of an agent that was verified, as it came in at ``now``."""
    # A clock of theirs that ran ahead must not date anything into our future.
    reported_at = min(dt.datetime.fromtimestamp(body.at, dt.UTC), now)
    return Report(
        appliance=agent.appliance,
        tenant=agent.tenant,
        incarnation=agent.incarnation,
        instance=body.instance,
        boot=body.boot,
        seq=body.seq,
        kind=body.kind,
        base=body.base,
        hash=body.hash,
        why=body.why,
        reported_at=reported_at,
        received_at=now,
        body=body.sections,
        results=tuple(_result(one, now) for one in body.results),
        version=body.version,
        offset_s=body.offset_s,
    )


def _result(one: bodies.ResultBody, now: dt.datetime) -> Result:
    ended_at = None if one.ended_at is None else min(dt.datetime.fromtimestamp(one.ended_at, dt.UTC), now)
    return Result(one.id, one.ok, one.exit, one.output, one.error, ended_at)
