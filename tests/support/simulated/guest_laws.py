"""The laws about the insides of appliances, asserted on a simulated estate whose machines have guests. What is believed
is compared with what the guests truly did and are."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cloudmon.agent.commands import Command
from cloudmon.channel import tokens
from cloudmon.model.actions import GUEST_VERBS, OPEN_INTENTS, Intent, IntentState, Origin, Verb
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.findings import FindingKind
from cloudmon.model.guests import GuestState
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.reconcile.commands import ANSWER_S
from cloudmon.store.tables import report_changes
from cloudmon.testing.guests.faults import Fault
from cloudmon.testing.guests.stock import OLD
from simulated.bench import POLL_S, Bench
from simulated.guests import INTERVAL_S, Seen

TOLD = ("application-down", "malware", "stray-account", "package-outdated")
"""Rules that follow from what an appliance said last, and from nothing that it said before and no age."""
FRESH_S = 3 * INTERVAL_S + 60.0
"""How old what an appliance said may be when something is done because of it."""


class Judge:
    """Watches one estate: remembers what it has judged already."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._since = bench.clock.now()
        self._judged: set[str] = set()

    def decided_on_facts(self) -> None:
        """Law of facts: what was just ordered because of something that was seen inside follows from what the appliance
        says now, of its present node, and not long ago. Asked before anything more is said."""
        bench = self._bench
        since, self._since = self._since, bench.clock.now()
        # Where the clock was set, nobody knows what was decided when.
        for intent in _orders(bench, None if bench.jumped else since):
            if intent.id in self._judged:
                continue
            self._judged.add(intent.id)
            if intent.origin is not Origin.OBSERVATION or intent.verb is Verb.SCAN:
                continue
            told = f"law of facts: {intent.verb} of {intent.appliance} ({intent.reason})"
            state = bench.memory.reports.state(EVERYONE, intent.appliance)
            assert state is not None, f"{told} though nothing is known"
            assert state.incarnation == intent.incarnation, f"{told} because of another node"
            if not bench.jumped:
                age_s = (intent.created_at - state.received_at).total_seconds()
                assert age_s <= FRESH_S, f"{told} because of what was said {age_s:.0f} s ago"
            assert _calls_for(intent, state.sections), f"{told}, which nothing that it says calls for"

    def performs_what_was_ordered(self, guest: Seen, command: Command) -> str:
        """Law 5 in appliances: what is performed now was written down before, as handed out, for this very node; and it
        was not performed before. What is wrong, if anything is."""
        told = f"law 5: {guest.name} performs {command.verb} {command.id}"
        intent = next((one for one in _orders(self._bench) if one.id == command.id), None)
        if intent is None:
            return f"{told}, which nobody wrote down"
        if (intent.verb, dict(intent.arguments)) != (command.verb, command.arguments):
            return f"{told}, and {intent.verb} {dict(intent.arguments)} was ordered"
        if (intent.appliance, intent.incarnation) != _seat(guest):
            return f"{told}, which was another's"
        if intent.state is IntentState.RECORDED:
            return f"{told}, and it is not said to be handed out"
        return f"{told} a second time" if command.id in guest.performed else ""


def reports_counted_once(bench: Bench) -> None:
    """Law of reports: of one boot each number stands in the store once."""
    row = report_changes.c
    keys = (row.set_uid, row.ordinal, row.incarnation, row.boot, row.seq)
    twice = sa.select(*keys).group_by(*keys).having(sa.func.count() > 1)
    found = bench.memory._database.read(lambda connection: connection.execute(twice).all())
    assert not found, f"law of reports: {tuple(found[0])} was counted twice"


def revoked_are_not_heard(bench: Bench) -> None:
    """Law of reports: of an agent that was revoked nothing is taken any more. Only for clocks that never jumped."""
    for agent in bench.memory.agents.all(EVERYONE):
        if agent.revoked_at is not None and agent.received_at is not None and not bench.jumped:
            told = f"law of reports: {agent.appliance} was heard after its agent was revoked"
            assert agent.received_at <= agent.revoked_at, told


def one_finding_each(bench: Bench) -> None:
    """Law of findings: of an appliance and a rule, at most one is open."""
    subjects = Counter((one.kind, one.subject) for one in bench.memory.findings.open(EVERYONE))
    twice = [one for one, count in subjects.items() if count > 1]
    assert not twice, f"law of findings: {twice[0]} is open twice"


def commands_ended(bench: Bench) -> None:
    """Law 5 in appliances, asked after a quiet time: each command came to its end; one that was handed to somebody who
    says nothing more has until his time is over."""
    speaking = {member.id for member, _ in _speaking(bench)}
    for intent in _orders(bench):
        late = bench.clock.now() > intent.deadline + dt.timedelta(seconds=ANSWER_S + 2 * POLL_S)
        if intent.state in OPEN_INTENTS:
            told = f"law 5: command {intent.id} ({intent.verb}) never ended"
            assert intent.appliance not in speaking, told
            assert not late, told


