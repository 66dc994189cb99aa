"""Looks at one appliance with all rules that count for it: what is found, what has ended, what to remember, and when to
look again.

Only an appliance whose facts changed, or whose ``due`` has come, needs looking at.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.detection import facts as known_facts
from cloudmon.detection import judge, stepping, upkeep
from cloudmon.detection.facts import Facts, Subject
from cloudmon.detection.judge import Bench, Judged, Verdict
from cloudmon.detection.policies import Rulebook
from cloudmon.detection.rules import Ready, plain, printable
from cloudmon.detection.stepping import Event, Stepped
from cloudmon.model.actions import LogEntry, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, FindingEnd, RuleClear
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import Exemption, OnUnknown, Policy, RuleState, Symptom

RESTLESS_S = 15.0
"""Seconds after which a rule is judged again whose result may change at any time."""
KEPT = 200
"""Appliances whose facts are kept ready, those looked at last: some 70 KB each, ten times that for rules that go
through all packages and processes."""
MOST_EVIDENCE, MOST_LISTED = 500, 20
"""Characters of a text, and items of a list, that a finding's evidence shows."""
_AFTER_S = 0.001
"""An age passes its limit just after it reaches it."""
_PUT = frozenset({Verb.APP_INSTALL.value, Verb.APP_UPDATE.value})
_ENDED = frozenset({ApplianceState.RETIRING, ApplianceState.RETIRED})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one look found."""

    symptoms: tuple[Symptom, ...]
    """The rules that fire now: remedies are for these."""
    change: Change | None
    """What is to be written; None: nothing changed."""
    due: dt.datetime | None
    """When to look again though nothing changes; None: no need."""


class Detector:
    """All policies, compiled once. Made anew when the settings change. Not for several threads at a time."""

    def __init__(self, policies: Iterable[Policy], *, kept: int = KEPT) -> None:
        self.rules = Rulebook(policies)
        self._kept = kept
        self._benches: OrderedDict[ApplianceId, Bench] = OrderedDict()

    def look(
        self,
        subject: Subject,
        now: dt.datetime,
        *,
        states: Mapping[str, RuleState],
        opened: Mapping[str, int],
        fresh: bool = True,
    ) -> Diagnosis:
        """Look at one appliance.

        Arguments:
            states: what is remembered of its rules, by :attr:`RuleState.rule`.
            opened: the rules, likewise, whose findings are open, each with the incarnation that it was seen on; 0 where
                that is not known.
            fresh: whether its facts changed, or a report came, since the last look; false when only a time has come.
        """
        found = known_facts.known(subject, now)
        look = _Look(subject, now, states, opened)
        if subject.member.state not in _ENDED:
            counting = self.rules.of_set(subject.set_name)
            exempted = self._exempted(subject, counting.rules, now)
            judged = judge.judge(
                counting,
                found,
                skipped=exempted,
                standing=_standing({*states, *opened}),
                bench=self._bench(subject.member.id),
            )
            for one in judged:
                look.step(one, found, fresh=fresh)
            look.exempt(exempted)
            look.again(found.told_at)
        look.rest()
        return look.diagnosis()

    def judge(self, subject: Subject, now: dt.datetime) -> list[Judged]:
        """Every rule's verdict at ``now`` and what it looked at, exempted or not; nothing is remembered."""
        return judge.judge(self.rules.of_set(subject.set_name), known_facts.known(subject, now), explain=True)

    def forget(self, appliance: ApplianceId) -> None:
        """Keep nothing ready for an appliance any more: it ended, or everything that is known of it changed."""
        self._benches.pop(appliance, None)

    def _exempted(self, subject: Subject, rules: Sequence[Ready], now: dt.datetime) -> dict[str, Exemption]:
        name = f"{subject.set_name}/{subject.member.ordinal}"
        found = ((rule.key, self.rules.exemption(rule, name, now)) for rule in rules)
        return {key: exemption for key, exemption in found if exemption is not None}

    def _bench(self, appliance: ApplianceId) -> Bench:
        bench = self._benches.pop(appliance, None) or Bench()
        self._benches[appliance] = bench
        if len(self._benches) > self._kept:
            self._benches.popitem(last=False)
        return bench


