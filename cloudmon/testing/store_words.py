"""What the store's laws are written with: a store at hand, and changes made of few words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from cloudmon.model.actions import (
    CLASS_OF,
    OPEN_INTENTS,
    ActionClass,
    Intent,
    IntentState,
    LogEntry,
    Origin,
    Verb,
)
from cloudmon.model.appliances import (
    ApplianceState,
    Cause,
    HistoryEntry,
    Incarnation,
    IncarnationState,
    Member,
)
from cloudmon.model.changes import Change, Expect, IncarnationUpdate, IntentUpdate
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId, Token, new_uid
from cloudmon.model.messages import Delivery, DeliveryEvent
from cloudmon.model.requests import Request, RequestVerb
from cloudmon.model.sets import ApplianceSet, SetSpec, Template
from cloudmon.model.tenants import EVERYONE
from cloudmon.model.usage import Dimension, Mark, UsageEvent, node_event
from cloudmon.store import Ownership, Store

START = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
OPENED = {
    "key": "east/a/small",
    "price_per_hour": "0.10",
    "currency": "USD",
    "source": "dummy",
    "dated": "2026-02-01",
    "spot": "no",
}


def later(seconds: float) -> dt.datetime:
    """An instant after the beginning of every law."""
    return START + dt.timedelta(seconds=seconds)


class StoreWords:
    """Shared by all laws; the suite sets the attributes before each."""

    _store: Store
    _owner: Ownership
    _reopen: Callable[[], Store]

    def put(
        self, name: str = "storefront", count: int = 2, *, uid: str | None = None, author: str = "file:x", **other: Any
    ) -> ApplianceSet:
        """Put a set, or the next generation of one."""
        spec = SetSpec(name, count, Template("web", {"*": "image-1"}), **other)
        return self._store.sets.put(self._owner, uid=uid, spec=spec, author=author, now=START)

    def member(self, aset: ApplianceSet, ordinal: int = 1) -> Member:
        """A member as its row says it is now."""
        found = self._store.members.get(EVERYONE, ApplianceId(aset.uid, ordinal))
        assert found is not None
        return found

    def write(self, *changes: Change, at: dt.datetime = START, **other: Any) -> list[bool]:
        """Write changes as the owner."""
        return self._store.ledger.write(self._owner, changes, now=at, **other)

    def intent(self, member: Member, verb: Verb = Verb.LAUNCH, **other: Any) -> Intent:
        """An intent for a member, not written yet."""
        number = member.incarnation + (verb is Verb.LAUNCH)
        values: dict[str, Any] = {
            "id": new_uid(),
            "appliance": member.id,
            "tenant": member.tenant,
            "verb": verb,
            "action_class": CLASS_OF[verb],
            "origin": Origin.WANTED,
            "incarnation": number,
            "token": str(Token(self._store.estate, member.set_uid, member.ordinal, number)),
            "cloud": "east",
            "node_id": member.node_id,
            "reason": "is wanted",
            "evidence": {"generation": 1},
            "created_at": START,
            "deadline": later(60),
            "epoch": self._owner.epoch,
        }
        return Intent(**{**values, **other})

    def launch(self, member: Member, **other: Any) -> Change:
        """The change that opens a launch: intent, incarnation, state, history and log in one."""
        intent = self.intent(member, **other)
        row = Incarnation(
            set_uid=member.set_uid,
            ordinal=member.ordinal,
            number=intent.incarnation,
            tenant=member.tenant,
            state=IncarnationState.OPENING,
            token=intent.token,
            cloud="east",
            location="a",
            size="small",
            image="image-1",
            node_id="",
            public_addresses=(),
            private_addresses=(),
            offer=OPENED,
            opened_at=intent.created_at,
            since=None,
            until=None,
            last_call_at=intent.created_at,
            cause=None,
        )
        return Change(
            tenant=member.tenant,
            appliance=member.id,
            expect=Expect(member.state, member.incarnation),
            member={
                "state": ApplianceState.LAUNCHING,
                "since": intent.created_at,
                "incarnation": intent.incarnation,
                "token": intent.token,
                "cloud": "east",
                "location": "a",
            },
            history=self.history(member, ApplianceState.LAUNCHING, intent.created_at),
            opens_incarnation=row,
            opens_intent=intent,
            log=(LogEntry(member.set_uid, intent.created_at, "intent.recorded", intent.id, {"verb": intent.verb}),),
        )

    def confirm(self, launched: Change, *, node_id: str = "n-1", at: dt.datetime | None = None) -> Change:
        """The change that confirms a launch by a sighting."""
        intent, seen_at = launched.opens_intent, at or later(30)
        assert intent is not None
        return Change(
            tenant=launched.tenant,
            appliance=launched.appliance,
            expect=Expect(ApplianceState.LAUNCHING, intent.incarnation),
            member={"state": ApplianceState.RUNNING, "since": seen_at, "node_id": node_id},
            incarnations=(
                IncarnationUpdate(
                    intent.incarnation, {"state": IncarnationState.LIVE, "node_id": node_id, "since": seen_at}
                ),
            ),
            intents=(IntentUpdate(intent.id, OPEN_INTENTS, IntentState.DONE, {"ended_at": seen_at}),),
            usage=(self.usage(intent.appliance, intent.incarnation, Mark.BEGAN, seen_at, tenant=launched.tenant),),
            log=(LogEntry(intent.appliance.set_uid, seen_at, "intent.done", intent.id, {"node": node_id}),),
        )

    def history(self, member: Member, state: ApplianceState, at: dt.datetime) -> HistoryEntry:
        """One change of a member's state."""
        return HistoryEntry(member.set_uid, member.ordinal, at, member.state, state, Cause.COMMANDED, "is wanted", {})

    def usage(
        self, who: ApplianceId, incarnation: int, mark: Mark, at: dt.datetime, *, tenant: str = "default"
    ) -> UsageEvent:
        """A node began or ended to run."""
        return node_event(
            tenant=tenant,
            set_uid=who.set_uid,
            ordinal=who.ordinal,
            incarnation=incarnation,
            cloud="east",
            node_id=f"n-{who.ordinal}",
            dimension=Dimension.NODE_RUNNING,
            mark=mark,
            at=at,
            evidence={"source": "listing"},
        )

    def request(self, tenant: str = "default", **other: Any) -> Request:
        """Somebody asks for a reboot."""
        values: dict[str, Any] = {
            "id": new_uid(),
            "verb": RequestVerb.REBOOT,
            "tenant": tenant,
            "target": "storefront/1",
            "arguments": {"until": "tomorrow"},
            "author": "ann",
            "reason": "it is slow",
            "created_at": START,
        }
        return Request(**{**values, **other})

    def finding(self, tenant: str = "default", **other: Any) -> Finding:
        """Something was detected."""
        values: dict[str, Any] = {
            "kind": FindingKind.FAULT,
            "subject": "x/1",
            "tenant": tenant,
            "severity": "warning",
            "message": "not well",
            "evidence": {"word": "error"},
            "opened_at": START,
        }
        return Finding(**{**values, **other})

    def delivery(self, delivery_id: str, tenant: str = "default", **other: Any) -> Delivery:
        """Something that a notifier is to be given."""
        values: dict[str, Any] = {
            "id": delivery_id,
            "notifier": "ops",
            "tenant": tenant,
            "subject": "x/1",
            "event": DeliveryEvent.OPENED,
            "severity": "warning",
            "title": "not well",
            "body": {"message": "not well"},
            "created_at": START,
            "due_at": START,
        }
        return Delivery(**{**values, **other})

    def destructive(self, member: Member, *, origin: Origin = Origin.OBSERVATION, **other: Any) -> Change:
        """A change that opens a termination, and nothing else."""
        intent = self.intent(member, Verb.TERMINATE, origin=origin, action_class=ActionClass.DESTRUCTIVE, **other)
        return Change(tenant=member.tenant, appliance=member.id, opens_intent=intent)

    def everything(self) -> Sequence[object]:
        """All that a transaction could have written, to compare before and after."""
        store = self._store
        return (
            store.members.all(EVERYONE),
            [store.members.history(EVERYONE, aset.uid) for aset in store.sets.all(EVERYONE)],
            [store.incarnations.of(EVERYONE, aset.uid) for aset in store.sets.all(EVERYONE)],
            store.sets.all(EVERYONE),
            store.intents.recent(EVERYONE, later(-86_400)),
            store.log.entries(EVERYONE),
            list(store.usage.events(EVERYONE)),
            store.timers.all(),
            store.findings.open(EVERYONE),
            store.requests.recent(EVERYONE, later(-86_400)),
            store.controls.active(EVERYONE, later(1)),
            store.grants.standing(EVERYONE),
            store.agents.all(EVERYONE),
            [store.reports.history(EVERYONE, agent.appliance) for agent in store.agents.all(EVERYONE)],
            store.rules.all(EVERYONE),
        )
