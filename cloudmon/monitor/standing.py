"""How updates stand, for people: what each appliance has and owes, and where the roll-outs of a set are."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudmon.detection import upkeep as told
from cloudmon.detection.facts import Subject
from cloudmon.model.actions import Intent, Verb
from cloudmon.model.appliances import Member
from cloudmon.model.changes import Timer, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import Scope
from cloudmon.model.updates import Updates, Upkeep, Version
from cloudmon.reconcile import images, replacing, rollouts, sights
from cloudmon.reconcile.rollouts import Phase, Seen
from cloudmon.store import Store

IMAGE = "(image)"
"""In the place of an application: what members are made of."""
OUTDATED = "outdated"
"""Of what is behind and not rolled out."""
BACK = "rolled back"
"""Of a set that went back whole, since the roll-out failed."""
_PUTS = (Verb.APP_UPDATE.value, Verb.APP_INSTALL.value)


@dataclass(frozen=True, slots=True)
class One:
    """One application of one appliance, or its image."""

    member: Member
    version: Version | None
    """None when nothing that counts was heard from it."""
    phase: Phase
    held: str
    reboot_due: bool | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One application over a set, or its image."""

    aset: ApplianceSet
    application: str
    members: tuple[One, ...]
    state: str
    why: str

    @property
    def have(self) -> Mapping[str, int]:
        """How many have which version: ``none`` where it is not installed, ``?`` where nobody knows."""
        found = Counter(_had(one.version) for one in self.members)
        return dict(sorted(found.items()))

    @property
    def targets(self) -> list[str]:
        return sorted({one.version.target for one in self.members if one.version is not None and one.version.target})

    @property
    def wanted(self) -> str:
        """As the template says it."""
        template = self.aset.spec.template
        if self.application == IMAGE:
            return images.wanted(template)
        return template.applications[self.application].version or "any"

    def owing(self) -> tuple[int, int]:
        """How many owe a restart of the application, how many a reboot."""
        restarts = sum(1 for one in self.members if one.version is not None and one.version.restart_due)
        return restarts, sum(1 for one in self.members if one.reboot_due)


def _had(version: Version | None) -> str:
    if version is None:
        return "?"
    return "none" if version.absent else version.have or "?"


def of_set(store: Store, scope: Scope, aset: ApplianceSet, now: dt.datetime) -> list[Standing]:
    """How a set's members stand by their image, where they are replaced for that; then each application, in the order
    of their names."""
    members = [one for one in store.members.of_set(scope, aset.uid) if one.state not in sights.GONE]
    kept = _heard(store, scope, aset, members, now)
    findings = [one for one in store.findings.open(scope) if one.subject.startswith(f"{aset.uid}/")]
    found = []
    if replacing.replaces(aset):
        known = images.Known(
            aset,
            store.incarnations.made(scope, aset.uid),
            rollouts.by_ordinal(store.intents.of_request(scope, replacing.rollout(aset).key)),
            {one.ordinal: one.since for one in store.timers.all(scope) if _watches(one, aset)},
            findings,
            aset.spec.template.user_data_hash(),
        )
        found.append(_made(known, members, kept, now))
    for name in sorted(aset.spec.template.applications):
        versions = {n: one.of(name) if one is not None else None for n, one in kept.items()}
        targets = {one.target for one in versions.values() if one is not None and one.target}
        intents: list[Intent] = []
        for target in sorted(targets):
            intents += store.intents.of_request(scope, rollouts.key(aset.uid, aset.generation, name, target))
        found.append(_standing(aset, name, members, (kept, versions), (intents, findings), now))
    return found


def debts(
    store: Store, scope: Scope, aset: ApplianceSet, members: Sequence[Member], now: dt.datetime
) -> dict[ApplianceId, str]:
    """What members of one set owe, for people: restarts of applications, and a reboot."""
    found = {}
    heard = _heard(store, scope, aset, members, now)
    for member in members:
        kept = heard[member.ordinal]
        if kept is not None and kept.owes:
            owed = [f"restart of {one.application}" for one in kept.versions if one.restart_due]
            found[member.id] = "owes a " + " and a ".join([*owed, *(["reboot"] if kept.reboot_due else [])])
    return found


def _heard(
    store: Store, scope: Scope, aset: ApplianceSet, members: Sequence[Member], now: dt.datetime
) -> dict[int, Upkeep | None]:
    """By ordinal: what agents told of themselves."""
    agents = {agent.appliance: agent for agent in store.agents.of_set(scope, aset.uid)}
    states = store.reports.states(scope, [one.id for one in members if one.id in agents])
    kept: dict[int, Upkeep | None] = {}
    for member in members:
        agent, state = agents.get(member.id), states.get(member.id)
        kept[member.ordinal] = told.of(Subject(member, aset.name, aset.spec.template, None, agent, state), now)
    return kept


