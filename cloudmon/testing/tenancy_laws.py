"""Law: no tenant reads or changes another's anything, through any verb."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from cloudmon.model.actions import IntentState, Verb
from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, FindingEnd, IncarnationUpdate, IntentUpdate, Timer, TimerKind
from cloudmon.model.findings import Finding
from cloudmon.model.identity import ApplianceId
from cloudmon.model.messages import DeliveryEvent
from cloudmon.model.offers import Choice, Offer
from cloudmon.model.sets import ApplianceSet, Control, ControlKind
from cloudmon.model.tenants import EVERYONE, Scope
from cloudmon.store import Store
from cloudmon.testing.guest_words import GuestWords
from cloudmon.testing.store_words import START, later

Reads = dict[str, Callable[[Store, Scope, ApplianceSet, "Planted"], Any]]


class Planted:
    """What was written for one tenant, to be looked for by another."""

    intent_id: str
    request_id: str
    token: str
    finding: Finding


class TenancyLaws(GuestWords):
    """Every read verb that takes a scope, asked for another tenant's rows by their very names."""

    READS: ClassVar[Reads] = {
        "sets.active": lambda store, scope, _, __: store.sets.active(scope),
        "sets.all": lambda store, scope, _, __: store.sets.all(scope),
        "sets.named": lambda store, scope, aset, _: store.sets.named(scope, aset.name),
        "sets.get": lambda store, scope, aset, _: store.sets.get(scope, aset.uid),
        "sets.generations": lambda store, scope, aset, _: store.sets.generations(scope, aset.uid),
        "sets.last_of_author": lambda store, scope, aset, _: store.sets.last_of_author(scope, aset.author),
        "sets.ended_of_author": lambda store, scope, aset, _: store.sets.ended_of_author(scope, aset.author),
        "members.all": lambda store, scope, _, __: store.members.all(scope),
        "members.of_set": lambda store, scope, aset, _: store.members.of_set(scope, aset.uid),
        "members.get": lambda store, scope, aset, _: store.members.get(scope, ApplianceId(aset.uid, 1)),
        "members.history": lambda store, scope, aset, _: store.members.history(scope, aset.uid),
        "members.at": lambda store, scope, aset, _: store.members.at(scope, aset.uid, 1, later(9)),
        "incarnations.open": lambda store, scope, _, __: store.incarnations.open(scope),
        "incarnations.live": lambda store, scope, _, __: store.incarnations.live(scope),
        "incarnations.of": lambda store, scope, aset, _: store.incarnations.of(scope, aset.uid),
        "incarnations.by_token": lambda store, scope, _, it: store.incarnations.by_token(scope, it.token),
        "incarnations.makes": lambda store, scope, aset, _: store.incarnations.makes(scope, [aset.uid]),
        "incarnations.made": lambda store, scope, aset, _: store.incarnations.made(scope, aset.uid),
        "incarnations.at": lambda store, scope, aset, _: store.incarnations.at(scope, aset.uid, later(9)),
        "intents.open": lambda store, scope, _, __: store.intents.open(scope),
        "intents.kept": lambda store, scope, _, __: store.intents.kept(scope, later(999_999), 9),
        "intents.incidents": lambda store, scope, _, __: store.intents.incidents(scope),
        "intents.recent": lambda store, scope, _, __: store.intents.recent(scope, later(-99)),
        "intents.telling": lambda store, scope, _, __: store.intents.telling(scope, later(-99)),
        "intents.get": lambda store, scope, _, it: store.intents.get(scope, it.intent_id),
        "intents.of_request": lambda store, scope, _, it: store.intents.of_request(scope, it.request_id),
        "intents.of": lambda store, scope, aset, _: store.intents.of(scope, aset.uid),
        "intents.latest": lambda store, scope, _, __: store.intents.latest(scope, 9),
        "log.entries": lambda store, scope, aset, _: store.log.entries(scope, aset.uid),
        "usage.events": lambda store, scope, _, __: list(store.usage.events(scope)),
        "requests.pending": lambda store, scope, _, __: store.requests.pending(scope),
        "requests.open": lambda store, scope, _, __: store.requests.open(scope),
        "requests.recent": lambda store, scope, _, __: store.requests.recent(scope, later(-99)),
        "requests.get": lambda store, scope, _, it: store.requests.get(scope, it.request_id),
        "grants.standing": lambda store, scope, _, __: store.grants.standing(scope),
        "grants.of_set": lambda store, scope, aset, _: store.grants.of_set(scope, aset.uid),
        "controls.active": lambda store, scope, _, __: store.controls.active(scope, later(9)),
        "findings.open": lambda store, scope, _, __: store.findings.open(scope),
        "findings.of": lambda store, scope, _, it: store.findings.of(scope, it.finding.subject),
        "timers.all": lambda store, scope, _, __: store.timers.all(scope),
        "agents.get": lambda store, scope, aset, _: store.agents.get(scope, ApplianceId(aset.uid, 1)),
        "agents.all": lambda store, scope, _, __: store.agents.all(scope),
        "agents.of_set": lambda store, scope, aset, _: store.agents.of_set(scope, aset.uid),
        "agents.enrolment": lambda store, scope, aset, _: store.agents.enrolment(scope, f"a-{aset.uid}"),
        "reports.state": lambda store, scope, aset, _: store.reports.state(scope, ApplianceId(aset.uid, 1)),
        "reports.states": lambda store, scope, aset, _: store.reports.states(scope, [ApplianceId(aset.uid, 1)]),
        "reports.history": lambda store, scope, aset, _: store.reports.history(scope, ApplianceId(aset.uid, 1)),
        "rules.all": lambda store, scope, _, __: store.rules.all(scope),
        "intents.commands": lambda store, scope, aset, _: store.intents.commands(scope, ApplianceId(aset.uid, 1)),
        "findings.of_appliance": lambda store, scope, aset, _: store.findings.of_appliance(scope, aset.uid, 1),
        "messages.waiting": lambda store, scope, _, __: store.messages.waiting(scope, 9),
        "messages.open": lambda store, scope, _, __: store.messages.open(scope),
        "messages.pending": lambda store, scope, _, __: store.messages.pending(scope, "ops", 9),
        "messages.growing": lambda store, scope, _, __: store.messages.growing(scope),
        "messages.unfinished": lambda store, scope, _, __: store.messages.unfinished(scope),
        "messages.since": lambda store, scope, _, __: store.messages.since(scope, later(-99)),
        "messages.delivery": lambda store, scope, aset, _: store.messages.delivery(scope, f"d-{aset.uid}"),
        "messages.deliveries": lambda store, scope, _, __: store.messages.deliveries(scope),
        "placements.latest": lambda store, scope, aset, _: store.placements.latest(scope, aset.uid),
    }
    UNSCOPED: ClassVar[frozenset[str]] = frozenset(("log.verify", "monitors.all", "spans.of"))
    """Take a scope and return no tenant's rows: clouds and monitors belong to the estate, a break is no row."""

    @pytest.mark.parametrize("verb", sorted(READS))
    def test_no_verb_returns_another_tenant_s_rows(self, verb: str) -> None:
        aset, planted = self._plant("acme")
        read = self.READS[verb]
        assert read(self._store, Scope.of("acme"), aset, planted), "the law looks for something"
        assert read(self._store, EVERYONE, aset, planted), "the service sees it"
        for others in (Scope.of("rival"), Scope.of("default", "rival"), Scope.of()):
            assert not read(self._store, others, aset, planted)

    def test_every_verb_that_takes_a_scope_is_under_this_law(self) -> None:
        found = set()
        for group, verbs in vars(self._store).items():
            for name in dir(verbs):
                verb = getattr(verbs, name)
                if not name.startswith("_") and callable(verb) and "scope" in getattr(verb, "__annotations__", {}):
                    found.add(f"{group}.{name}")
        assert found == set(self.READS) | self.UNSCOPED

    def test_both_tenants_see_their_own_and_the_service_sees_both(self) -> None:
        mine, _ = self._plant("acme")
        theirs, _ = self._plant("rival")
        sets = self._store.sets
        assert [one.uid for one in sets.active(Scope.of("acme"))] == [mine.uid]
        assert [one.uid for one in sets.active(Scope.of("rival"))] == [theirs.uid]
        assert {one.uid for one in sets.active(Scope.of("acme", "rival"))} == {mine.uid, theirs.uid}
        assert {one.uid for one in sets.active(EVERYONE)} == {mine.uid, theirs.uid}

    def test_a_change_of_one_tenant_does_not_touch_another_s_rows(self) -> None:
        aset, planted = self._plant("acme")
        member = self.member(aset)
        ended = IntentUpdate(planted.intent_id, frozenset(IntentState), IntentState.FAILED)
        gone = IncarnationUpdate(1, {"node_id": "stolen"})
        before = self.everything()
        theirs = (
            Change("rival", member.id, member={"state": ApplianceState.RETIRED}),
            Change("rival", member.id, intents=(ended,)),
            Change("rival", member.id, incarnations=(gone,)),
        )
        assert self.write(*theirs) == [False, False, False]
        assert self.everything() == before
        self.write(
            Change("rival", findings=(dataclasses.replace(planted.finding, tenant="rival", message="all is well"),)),
            Change("rival", findings=(FindingEnd(planted.finding.kind, planted.finding.subject),)),
        )
        assert self.everything() == before

    def _plant(self, tenant: str) -> tuple[ApplianceSet, Planted]:
        """One row of everything that a tenant can have."""
        store, planted = self._store, Planted()
        ended = self.put(f"ended-set-of-{tenant}", tenant=tenant)
        assert store.sets.update(self._owner, ended.uid, now=START, log=None, retired_at=START)
        aset = self.put(f"set-of-{tenant}", tenant=tenant)
        launched = self.launch(self.member(aset))
        assert launched.opens_intent is not None
        planted.intent_id, planted.token = launched.opens_intent.id, launched.opens_intent.token
        planted.finding = self.finding(tenant, subject=f"{aset.uid}/1")
        request = self.request(tenant)
        planted.request_id = request.id
        stuck = self.intent(self.member(aset), Verb.REBOOT, state=IntentState.INCIDENT, request_id=request.id)
        kept = self.intent(
            self.member(aset),
            Verb.SNAPSHOT,
            state=IntentState.DONE,
            ended_at=START,
            result={"snapshot": f"s-{aset.uid}"},
        )
        usage = self.confirm(launched).usage
        timer = Timer(aset.uid, 1, TimerKind.FAULT, START)
        more = Change(tenant, opens_intent=stuck, usage=usage, timers=(timer,), findings=(planted.finding,))
        store.messages.keep(True)
        assert self.write(launched, more, Change(tenant, opens_intent=kept)) == [True, True, True]
        store.messages.keep(False)
        digest = self.delivery(f"g-{aset.uid}", tenant=tenant, event=DeliveryEvent.DIGEST, due_at=later(9))
        store.messages.route(self._owner, [self.delivery(f"d-{aset.uid}", tenant=tenant), digest])
        store.requests.add(request)
        store.controls.lay(self._owner, Control(0, ControlKind.PAUSE, aset.uid, 1, "ann", "", START, None), START)
        store.grants.give(self._owner, self.grant(aset, name=f"grant-{aset.uid}"), START)
        choice = Choice(Offer("east", "small", "a", 1, 1024, 10), True, "only one")
        store.placements.put(self._owner, aset.uid, 1, [choice], START)
        agent = self.agent(ApplianceId(aset.uid, 1), tenant=tenant)
        assert self.enrol(agent, f"a-{aset.uid}")
        assert self.take(self.full(agent), self.differing(agent)) == [True, True]
        self.command(aset)
        self.write(Change(tenant, rules=(self.rule_state(agent.appliance, tenant=tenant),)))
        return aset, planted
