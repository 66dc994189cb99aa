"""What goes on inside appliances: whom to look at now, and with what knowledge. The rules themselves are
:mod:`cloudmon.detection`'s.

Reports arrive from another thread and wait here until the monitor's turn comes. An appliance is looked at when a report
came, when its row changed, or when its time has come; nobody else is, however many there are.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import structlog

from cloudmon.errors import StoreError
from cloudmon.model import states
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import Agent, GuestState, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Policy, RuleState, Symptom
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.updates import Upkeep
from cloudmon.monitor.line import Line, Silent
from cloudmon.monitor.outside import Outside, Unasked
from cloudmon.reconcile import calling, remote
from cloudmon.reconcile.picture import CloudView, Estate, Inside
from cloudmon.store import Ownership, Store

if TYPE_CHECKING:
    from cloudmon.detection.detector import Detector, Diagnosis
    from cloudmon.detection.facts import Subject

_log = structlog.get_logger(__name__)

KEPT = 1_000
"""Appliances whose state is kept in memory, those heard last; that of any other is read from the store."""

READ_AT_ONCE = 100
"""Appliances whose state is read from the store at once, before they are looked at."""

MOST_LOOKS = 2_000
"""Appliances looked at in one turn; the others in the next."""

WHOLE_AFTER = 100
"""Differences after which a state is kept whole, so that it need not be added up from all of them."""

MOST_WHOLE = 50
"""States kept whole in one turn."""

SILENT_INTERVALS, SILENT_S = 3, 60.0
"""Reports that may be missing, and seconds beyond, before an agent is taken to fetch nothing."""

BUILT_IN = "built-in"
"""Name of the policy that is there without any settings."""

_UNWELL = frozenset({ApplianceState.FAULTED, ApplianceState.STOPPED, ApplianceState.SUSPENDED})

Print = tuple[ApplianceState, dt.datetime, int]
"""What of a member's row makes another look worth while."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a round of looks found."""

    changes: tuple[Change, ...]
    inside: Inside
    due: dt.datetime | None
    """When somebody is to be looked at again though nothing changes."""
    looked: Mapping[ApplianceId, tuple[Print, Diagnosis]] = field(default_factory=dict)
    upkeep: Mapping[ApplianceId, Upkeep | None] = field(default_factory=dict)


