"""What agents say, as far as the monitor needs it in memory: who speaks for each appliance, and what it said last.

Reports arrive from another thread and wait here until the monitor's turn comes. All of them are in the store already:
what is not kept here is read there.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from cloudmon.errors import StoreError
from cloudmon.model import states
from cloudmon.model.appliances import Member
from cloudmon.model.guests import Agent, GuestState, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.line import Line, Silent
from cloudmon.reconcile.picture import Estate
from cloudmon.store import Ownership, Store

_log = structlog.get_logger(__name__)

KEPT = 1_000
"""Appliances whose state is kept in memory, those heard last; that of any other is read from the store."""

READ_AT_ONCE = 100
"""Appliances whose state is read from the store at once, before they are looked at."""

WHOLE_AFTER = 100
"""Differences after which a state is kept whole, so that it need not be added up from all of them."""

MOST_WHOLE = 50
"""States kept whole in one turn."""

SILENT_INTERVALS, SILENT_S = 3, 60.0
"""Reports that may be missing, and seconds beyond, before an agent is taken to fetch nothing."""


@dataclass(slots=True)
class Hearing:
    """What was heard. Reports may be handed in from any thread; all else is for whoever has the monitor's turn."""

    store: Store
    line: Line = field(default_factory=Silent)
    _arrived: list[Report] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _agents: dict[ApplianceId, Agent] | None = None
    _unlooked: set[ApplianceId] = field(default_factory=set)
    _states: OrderedDict[ApplianceId, GuestState] = field(default_factory=OrderedDict)
    _differences: dict[ApplianceId, int] = field(default_factory=dict)
    """Since the state was kept whole last, or since this monitor began."""

    def heard(self, reports: Iterable[Report]) -> None:
        """These reports are in the store. From any thread; returns at once."""
        with self._lock:
            self._arrived.extend(reports)

    @property
    def pending(self) -> bool:
        """Whether there are news."""
        return bool(self._arrived or self._unlooked)

    def agents(self) -> dict[ApplianceId, Agent]:
        """Who speaks for each appliance."""
        if self._agents is None:
            self._agents = {agent.appliance: agent for agent in self.store.agents.all(EVERYONE)}
            # After a start nobody knows what of it was looked at.
            self._unlooked.update(self._agents)
        return self._agents

    def forget(self, appliances: Iterable[ApplianceId]) -> None:
        """What is known of these agents is out of date."""
        agents = self.agents()
        for appliance in appliances:
            found = self.store.agents.get(EVERYONE, appliance)
            if found is None:
                agents.pop(appliance, None)
            else:
                agents[appliance] = found

    def news(self) -> set[ApplianceId]:
        """Take in what has arrived: whom it is about, and, the first time, everybody who ever spoke. Raises
        StoreUnavailable; the same is then told once more."""
        agents = self.agents()
        with self._lock:
            arrived, self._arrived = self._arrived, []
        self._unlooked.update(report.appliance for report in arrived)
        try:
            for report in arrived:
                self._add(report)
                self._hear(report, agents)
        except StoreError:
            # All of it is in the store, and is read there when that is back.
            for report in arrived:
                self._states.pop(report.appliance, None)
            self._agents = None
            raise
        found, self._unlooked = self._unlooked, set()
        return found

    def with_states(self, members: Sequence[Member]) -> Iterator[tuple[Member, GuestState | None]]:
        """Each with what it said of itself; None where nothing is known. A few at a time: more may be due at once than
        are kept."""
        for start in range(0, len(members), READ_AT_ONCE):
            some = members[start : start + READ_AT_ONCE]
            states = self._states_of([member.id for member in some])
            for member in some:
                yield member, states.get(member.id)

    def keep_whole(self, owner: Ownership, now: dt.datetime) -> None:
        """Keep whole what has been told by many differences. One that does not add up is asked for anew."""
        due = [appliance for appliance, count in self._differences.items() if count >= WHOLE_AFTER]
        for appliance in due[:MOST_WHOLE]:
            state = self._states_of([appliance]).get(appliance)
            self._differences.pop(appliance)
            if state is not None and not self.store.reports.snapshot(owner, state, now):
                self._states.pop(appliance, None)
                self.line.want_full([appliance])

    # --- inside ------------------------------------------------------------------------------------------------------

    def _hear(self, report: Report, agents: dict[ApplianceId, Agent]) -> None:
        agent = agents.get(report.appliance)
        if agent is None or not agent.speaks(report):
            agent = self.store.agents.get(EVERYONE, report.appliance)
        if agent is not None:
            agents[report.appliance] = agent.after(report)

    def _add(self, report: Report) -> None:
        """The appliance's state after a report; forgotten where the report does not build on what is kept here."""
        before, kind = self._states.pop(report.appliance, None), report.kind
        try:
            if kind is ReportKind.FULL:
                sections = states.whole(report.body)
            elif before is not None and before.hash == report.base:
                sections = states.apply(before.sections, report.body)
            else:
                return
        except ValueError as error:
            _log.warning("a report makes no sense", appliance=report.appliance, error=str(error))
            return
        self._differences[report.appliance] = (
            0 if kind is ReportKind.FULL else self._differences.get(report.appliance, 0) + 1
        )
        self._keep(
            GuestState(
                report.appliance, report.incarnation, report.boot, report.seq, report.hash, report.reported_at,
                report.received_at, sections,
            )
        )  # fmt: skip

    def _keep(self, state: GuestState) -> None:
        self._states[state.appliance] = state
        self._states.move_to_end(state.appliance)
        while len(self._states) > KEPT:
            self._states.popitem(last=False)

    def _states_of(self, appliances: Iterable[ApplianceId]) -> dict[ApplianceId, GuestState]:
        agents = self.agents()
        speaking = [one for one in appliances if one in agents and agents[one].hash]
        found = {one: self._states[one] for one in speaking if one in self._states}
        unread = [one for one in speaking if one not in found]
        if not unread:
            return found
        read = self.store.reports.states(EVERYONE, unread)
        for state in read.values():
            self._keep(state)
        unsound = [one for one in unread if one not in read]
        if unsound:
            _log.warning("what these appliances said does not add up; a full report is asked for", count=len(unsound))
            self.line.want_full(unsound)
        return {**found, **read}


@dataclass(frozen=True, slots=True)
class Heard:
    """Appliances whose agent takes commands: of their present node, believed, and not silent."""

    agents: Mapping[ApplianceId, Agent]
    estate: Estate
    now: dt.datetime

    def __contains__(self, appliance: object) -> bool:
        agent = self.agents.get(appliance)  # type: ignore[call-overload]
        if agent is None or agent.revoked_at is not None or agent.received_at is None:
            return False
        aset = self.estate.sets.get(agent.appliance.set_uid)
        return is_heard(agent, aset.spec.template.report_interval_s if aset is not None else 0, self.now)

    def abilities(self, appliance: ApplianceId) -> Container[str] | None:
        """What the agent of an appliance performs; None: everything."""
        agent = self.agents.get(appliance)
        return None if agent is None else agent.abilities


def is_heard(agent: Agent, interval_s: float, now: dt.datetime) -> bool:
    """Whether an agent is believed and has not fallen silent, of an appliance that reports so often."""
    if agent.revoked_at is not None or agent.received_at is None:
        return False
    return now <= agent.received_at + dt.timedelta(seconds=SILENT_INTERVALS * interval_s + SILENT_S)
