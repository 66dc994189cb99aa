"""The story of an appliance, put together from what the store remembers: facts, decisions, actions, outcomes."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloudmon.cli.opening import Names, Target
from cloudmon.model.actions import Intent
from cloudmon.model.appliances import Incarnation
from cloudmon.model.tenants import Scope
from cloudmon.store import LoggedEntry, Store


class Part(enum.StrEnum):
    """What a line of the story is; lines of one instant come in this order."""

    WANTED = "wanted"
    """What people and leases ask for."""
    FACT = "fact"
    """What was seen, or found wrong."""
    DECISION = "decision"
    """What was to be done, and why."""
    PLACE = "place"
    """Where it was launched, at what price."""
    OUTCOME = "outcome"
    """How it ended."""
    STATE = "state"
    """What the appliance was from then on."""


ORDER = {part: index for index, part in enumerate(Part)}
TOLD = ("intent.", "appliance.")
"""Log entries that the rows of intents and history tell better …"""
UNTOLD = frozenset({"intent.performed", "intent.incident", "appliance.wanted"})
"""… and those among them that no row tells."""
SEEN = ("finding.", "agent.enrolled")
"""Log entries about what an appliance said of itself, or what was found in that."""
MOST_FACTS = 120
"""Characters of the facts that a finding stands on, in its line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    at: dt.datetime
    part: Part
    appliance: str
    text: str
    evidence: Mapping[str, object]


def lines(store: Store, scope: Scope, target: Target, since: dt.datetime | None) -> list[Line]:
    """Everything that explains the appliance, or all of a set, oldest first."""
    teller = _Teller(store, scope, target)
    every = [
        *teller.wanted(since),
        *teller.states(since),
        *teller.findings(),
        *teller.intents(),
        *teller.places(),
    ]
    return sorted(
        (line for line in every if since is None or line.at >= since), key=lambda line: (line.at, ORDER[line.part])
    )


class _Teller:
    def __init__(self, store: Store, scope: Scope, target: Target) -> None:
        self._store = store
        self._scope = scope
        self._uid = target.aset.uid
        self._ordinal = target.ordinal
        self._name = Names(store, scope).set(target.aset.uid)

    def _line(
        self, at: dt.datetime, part: Part, ordinal: int | None, text: str, evidence: Mapping[str, object]
    ) -> Line:
        name = f"{self._name}/{ordinal}" if ordinal else self._name
        return Line(at, part, name, text, evidence)

    def wanted(self, since: dt.datetime | None) -> Iterator[Line]:
        for entry in self._store.log.entries(self._scope, self._uid, since):
            about = _about(entry)
            if entry.kind.startswith(TOLD) and entry.kind not in UNTOLD:
                continue
            if self._ordinal is not None and about not in (None, self._ordinal):
                continue
            if entry.kind == "intent.performed":
                node = f", node {entry.body['node']}" if entry.body.get("node") else ""
                verb = str(entry.body.get("verb", "it"))
                whom = "its agent" if entry.body.get("by") == "agent" else entry.body.get("cloud", "the cloud")
                yield self._line(entry.at, Part.OUTCOME, about, f"{verb} accepted by {whom}{node}", entry.body)
            elif entry.kind == "intent.incident":
                yield self._line(entry.at, Part.FACT, about, f"incident: {entry.body['message']}", entry.body)
            else:
                part = Part.FACT if entry.kind.startswith(SEEN) else Part.WANTED
                yield self._line(entry.at, part, about, _said(entry), entry.body)

    def states(self, since: dt.datetime | None) -> Iterator[Line]:
        for entry in self._store.members.history(self._scope, self._uid, self._ordinal, since):
            before = f"{entry.previous} → " if entry.previous is not None else ""
            text = f"{before}{entry.state} ({entry.cause}): {entry.reason}"
            part = Part.WANTED if entry.previous is None else Part.STATE
            yield self._line(entry.at, part, entry.ordinal, text, entry.evidence)

    def findings(self) -> Iterator[Line]:
        members = self._store.members.of_set(self._scope, self._uid)
        for member in members:
            if self._ordinal not in (None, member.ordinal):
                continue
            for finding in self._store.findings.of(self._scope, f"{self._uid}/{member.ordinal}"):
                text = f"{finding.kind}: {finding.message}"
                yield self._line(finding.opened_at, Part.FACT, member.ordinal, text, finding.evidence)
                if finding.ended_at is not None:
                    yield self._line(finding.ended_at, Part.FACT, member.ordinal, f"{finding.kind} ended", {})

    def intents(self) -> Iterator[Line]:
        for intent in self._store.intents.of(self._scope, self._uid, self._ordinal):
            ordinal = intent.appliance.ordinal
            where = f" on {intent.offer}" if intent.offer else f" of node {intent.node_id}" if intent.node_id else ""
            text = f"{intent.verb} ({intent.action_class}){where}: {intent.reason}"
            yield self._line(intent.created_at, Part.DECISION, ordinal, text, intent.evidence)
            if intent.ended_at is not None:
                text = f"{intent.verb} {intent.state}{_said_by(intent)}"
                yield self._line(intent.ended_at, Part.OUTCOME, ordinal, text, intent.result)

    def places(self) -> Iterator[Line]:
        ranked = {choice.offer.key: choice for choice in self._store.placements.latest(self._scope, self._uid)}
        for one in self._store.incarnations.of(self._scope, self._uid, self._ordinal):
            choice = ranked.get(one.offer.get("key", ""))
            why = f"; {choice.reason}" if choice is not None else ""
            text = f"incarnation {one.number}: {one.size} at {one.cloud}/{one.location}{_price(one)}{why}"
            yield self._line(one.opened_at, Part.PLACE, one.ordinal, text, one.offer)


def _price(one: Incarnation) -> str:
    if "price_per_hour" not in one.offer:
        return ", price unknown" if one.offer else ""
    source = one.offer.get("source", "")
    return f", {one.offer['price_per_hour']} {one.offer.get('currency', '')}/h" + (f" ({source})" if source else "")


def _about(entry: LoggedEntry) -> int | None:
    """The ordinal that an entry of a set's chain is about; None for the whole set."""
    ordinal = entry.body.get("ordinal")
    if isinstance(ordinal, int):
        return ordinal
    for text in (entry.subject, entry.subject.rpartition("/")[2], str(entry.body.get("target", "")).rpartition("/")[2]):
        if text.isdecimal():
            return int(text)
    return None


def _said(entry: LoggedEntry) -> str:
    """A log entry in words: its kind, and what its body says for people."""
    words = {key: value for key, value in entry.body.items() if key in ("outcome", "reason", "message") and value}
    told = next((str(words[key]) for key in ("outcome", "message", "reason") if key in words), "")
    who = entry.body.get("author") or entry.body.get("by") or entry.body.get("owner")
    because = f" ({words['reason']})" if "reason" in words and told != str(words["reason"]) else ""
    facts = entry.body.get("facts")
    if isinstance(facts, Mapping) and facts:
        because += f" ({_shortened('; '.join(f'{path} = {value}' for path, value in facts.items()))})"
    if "rule" in entry.body:
        because += f", says {entry.body['rule']}"
    return entry.kind.replace(".", " ") + (f" by {who}" if who else "") + (f": {told}" if told else "") + because


def _said_by(intent: Intent) -> str:
    """What a command said at its end, in short."""
    said = str(intent.result.get("output", "")).strip().splitlines()
    text = intent.error or (_shortened(said[0]) if said else "")
    return f": {text}" if text else ""


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_FACTS else f"{text[: MOST_FACTS - 1]}…"