def _made(
    known: images.Known, members: Sequence[Member], kept: Mapping[int, Upkeep | None], now: dt.datetime
) -> Standing:
    """By what members are made of."""
    aset, template, ones = known.aset, known.aset.spec.template, []
    for member in members:
        made, version = known.made.get(member.ordinal), None
        old = images.outdated(made, template, known.user_data)
        held = images.kept_back(member, aset, now) if old else ""
        if made is not None:
            image = template.image(made.cloud)
            version = Version(IMAGE, image, images.told(made, template) if old else made.image, image, old)
        stands = images.phase(images.seen(member, known, kept[member.ordinal], held), aset, now)
        ones.append(One(member, version, stands, held, None))
    return Standing(aset, IMAGE, tuple(ones), *_state_of_image(aset, ones, known.findings))


def _state_of_image(aset: ApplianceSet, ones: Sequence[One], findings: Sequence[Finding]) -> tuple[str, str]:
    incident = next((one for one in findings if _of_rollout(one) and not one.evidence.get("application")), None)
    back = incident is not None and incident.evidence.get(replacing.WANTED) != incident.evidence.get(sights.ROLLOUT)
    if incident is not None and not back:
        return str(rollouts.State.FAILED), incident.message
    found = replacing.decision(
        aset.spec.template.updates or Updates(),
        {one.member.ordinal: one.phase for one in ones},
        {one.member.ordinal: one.member for one in ones},
        failed=False,
    )
    held = [one.message for one in findings if one.kind is FindingKind.HELD and one.message.startswith("terminate")]
    reasons = [*dict.fromkeys(one.held for one in ones if one.phase is Phase.HELD), *held[:1]]
    unknown = sum(1 for one in ones if one.version is None or one.version.outdated is None)
    reasons += [f"{unknown} not known"] if unknown else []
    reasons += [incident.message] if incident is not None else []
    state = BACK if back and found.state is rollouts.State.DONE else str(found.state)
    return state, "; ".join(reasons)


def _standing(  # one thing each, named by the caller
    aset: ApplianceSet,
    name: str,
    members: Sequence[Member],
    heard: tuple[Mapping[int, Upkeep | None], Mapping[int, Version | None]],
    known: tuple[Sequence[Intent], Sequence[Finding]],
    now: dt.datetime,
) -> Standing:
    kept, versions = heard
    intents, findings = known
    parts, updates = rollouts.by_ordinal(intents), aset.spec.template.updates
    ones = []
    for member in members:
        n, held, up = member.ordinal, sights.laid(aset, member.ordinal, now), kept[member.ordinal]
        seen = Seen(member.incarnation, versions[n], parts.get(n, ()), sights.alarm(member, findings), held)
        phase = rollouts.phase(seen, updates or Updates(), now)
        ones.append(One(member, versions[n], phase, held, up.reboot_due if up is not None else None))
    incident = next((one for one in findings if one.evidence.get("application") == name and _of_rollout(one)), None)
    state, why = _state(aset, tuple(ones), incident, findings)
    return Standing(aset, name, tuple(ones), state, why)


def _watches(timer: Timer, aset: ApplianceSet) -> bool:
    return timer.kind is TimerKind.REPLACED and timer.set_uid == aset.uid


def _of_rollout(finding: Finding) -> bool:
    return sights.ROLLOUT in finding.evidence


def _state(
    aset: ApplianceSet, ones: Sequence[One], incident: Finding | None, findings: Sequence[Finding]
) -> tuple[str, str]:
    updates = aset.spec.template.updates
    phases = {one.member.ordinal: one.phase for one in ones}
    behind = [one for one in ones if one.version is not None and one.version.outdated]
    unknown = sum(1 for one in ones if one.version is None or (one.version.wanted and one.version.outdated is None))
    if not any(one.version is not None and one.version.wanted for one in ones):
        return "", ""
    if incident is not None:
        return str(rollouts.State.FAILED), incident.message
    if behind and replacing.replaces(aset):
        return OUTDATED, "its template has members replaced: another version comes with another image"
    if behind and updates is None:
        return OUTDATED, "its template has no updates, so nothing is rolled out"
    if behind and all(one.version is not None and not one.version.target for one in behind):
        return OUTDATED, "no version is known that would do"
    if updates is None:
        return str(rollouts.State.DONE), f"{unknown} not known" if unknown else ""
    found = rollouts.decide(updates, phases, failed=False)
    held = [one.message for one in findings if one.kind is FindingKind.HELD and one.message.startswith(_PUTS)]
    reasons = [*dict.fromkeys(one.held for one in ones if one.held and one.phase is Phase.HELD), *held[:1]]
    if unknown:
        reasons.append(f"{unknown} not known")
    return str(found.state), "; ".join(reasons)
