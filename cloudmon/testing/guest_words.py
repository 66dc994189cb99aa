"""What laws about the insides of appliances are written with: agents, reports that build on each other, commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cloudmon.model import states
from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.changes import Change
from cloudmon.model.grants import Access, Grant
from cloudmon.model.guests import Agent, Enrolment, GuestState, Report, ReportKind, Result, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import RuleState
from cloudmon.model.sets import ApplianceSet
from cloudmon.testing.store_words import START, StoreWords, later

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICRJAGUFPQ3HM6zQxwCH0dFT3G+gLJ8dP4bKpXU7u3Wd ada@here"
BEFORE: Sections = {"memory": {"now": {"available_mib": 512}}, "packages": {"nginx": {"version": "1.24"}}}
AFTER: Sections = {"memory": {"now": {"available_mib": 498.5}}, "accounts": {"ann": {"uid": 1000, "locked": False}}}


class GuestWords(StoreWords):
    """Words for agents and what they say."""

    def grant(self, aset: ApplianceSet, user: str = "ada", name: str = "grant-1", **other: Any) -> Grant:
        """An account that is not granted yet."""
        values: dict[str, Any] = {
            "id": name,
            "tenant": aset.tenant,
            "set_uid": aset.uid,
            "user": user,
            "access": Access((KEY,), ("sudo",), later(3_600)),
            "author": "ann",
            "reason": "on call",
            "since": START,
        }
        return Grant(**{**values, **other})

    def enrolment(self, appliance: ApplianceId, name: str = "m-1", **other: Any) -> Enrolment:
        """A token made by hand, not written yet."""
        values: dict[str, Any] = {
            "id": name,
            "appliance": appliance,
            "tenant": "default",
            "incarnation": 1,
            "author": "ann",
            "created_at": START,
            "expires_at": later(900),
        }
        return Enrolment(**{**values, **other})

    def agent(self, appliance: ApplianceId, instance: str = "first", **other: Any) -> Agent:
        """An agent that did not enrol yet."""
        values: dict[str, Any] = {
            "appliance": appliance,
            "tenant": "default",
            "incarnation": 1,
            "instance": instance,
            "version": "1.0",
            "enrolled_at": START,
            "serial": 0,
        }
        return Agent(**{**values, **other})

    def enrol(self, agent: Agent, by: str = "m-1", at: float = 1) -> bool:
        """Enrol an agent by the token of a name."""
        enrolment = self.enrolment(agent.appliance, by, tenant=agent.tenant, incarnation=agent.incarnation)
        return self._store.agents.enrol(self._owner, agent, enrolment=enrolment, now=later(at))

    def enrolled(self, ordinal: int = 1, **other: Any) -> Agent:
        """The agent of a member of a new set."""
        aset = self.put(f"storefront-{ordinal}", tenant=other.get("tenant", "default"))
        agent = self.agent(ApplianceId(aset.uid, ordinal), **other)
        assert self.enrol(agent, by=f"a-{aset.uid}")
        return agent

    def full(self, agent: Agent, seq: int = 1, sections: Sections = BEFORE, **other: Any) -> Report:
        """A whole report of an agent."""
        values: dict[str, Any] = {
            "appliance": agent.appliance,
            "tenant": agent.tenant,
            "incarnation": agent.incarnation,
            "instance": agent.instance,
            "boot": "boot-1",
            "seq": seq,
            "kind": ReportKind.FULL,
            "base": "",
            "hash": states.state_hash(sections),
            "why": "interval",
            "reported_at": later(10 * seq - 1),
            "received_at": later(10 * seq),
            "body": sections,
            "version": "1.1",
            "offset_s": 0.25,
        }
        return Report(**{**values, **other})

    def differing(
        self, agent: Agent, seq: int = 2, before: Sections = BEFORE, after: Sections = AFTER, **other: Any
    ) -> Report:
        """A report that tells what changed from one state to another."""
        told = {"kind": ReportKind.DIFF, "base": states.state_hash(before), "body": states.difference(before, after)}
        return self.full(agent, seq, after, **{**told, **other})

    def take(
        self, *reports: Report, at: dt.datetime = START, snapshots: Mapping[ApplianceId, GuestState] | None = None
    ) -> list[bool]:
        """Take reports as the owner."""
        return self._store.reports.take(self._owner, reports, now=at, snapshots=snapshots or {})

    def command(self, aset: ApplianceSet, ordinal: int = 1, verb: Verb = Verb.APP_RESTART, **other: Any) -> str:
        """Write a command for a member's agent; returns its id."""
        told = {"arguments": {"application": "shop"}, "state": IntentState.PERFORMED, **other}
        intent = self.intent(self.member(aset, ordinal), verb, **told)
        assert self.write(Change(intent.tenant, opens_intent=intent)) == [True]
        return intent.id

    def rule_state(self, appliance: ApplianceId, rule: str = "basics/disk/var", **other: Any) -> RuleState:
        """A rule that holds."""
        return replace(RuleState(appliance, "default", rule, START, "0111"), **other)


def result(intent_id: str, *, ok: bool = True, **other: Any) -> Result:
    """What a command came to."""
    values: dict[str, Any] = {"exit": 0 if ok else 3, "output": "done\n", "error": "" if ok else "no such application"}
    return Result(intent_id, ok, **{**values, "ended_at": later(19), **other})