class _Look:
    """One look while it is being made."""

    def __init__(
        self, subject: Subject, now: dt.datetime, states: Mapping[str, RuleState], opened: Mapping[str, int]
    ) -> None:
        self._subject = subject
        self._now = now
        self._states = states
        self._opened = opened
        self._left = {*states, *opened}
        self._symptoms: list[Symptom] = []
        self._rules: list[RuleState | RuleClear] = []
        self._findings: list[Finding | FindingEnd] = []
        self._log: list[LogEntry] = []
        self._due: dt.datetime | None = None

    def step(self, judged: Judged, facts: Facts, *, fresh: bool) -> None:
        rule, key = judged.ready.rule, judged.key
        if judged.ready.each is not None and not judged.item:
            return  # nobody knows what it stands for, and nothing is remembered
        self._left.discard(key)
        member = self._subject.member
        state = self._states.get(key) or stepping.blank(member.id, member.tenant, key, self._now)
        unknown = judged.verdict is Verdict.UNKNOWN and rule.on_unknown is OnUnknown.IGNORE
        if unknown and self._left_its_node(key):
            stepped = stepping.left(state, self._now)
        else:
            stepped = stepping.step(rule, state, judged.verdict, self._now, is_open=key in self._opened, fresh=fresh)
        self._take(key, stepped)
        if stepped.event is Event.OPENS:
            self._open(judged, stepped)
        elif stepped.event is Event.STAYS and stepped.fires and self._left_its_node(key):
            self._findings.append(self._found(judged, stepped))  # the same one, seen on another node now
        if stepped.fires and stepped.state is not None:
            seen = {plain(path): _evident(value) for path, value in (judged.facts or {}).items()}
            message = judged.ready.message(judged.item)
            stands = upkeep.of(self._subject, self._now) if any(one.verb in _PUT for one in rule.then) else None
            self._symptoms.append(Symptom(key, rule, judged.item, message, stepped.state, seen, stands))
        if judged.turns_in_s is not None:
            self._look_again(self._now + dt.timedelta(seconds=(judged.turns_in_s or RESTLESS_S) + _AFTER_S))
        if rule.on_unknown is not OnUnknown.IGNORE and facts.stale_at is not None:
            self._look_again(facts.stale_at + dt.timedelta(seconds=_AFTER_S))

    def again(self, at: dt.datetime | None) -> None:
        """Something will be known then that is not known yet, though nothing changes."""
        self._look_again(at + dt.timedelta(seconds=_AFTER_S) if at is not None else None)

    def exempt(self, exempted: Mapping[str, Exemption]) -> None:
        for exemption in exempted.values():
            self._look_again(exemption.until)
        for key in sorted(self._left):
            found = exempted.get(_rule_of(key))
            if found is not None:
                self._left.discard(key)
                self._take(key, stepping.exempt(found, is_open=key in self._opened))

    def rest(self) -> None:
        """What is remembered or open and was not judged: its rule counts no more, or what it stood for is gone."""
        for key in sorted(self._left):
            self._take(key, stepping.gone("there is nothing left to judge", is_open=key in self._opened))

    def diagnosis(self) -> Diagnosis:
        member = self._subject.member
        change = None
        if self._rules or self._findings:
            change = Change(
                tenant=member.tenant,
                appliance=member.id,
                rules=tuple(self._rules),
                findings=tuple(self._findings),
                log=tuple(self._log),
            )
        return Diagnosis(tuple(self._symptoms), change, self._due)

    def _take(self, key: str, stepped: Stepped) -> None:
        member = self._subject.member
        if stepped.state is not None and stepped.state != self._states.get(key):
            self._rules.append(stepped.state)
        if stepped.state is None and key in self._states:
            self._rules.append(RuleClear(member.id, key))
        if stepped.event is Event.ENDS:
            subject = self._finding(key)
            # The incident that said that nothing helps is over with it.
            self._findings += [FindingEnd(FindingKind.DETECTED, subject), FindingEnd(FindingKind.INCIDENT, subject)]
            self._write("finding.ended", rule=key, reason=stepped.reason)
        self._look_again(stepped.due)

    def _left_its_node(self, key: str) -> bool:
        """Whether its open finding was seen on a node that is not, or not any more, the appliance's."""
        member, seen_on = self._subject.member, self._opened.get(key, 0)
        given_up = member.state is ApplianceState.REQUESTED  # and not launched again yet
        return bool(seen_on) and (given_up or seen_on != member.incarnation)

    def _open(self, judged: Judged, stepped: Stepped) -> None:
        found = self._found(judged, stepped)
        self._findings.append(found)
        said = {"rule": judged.key, "severity": found.severity, "message": found.message}
        self._write("finding.opened", **said, facts=found.evidence["facts"])

    def _found(self, judged: Judged, stepped: Stepped) -> Finding:
        member, rule = self._subject.member, judged.ready.rule
        name = f"{self._subject.set_name}/{member.ordinal}"
        evidence: dict[str, object] = {
            "rule": judged.key,
            "incarnation": member.incarnation,
            "since": stepped.state.since.isoformat() if stepped.state is not None else self._now.isoformat(),
            "facts": {plain(path): _evident(value) for path, value in (judged.facts or {}).items()},
        }
        return Finding(
            FindingKind.DETECTED,
            self._finding(judged.key),
            member.tenant,
            rule.severity,
            f"{name}: {judged.ready.message(judged.item)}",
            evidence,
            self._now,
        )

    def _finding(self, key: str) -> str:
        member = self._subject.member
        return f"{member.set_uid}/{member.ordinal}:{key}"

    def _write(self, kind: str, **body: object) -> None:
        member = self._subject.member
        self._log.append(LogEntry(member.set_uid, self._now, kind, f"{member.ordinal}", body))

    def _look_again(self, at: dt.datetime | None) -> None:
        if at is not None and at > self._now and (self._due is None or at < self._due):
            self._due = at


def _evident(value: object) -> object:
    """A fact as evidence: enough of it to see what was seen."""
    if isinstance(value, str):
        return printable(value)[:MOST_EVIDENCE]
    if isinstance(value, list):
        return [_evident(one) for one in value[:MOST_LISTED]]
    if isinstance(value, dict):
        return {plain(name): _evident(one) for name, one in value.items()}
    return value


def _rule_of(key: str) -> str:
    """``<policy>/<rule>`` of a key that may name an item, which may have slashes of its own."""
    return "/".join(key.split("/", 2)[:2])


def _standing(keys: Iterable[str]) -> dict[str, list[str]]:
    """By rule: the items for which something is remembered."""
    found: dict[str, list[str]] = {}
    for key in keys:
        policy, _, rest = key.partition("/")
        rule, slash, item = rest.partition("/")
        if slash:
            found.setdefault(f"{policy}/{rule}", []).append(item)
    return found