@dataclass(slots=True)
class Insides:
    """The monitor's knowledge of insides. Reports may be handed in from any thread; all else is for whoever has the
    monitor's turn."""

    store: Store
    policies: Sequence[Policy]
    line: Line = field(default_factory=Silent)
    outside: Outside = field(default_factory=Unasked)
    """Whoever asks appliances over the network."""
    _detector: Detector | None = None
    _arrived: list[Report] = field(default_factory=list)
    _answered: set[ApplianceId] = field(default_factory=set)
    """Those whose probes have news."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _agents: dict[ApplianceId, Agent] | None = None
    _states: OrderedDict[ApplianceId, GuestState] = field(default_factory=OrderedDict)
    _differences: dict[ApplianceId, int] = field(default_factory=dict)
    """Since the state was kept whole last, or since this monitor began."""
    _fresh: set[ApplianceId] = field(default_factory=set)
    _prints: dict[ApplianceId, Print] = field(default_factory=dict)
    _due: dict[ApplianceId, dt.datetime] = field(default_factory=dict)
    _symptoms: dict[ApplianceId, tuple[Symptom, ...]] = field(default_factory=dict)
    _upkeep: dict[ApplianceId, Upkeep] = field(default_factory=dict)

    @property
    def detector(self) -> Detector:
        """The rules made ready. That takes a while, and most estates that have just been begun have nobody to look
        at, so it waits until there is somebody."""
        if self._detector is None:
            from cloudmon.detection.detector import Detector  # noqa: PLC0415

            self._detector = Detector(self.policies)
        return self._detector

    def heard(self, reports: Iterable[Report]) -> None:
        """These reports are in the store. From any thread; returns at once."""
        with self._lock:
            self._arrived.extend(reports)

    def answered(self, appliances: Collection[ApplianceId]) -> None:
        """Probes of these have news. From any thread; returns at once."""
        with self._lock:
            self._answered.update(appliances)

    @property
    def pending(self) -> bool:
        """Whether a report, or news of a probe, waits to be looked at."""
        return bool(self._arrived or self._answered or self._fresh)

    def is_due(self, now: dt.datetime) -> bool:
        """Whether an instant has come at which somebody is to be looked at again."""
        return any(now >= at for at in self._due.values())

    def forget(self, appliances: Iterable[ApplianceId]) -> None:
        """What is known of these agents is out of date: they were revoked."""
        agents = self._known_agents()
        for appliance in appliances:
            found = self.store.agents.get(EVERYONE, appliance)
            if found is None:
                agents.pop(appliance, None)
            else:
                agents[appliance] = found
            self._fresh.add(appliance)

    def judged_by(self, policies: Sequence[Policy]) -> None:
        """Other rules count from now on: everybody is looked at anew."""
        self.policies, self._detector = policies, None
        self._fresh.update(self._known_agents())
        self._fresh.update(self._prints)

    # --- looking ----------------------------------------------------------------------------------------------------

    def look(  # one thing each, named by the caller
        self,
        estate: Estate,
        views: Mapping[str, CloudView],
        now: dt.datetime,
        *,
        urgent: bool = False,
        standing: bool = False,
    ) -> Found:
        """Look at everybody who is due.

        Arguments:
            estate: what the store knows; with ``urgent``, of those named by :meth:`waiting` alone.
            views: the clouds as they were seen last.
            now: the instant of the turn.
            urgent: only those of whom a report came, or whose time has come.
            standing: only those about whom something stands in the store already: for a forecast.

        What it found is to be written, and then told to :meth:`written`; until then the same is found again.
        """
        self._take_in()
        opened: dict[ApplianceId, set[str]] = defaultdict(set)
        for finding in estate.findings:
            if finding.kind is FindingKind.DETECTED:
                of, _, key = finding.subject.partition(":")
                uid, _, ordinal = of.rpartition("/")
                opened[ApplianceId(uid, int(ordinal))].add(key)
        remembered: dict[ApplianceId, dict[str, RuleState]] = defaultdict(dict)
        for state in estate.rules:
            remembered[state.appliance][state.rule] = state
        if standing:
            named = opened.keys() | remembered.keys()
            due = [m for m in estate.members if m.id in named and m.set_uid in estate.sets][:MOST_LOOKS]
        else:
            due = self._whom(estate, opened, now, urgent=urgent)
        agents = self._known_agents()
        looked: dict[ApplianceId, tuple[Print, Diagnosis]] = {}
        kept: dict[ApplianceId, Upkeep | None] = {}
        for member, told in self._with_states(due):
            aset = estate.sets[member.set_uid]
            subject = self._subject(member, aset, views.get(member.cloud), told)
            diagnosis = self.detector.look(
                subject,
                now,
                states=remembered.get(member.id, {}),
                opened=opened.get(member.id, ()),
                fresh=member.id in self._fresh,
            )
            looked[member.id] = (_print(member), diagnosis)
            if aset.spec.template.updates is not None or aset.spec.maintenance is not None:
                kept[member.id] = self._upkeep_of(subject, now)
        changes = tuple(one.change for _, one in looked.values() if one.change is not None)
        known: Mapping[ApplianceId, Upkeep] = self._upkeep
        if kept:
            known = {name: one for name, one in {**known, **kept}.items() if one is not None}
        heard = _Heard(agents, estate, now)
        symptoms = self._symptoms_now(looked, remembered)
        by_cloud = remote.takes(estate, views, symptoms.keys()) if symptoms else {}
        inside = Inside(symptoms, heard, heard.abilities, known, by_cloud)
        calls, inside = calling.called(inside, estate.members, views, now)
        return Found((*changes, *calls), inside, self._next(looked), looked, kept)

    def written(self, found: Found) -> None:
        """What was found is in the store."""
        for appliance, (seen, diagnosis) in found.looked.items():
            self._fresh.discard(appliance)
            self._prints[appliance] = seen
            _set(self._due, appliance, diagnosis.due)
            _set(self._symptoms, appliance, diagnosis.symptoms)
        for appliance in found.looked:
            _set(self._upkeep, appliance, found.upkeep.get(appliance))

    def waiting(self, now: dt.datetime) -> list[ApplianceId]:
        """Of whom a report came, or whose time has come."""
        self._take_in()
        found = dict.fromkeys(self._fresh)
        found.update(dict.fromkeys(appliance for appliance, at in self._due.items() if now >= at))
        return list(found)[:MOST_LOOKS]

    def keep_whole(self, owner: Ownership, now: dt.datetime) -> None:
        """Keep whole what has been told by many differences. One that does not add up is asked for anew."""
        due = [appliance for appliance, count in self._differences.items() if count >= WHOLE_AFTER]
        for appliance in due[:MOST_WHOLE]:
            state = self._states_of([appliance]).get(appliance)
            self._differences.pop(appliance)
            if state is not None and not self.store.reports.snapshot(owner, state, now):
                self._states.pop(appliance, None)
                self.line.want_full([appliance])

    # --- inside -----------------------------------------------------------------------------------------------------

    def _whom(
        self, estate: Estate, opened: Mapping[ApplianceId, Collection[str]], now: dt.datetime, *, urgent: bool
    ) -> list[Member]:
        fresh, prints, due = self._fresh, self._prints, self._due
        members = estate.members
        if urgent:
            asked = set(self.waiting(now))
            return [m for m in members if m.id in asked and m.set_uid in estate.sets]
        known = fresh | prints.keys() | opened.keys()
        strict = {uid for uid, aset in estate.sets.items() if self._counts_for_all(aset)}
        found = []
        for member in members:
            if member.state not in _UNWELL and member[:2] not in known and member.set_uid not in strict:
                continue
            appliance = member.id
            changed = prints.get(appliance) != _print(member)
            if (changed or appliance in fresh or now >= due.get(appliance, now)) and member.set_uid in estate.sets:
                if changed or appliance in fresh or appliance in due:
                    found.append(member)
            if len(found) >= MOST_LOOKS:
                break
        return found

    def _counts_for_all(self, aset: ApplianceSet) -> bool:
        """Whether rules count for a set that may fire for an appliance which runs and says nothing: people's own may,
        those that are built in do not."""
        return any(
            policy.enabled
            and policy.name != BUILT_IN
            and any(fnmatch.fnmatchcase(aset.name, one) for one in policy.sets)
            for policy in self.policies
        )

    def _subject(self, member: Member, aset: ApplianceSet, view: CloudView | None, state: GuestState | None) -> Subject:
        from cloudmon.detection.facts import Subject  # noqa: PLC0415

        node = view.nodes.get(member.node_id) if view is not None and view.healthy else None
        appliance = member.id
        agent = self._known_agents().get(appliance)
        answers = self.outside.answers(appliance)
        return Subject(member, aset.name, aset.spec.template, node, agent, state, answers)

    def _upkeep_of(self, subject: Subject, now: dt.datetime) -> Upkeep | None:
        from cloudmon.detection import upkeep  # noqa: PLC0415

        return upkeep.of(subject, now)

    def _symptoms_now(
        self,
        looked: Mapping[ApplianceId, tuple[Print, Diagnosis]],
        remembered: Mapping[ApplianceId, Mapping[str, RuleState]],
    ) -> dict[ApplianceId, Sequence[Symptom]]:
        """Those of this round, and those of earlier ones that stand still, as far as their ladder has come since."""
        found: dict[ApplianceId, Sequence[Symptom]] = {}
        for appliance, symptoms in self._symptoms.items():
            if appliance in looked:
                continue
            stand = remembered.get(appliance, {})
            kept = [replace(one, state=stand[one.key]) for one in symptoms if one.key in stand]
            if kept:
                found[appliance] = kept
        for appliance, (_, diagnosis) in looked.items():
            if diagnosis.symptoms:
                found[appliance] = diagnosis.symptoms
        return found

    def _next(self, looked: Mapping[ApplianceId, tuple[Print, Diagnosis]]) -> dt.datetime | None:
        instants = [at for appliance, at in self._due.items() if appliance not in looked]
        instants += [diagnosis.due for _, diagnosis in looked.values() if diagnosis.due is not None]
        return min(instants, default=None)

    # --- what was heard ---------------------------------------------------------------------------------------------

    def _known_agents(self) -> dict[ApplianceId, Agent]:
        if self._agents is None:
            self._agents = {agent.appliance: agent for agent in self.store.agents.all(EVERYONE)}
            # After a start nobody knows what of it was looked at.
            self._fresh.update(self._agents)
        return self._agents

    def _take_in(self) -> None:
        agents = self._known_agents()
        with self._lock:
            arrived, self._arrived = self._arrived, []
            self._fresh.update(self._answered)
            self._answered.clear()
        self._fresh.update(report.appliance for report in arrived)
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

    def _hear(self, report: Report, agents: dict[ApplianceId, Agent]) -> None:
        agent = agents.get(report.appliance)
        if agent is None or (agent.instance, agent.incarnation) != (report.instance, report.incarnation):
            agent = self.store.agents.get(EVERYONE, report.appliance)
        if agent is not None:
            agents[report.appliance] = replace(
                agent,
                boot=report.boot,
                seq=report.seq,
                hash=report.hash,
                received_at=report.received_at,
                offset_s=report.offset_s,
                version=report.version,
            )

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

    def _with_states(self, members: Sequence[Member]) -> Iterator[tuple[Member, GuestState | None]]:
        """Each with what it said of itself; None where nothing is known. A few at a time: more may be due at once than
        are kept."""
        for start in range(0, len(members), READ_AT_ONCE):
            some = members[start : start + READ_AT_ONCE]
            states = self._states_of([member.id for member in some])
            for member in some:
                yield member, states.get(member.id)

    def _states_of(self, appliances: Iterable[ApplianceId]) -> dict[ApplianceId, GuestState]:
        agents = self._known_agents()
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
class _Heard:
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


def _print(member: Member) -> Print:
    return member.state, member.since, member.incarnation


def _set(into: dict[ApplianceId, Any], appliance: ApplianceId, value: object) -> None:
    if value:
        into[appliance] = value
    else:
        into.pop(appliance, None)
