"""Lets an agent in with its token: once, in time, and only the first that comes.

Whether the secret is right the gate has found out; here is asked whether there is such an enrolment, for how long, and
whose it became. The store decides between two that come at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from cloudmon.channel import tokens
from cloudmon.channel.bodies import EnrolBody
from cloudmon.channel.gate import Reason
from cloudmon.channel.roster import Roster
from cloudmon.model.appliances import Incarnation, IncarnationState
from cloudmon.model.guests import Agent, Enrolment
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Ownership, Store

USER_DATA = "user data"
"""Author of enrolments that nobody made by hand."""

LONGEST = dt.timedelta(days=365)
"""How long an incarnation that was never seen running may enrol; its launch is given up long before."""


class Asked(NamedTuple):
    """Who asks to be enrolled, with a token whose secret is right."""

    enrolment_id: str
    body: EnrolBody
    now: dt.datetime


class Enrolling:
    """Enrols agents. Its verb runs on the one thread that writes."""

    def __init__(self, store: Store, owner_of: Callable[[], Ownership], roster: Roster) -> None:
        self._store = store
        self._owner_of = owner_of
        self._roster = roster

    def enrol(self, asked: Asked) -> Agent | Reason:
        """The agent as it is listened to from now on, or why not. The same agent may ask again; another may not.

        Raises StoreError when the store is away: nothing was used then.
        """
        enrolment = self._enrolment(asked)
        if isinstance(enrolment, Reason):
            return enrolment
        agent = Agent(
            appliance=enrolment.appliance,
            tenant=enrolment.tenant,
            incarnation=enrolment.incarnation,
            instance=asked.body.instance,
            version=asked.body.version,
            enrolled_at=asked.now,
            serial=1,
            abilities=asked.body.can,
        )
        if not self._store.agents.enrol(self._owner_of(), agent, enrolment=enrolment, now=asked.now):
            return Reason.TOKEN_USED
        found = self._roster.reread(enrolment.appliance)
        if found is None or found.instance != asked.body.instance:
            return Reason.TOKEN_USED
        return Reason.REVOKED if found.revoked_at is not None else found

    def _enrolment(self, asked: Asked) -> Enrolment | Reason:
        seat = tokens.seat(asked.enrolment_id)
        found = self._store.agents.enrolment(EVERYONE, asked.enrolment_id)
        incarnation = None
        if seat is not None:
            incarnation = self._incarnation(seat.appliance, seat.incarnation)
        elif found is not None:
            incarnation = self._incarnation(found.appliance, found.incarnation)
        # A token that nobody made, or of a node that is gone or going.
        if incarnation is None:
            return Reason.TOKEN_UNKNOWN
        if seat is not None:
            expires_at = _expires_at(incarnation)
            found = found or Enrolment(
                id=asked.enrolment_id,
                appliance=seat.appliance,
                tenant=incarnation.tenant,
                incarnation=seat.incarnation,
                author=USER_DATA,
                created_at=incarnation.opened_at,
                expires_at=expires_at,
            )
        elif found is not None:
            expires_at = found.expires_at
        if found is None:
            return Reason.TOKEN_UNKNOWN
        # The answer can get lost: whoever has used it in time may ask again, as long as he is the same.
        if asked.now > expires_at and found.instance != asked.body.instance:
            return Reason.TOKEN_USED if found.instance else Reason.TOKEN_EXPIRED
        return found

    def _incarnation(self, appliance: ApplianceId, number: int) -> Incarnation | None:
        rows = self._store.incarnations.of(EVERYONE, appliance.set_uid, appliance.ordinal)
        found = next((row for row in rows if row.number == number), None)
        if found is None or found.state not in (IncarnationState.OPENING, IncarnationState.LIVE):
            return None
        return found


def _expires_at(incarnation: Incarnation) -> dt.datetime:
    """Until when the token of its user data is good: counted from when its node was first seen running."""
    if incarnation.since is None:
        return incarnation.opened_at + LONGEST
    return incarnation.since + dt.timedelta(seconds=tokens.LIFETIME_S)
