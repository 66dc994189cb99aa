"""What goes on inside appliances: whom to look at now, and with what knowledge. The rules themselves are
:mod:`cloudmon.detection`'s.

What agents say comes through :mod:`hearing`. An appliance is looked at when a report came, when its row changed, when
its time has come, or when its first report is missing; nobody else is, however many there are.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change
from cloudmon.model.findings import FindingKind
from cloudmon.model.grants import Access
from cloudmon.model.guests import GuestState, Report
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Policy, RuleState, Symptom
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.updates import Upkeep
from cloudmon.monitor.hearing import SILENT_INTERVALS, SILENT_S, Heard, Hearing
from cloudmon.monitor.instants import Instants
from cloudmon.monitor.outside import Outside, Unasked
from cloudmon.reconcile import accounts, calling, remote
from cloudmon.reconcile.picture import CloudView, Estate, Inside
from cloudmon.store import Ownership

if TYPE_CHECKING:
    from cloudmon.detection.detector import Detector, Diagnosis
    from cloudmon.detection.facts import Subject

T = TypeVar("T")

MOST_LOOKS = 2_000
"""Appliances looked at in one tick; the others in the next."""

URGENT_LOOKS = 200
"""Those looked at in one turn between ticks: whoever is heard meanwhile waits no longer than this takes."""

BUILT_IN = "built-in"
"""Name of the policy that is there without any settings."""

_UNWELL = frozenset({ApplianceState.FAULTED, ApplianceState.STOPPED, ApplianceState.SUSPENDED, ApplianceState.ISOLATED})

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

    def without(self, touched: Collection[ApplianceId | None]) -> Found:
        """The same but for those whom somebody else looked at later."""
        if not touched:
            return self
        changes = tuple(change for change in self.changes if change.appliance not in touched)
        return replace(self, changes=changes, looked={k: v for k, v in self.looked.items() if k not in touched})


@dataclass(slots=True)
class Insides:
    """The monitor's knowledge of insides. Reports may be handed in from any thread; all else is for whoever has the
    monitor's turn."""

    hearing: Hearing
    policies: Sequence[Policy]
    outside: Outside = field(default_factory=Unasked)
    """Whoever asks appliances over the network."""
    _began: dt.datetime | None = None
    """The first look: agents could not be heard before; None for a forecast, which hears nobody."""
    _asked: Sequence[ApplianceId] = ()
    """Those who are looked at between ticks now, or were last."""
    _detector: Detector | None = None
    _answered: set[ApplianceId] = field(default_factory=set)
    """Those whose probes have news."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _fresh: set[ApplianceId] = field(default_factory=set)
    _prints: dict[ApplianceId, Print] = field(default_factory=dict)
    _due: Instants = field(default_factory=Instants)
    _accounts: dict[str, Mapping[str, Access]] = field(default_factory=dict)
    """Those that were granted at the last look, by set."""
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
        self.hearing.heard(reports)

    def answered(self, appliances: Collection[ApplianceId]) -> None:
        """Probes of these have news. From any thread; returns at once."""
        with self._lock:
            self._answered.update(appliances)

    @property
    def pending(self) -> bool:
        """Whether a report, or news of a probe, waits to be looked at."""
        return bool(self.hearing.pending or self._answered or self._fresh)

    @property
    def behind(self) -> bool:
        """Whether more may have waited at the last look between ticks than are looked at in one turn."""
        return len(self._asked) >= URGENT_LOOKS

    def is_due(self, now: dt.datetime) -> bool:
        """Whether an instant has come at which somebody is to be looked at again."""
        return self._due.any_come(now)

    def forget(self, appliances: Collection[ApplianceId]) -> None:
        """What is known of these agents is out of date: they were revoked."""
        self.hearing.forget(appliances)
        self._fresh.update(appliances)

    def keep_whole(self, owner: Ownership, now: dt.datetime) -> None:
        """Keep whole, in the store, what has been told by many differences."""
        self.hearing.keep_whole(owner, now)

    def judged_by(self, policies: Sequence[Policy]) -> None:
        """Other rules count from now on: everybody is looked at anew."""
        self.policies, self._detector = policies, None
        self._fresh.update(self.hearing.agents())
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
        opened: dict[ApplianceId, dict[str, int]] = defaultdict(dict)
        for finding in estate.findings:
            if finding.kind is FindingKind.DETECTED:
                of, _, key = finding.subject.partition(":")
                uid, _, ordinal = of.rpartition("/")
                seen_on = finding.evidence.get("incarnation")
                opened[ApplianceId(uid, int(ordinal))][key] = seen_on if isinstance(seen_on, int) else 0
        remembered: dict[ApplianceId, dict[str, RuleState]] = defaultdict(dict)
        for state in estate.rules:
            remembered[state.appliance][state.rule] = state
        if not standing:
            self._began = self._began or now
            self._granted_anew(estate, now)
        if standing:
            named = opened.keys() | remembered.keys()
            due = [m for m in estate.members if m.id in named and m.set_uid in estate.sets][:MOST_LOOKS]
        else:
            due = self._whom(estate, opened, now, urgent=urgent)
        agents = self.hearing.agents()
        looked: dict[ApplianceId, tuple[Print, Diagnosis]] = {}
        kept: dict[ApplianceId, Upkeep | None] = {}
        for member, told in self.hearing.with_states(due):
            aset = estate.sets[member.set_uid]
            subject = self._subject(member, aset, views.get(member.cloud), told)
            granted = accounts.wanted(aset, now)
            if granted:
                subject = replace(subject, accounts=granted)
            diagnosis = self.detector.look(
                subject,
                now,
                states=remembered.get(member.id, {}),
                opened=opened.get(member.id, {}),
                fresh=member.id in self._fresh,
            )
            looked[member.id] = (_print(member), diagnosis)
            if aset.spec.template.updates is not None or aset.spec.maintenance is not None:
                kept[member.id] = self._upkeep_of(subject, now)
        changes = tuple(one.change for _, one in looked.values() if one.change is not None)
        known: Mapping[ApplianceId, Upkeep] = self._upkeep
        if kept:
            known = {name: one for name, one in {**known, **kept}.items() if one is not None}
        heard = Heard(agents, estate, now)
        symptoms = self._symptoms_now(looked, remembered)
        by_cloud = remote.takes(estate, views, symptoms.keys()) if symptoms else {}
        inside = Inside(symptoms, heard, heard.abilities, known, by_cloud)
        calls, inside = calling.called(inside, estate.members, views, now)
        # Nobody asks a look between two ticks when the next instant is.
        return Found((*changes, *calls), inside, None if urgent else self._next(looked), looked, kept)

    def written(self, found: Found) -> None:
        """What was found is in the store."""
        for appliance, (seen, diagnosis) in found.looked.items():
            self._fresh.discard(appliance)
            self._prints[appliance] = seen
            self._due.put(appliance, diagnosis.due)
            _set(self._symptoms, appliance, diagnosis.symptoms)
        for appliance in found.looked:
            _set(self._upkeep, appliance, found.upkeep.get(appliance))

    def waiting(self, now: dt.datetime) -> list[ApplianceId]:
        """Of whom a report came, or whose time has come."""
        self._take_in()
        found = dict.fromkeys(self._fresh)
        found.update(dict.fromkeys(self._due.come(now)))
        self._asked = list(found)[:URGENT_LOOKS]
        return self._asked

    def _granted_anew(self, estate: Estate, now: dt.datetime) -> None:
        """Look at all members of a set whose accounts are other ones than they were at the last look."""
        for uid, aset in estate.sets.items():
            wanted = accounts.wanted(aset, now)
            if wanted == self._accounts.get(uid, {}):
                continue
            _set(self._accounts, uid, wanted)
            self._fresh.update(one for one in self.hearing.agents() if one.set_uid == uid)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _whom(
        self, estate: Estate, opened: Mapping[ApplianceId, Collection[str]], now: dt.datetime, *, urgent: bool
    ) -> list[Member]:
        fresh, prints, due = self._fresh, self._prints, self._due
        members = estate.members
        if urgent:
            asked = set(self._asked)
            found = [m for m in members if m.id in asked and m.set_uid in estate.sets]
            # Nobody is there any more of whom these tell; they must not keep the others waiting.
            for gone in asked - {member.id for member in found}:
                self._fresh.discard(gone)
                self._due.put(gone, None)
            return found
        known = fresh | prints.keys() | opened.keys()
        strict = {uid for uid, aset in estate.sets.items() if self._counts_for_all(aset)}
        awaited = self._awaited(estate, now)
        found = []
        for member in members:
            if member.state not in _UNWELL and member[:2] not in known and member.set_uid not in strict:
                up = awaited.get(member.set_uid) if member.state is ApplianceState.RUNNING else None
                if up is None or member.since > up:
                    continue
            appliance = member.id
            changed = prints.get(appliance) != _print(member)
            if (changed or appliance in fresh or due.has_come(appliance, now)) and member.set_uid in estate.sets:
                if changed or appliance in fresh or appliance in due:
                    found.append(member)
            if len(found) >= MOST_LOOKS:
                break
        return found

    def _awaited(self, estate: Estate, now: dt.datetime) -> dict[str, dt.datetime]:
        """By set whose members bring an agent along: who has been running since then should have been heard by now.
        Nobody should, of whom the monitor could not have heard for so long."""
        found = {}
        for uid, aset in estate.sets.items():
            template = aset.spec.template
            silent = dt.timedelta(seconds=SILENT_INTERVALS * template.report_interval_s + SILENT_S)
            if template.agent and self._began is not None and now - self._began > silent:
                found[uid] = now - silent
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
        agent = self.hearing.agents().get(appliance)
        answers = self.outside.answers(appliance)
        began = self._began
        return Subject(member, aset.name, aset.spec.template, node, agent, state, answers, listened_since=began)

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
        fresh = (diagnosis.due for _, diagnosis in looked.values())
        return min(filter(None, (self._due.first(looked), *fresh)), default=None)

    def _take_in(self) -> None:
        with self._lock:
            self._fresh.update(self._answered)
            self._answered.clear()
        self._fresh.update(self.hearing.news())


def _print(member: Member) -> Print:
    return member.state, member.since, member.incarnation


def _set(into: dict[T, Any], of: T, value: object) -> None:
    if value:
        into[of] = value
    else:
        into.pop(of, None)