def state_is_true(bench: Bench) -> None:
    """Law of reports, asked after a quiet time: what is known of whoever speaks is what he has."""
    for member, guest in _speaking(bench):
        state = bench.memory.reports.state(EVERYONE, member.id)
        assert state is not None, f"law of reports: nothing is known of {guest.name}, which speaks"
        assert state.incarnation == member.incarnation, f"law of reports: {guest.name} is known by another node"
        told = guest.machine.sections(guest.machine.config, guest.interval_s)
        differ = sorted(name for name in {*told, *state.sections} if told.get(name) != state.sections.get(name))
        assert not differ, f"law of reports: {guest.name} is known otherwise than it is: {differ}"


def findings_are_as_rules_say(bench: Bench) -> None:
    """Law of findings, asked after a quiet time: open is what is so, and nothing else."""
    open_ = {one.subject for one in bench.memory.findings.open(EVERYONE) if one.kind is FindingKind.DETECTED}
    for member, guest in _speaking(bench):
        of = f"{member.set_uid}/{member.ordinal}:built-in/"
        found = {subject.removeprefix(of) for subject in open_ if subject.startswith(of)}
        found = {key for key in found if key.split("/")[0] in TOLD}
        state = bench.memory.reports.state(EVERYONE, member.id)
        assert state is not None
        due = _wrong(state)
        assert found == due, f"law of findings: {guest.name} is found {sorted(found)} and is {sorted(due)}"


def put_right(bench: Bench) -> None:
    """After a quiet time whoever speaks and may be ordered is well, unless an open incident, or a breaker that holds it
    back, says why not."""
    saying = (FindingKind.INCIDENT, FindingKind.HELD)
    incidents = [one.subject for one in bench.memory.findings.open(EVERYONE) if one.kind in saying]
    sets = {aset.uid: aset for aset in bench.memory.sets.all(EVERYONE)}
    for member, guest in _speaking(bench):
        aset = sets[member.set_uid]
        said = any(subject.startswith(f"{member.set_uid}/{member.ordinal}") for subject in incidents)
        held = any(control.until is None or control.until > bench.clock.now() for control in aset.controls)
        if guest.well() or said or held or aset.retiring_since is not None:
            continue
        if guest.machine.faults.keys() == {Fault.RESTART_LOOP}:  # shown only
            continue
        raise AssertionError(f"stuck: {guest.name} is {dict(guest.machine.faults)} and nothing says why")


def _orders(bench: Bench, since: dt.datetime | None = None) -> list[Intent]:
    since = since or bench.clock.now() - dt.timedelta(days=400)
    return [one for one in bench.memory.intents.recent(EVERYONE, since) if one.verb in GUEST_VERBS]


def _seat(guest: Seen) -> tuple[ApplianceId, int]:
    return guest.token.appliance, guest.token.incarnation


def _speaking(bench: Bench) -> list[tuple[Member, Seen]]:
    """Members that run and are wanted to, with the guest of their present node, which is believed.

    Not one that came too late with its token, nor, where the monitor's clock was set, one that is not listened to: a
    channel takes nothing that is dated before it began, and tokens end by that clock.
    """
    assert bench.inside is not None
    now = bench.clock.true_now()
    by_seat = {_seat(guest): guest for guest in bench.inside.guests.values() if guest.sleeps_until is None}
    revoked = {one.appliance for one in bench.memory.agents.all(EVERYONE) if one.revoked_at is not None}
    found = []
    for member in bench.memory.members.all(EVERYONE):
        guest = by_seat.get((member.id, member.incarnation))
        runs = member.state is ApplianceState.RUNNING and member.wanted is Power.RUNNING
        if guest is None or not runs or member.id in revoked or Fault.SILENT in guest.machine.faults:
            continue
        late = not guest._keys.known() and (now - guest.born_at).total_seconds() > tokens.LIFETIME_S
        if not late and not (bench.jumped and guest._failed):
            found.append((member, guest))
    return found


def _calls_for(intent: Intent, sections: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether what is told calls for that order."""
    arguments = intent.arguments
    if intent.verb is Verb.APP_RESTART:
        return sections["applications"][arguments["application"]]["state"] == "down"
    if intent.verb is Verb.QUARANTINE:
        return arguments["path"] in sections["malware"]
    if intent.verb is Verb.APP_UPDATE:
        return sections["packages"]["shop"]["version"] == OLD
    if intent.verb is Verb.ACCOUNT_REVOKE:
        return arguments["user"] in sections["accounts"]
    return intent.verb is Verb.JOB_RUN and sections["disks"]["/"]["used_share"] >= 0.9


def _wrong(state: GuestState) -> set[str]:
    """Rules that hold, as they are meant: written down once more, without the language of rules."""
    sections: Mapping[str, Mapping[str, Any]] = state.sections  # type: ignore[assignment]
    applications = sections["applications"]
    found = {f"application-down/{name}" for name, one in applications.items() if one["state"] == "down"}
    found |= {f"malware/{path}" for path in sections["malware"]}
    found |= {f"stray-account/{user}" for user in sections["accounts"] if user.startswith("mallory")}
    if sections["packages"]["shop"]["version"] == OLD:
        found.add("package-outdated/shop")
    return found


ALWAYS = (reports_counted_once, revoked_are_not_heard, one_finding_each)
IN_THE_END = (*ALWAYS, commands_ended, state_is_true, findings_are_as_rules_say, put_right)
