"""Agents and the tokens that they enrolled with: who speaks for which appliance now. No token and no key is kept."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from cloudmon.errors import StoreError
from cloudmon.model.actions import LogEntry
from cloudmon.model.guests import Agent, Enrolment
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered
from cloudmon.store.tables import agents, enrolments, sets

_AGENT = tuple(name for name in Agent.__dataclass_fields__ if name != "appliance")
_ENROLMENT = tuple(name for name in Enrolment.__dataclass_fields__ if name != "appliance")
_AGENT_ROW = sa.select(agents.c.set_uid, agents.c.ordinal, *(agents.c[name] for name in _AGENT))
_ENROLMENT_ROW = sa.select(enrolments.c.set_uid, enrolments.c.ordinal, *(enrolments.c[name] for name in _ENROLMENT))
_UNHEARD: dict[str, Any] = {"boot": "", "seq": 0, "hash": "", "received_at": None, "offset_s": 0.0, "boots": []}


class Agents:
    """Those who speak for appliances."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def get(self, scope: Scope, appliance: ApplianceId) -> Agent | None:
        """The agent of an appliance, revoked or not; None when none ever enrolled."""
        found = self._where(scope, *_of(agents, appliance))
        return found[0] if found else None

    def all(self, scope: Scope) -> list[Agent]:
        """Every agent, revoked ones and those of retired sets included, ordered by set and ordinal."""
        return self._where(scope)

    def of_set(self, scope: Scope, set_uid: str) -> list[Agent]:
        """The agents of one set, revoked ones included, ordered by ordinal."""
        return self._where(scope, agents.c.set_uid == set_uid)

    def enrolment(self, scope: Scope, enrolment_id: str) -> Enrolment | None:
        """A token that was made by hand, or one of user data that was used; None for any other."""
        row = enrolments.c
        statement = _ENROLMENT_ROW.where(row.id == enrolment_id, *covered(scope, row.tenant))
        found = self._database.read(lambda connection: connection.execute(statement).one_or_none())
        return None if found is None else Enrolment(**_values(found, _ENROLMENT))

    def offer(self, owner: Ownership, enrolment: Enrolment) -> None:
        """Write that a token was made by hand, and log it as ``agent.token``; the same id again changes nothing.

        Raises StoreError when the tenant has no such set.
        """

        def work(writing: Writing) -> None:
            _check_tenant(writing, enrolment.appliance, enrolment.tenant)
            if _insert(writing, enrolment):
                body: dict[str, object] = {"enrolment": enrolment.id, "author": enrolment.author}
                body |= {"incarnation": enrolment.incarnation, "expires_at": enrolment.expires_at}
                _log(writing, enrolment, "agent.token", enrolment.created_at, body)

        self._owned.write(owner, work)

    def enrol(self, owner: Ownership, agent: Agent, *, enrolment: Enrolment, now: dt.datetime) -> bool:
        """Let ``agent`` speak for its appliance, by the token ``enrolment``, which is used from now on.

        The row's serial number is given here: one more with every other agent, so that keys of the one before end.
        What was heard of that one is forgotten: the new one begins with a full report. Logged as ``agent.enrolled``.
        The same agent with the same token again: True, and nothing changes but its abilities, when it tells others.

        False, and nothing changes, when another instance used the token, when the agent was revoked after it used it,
        or when the agent is of an earlier incarnation than the one that enrolled last. Whether the token is still in
        time the caller says. Raises StoreError when the tenant has no such set.
        """

        def work(writing: Writing) -> bool:
            _check_tenant(writing, agent.appliance, agent.tenant)
            used = _used_by(writing, enrolment)
            row = writing.connection.execute(sa.select(agents).where(*_of(agents, agent.appliance))).one_or_none()
            believed = _is_believed(row, agent)
            if used not in ("", agent.instance) or (used and not believed):
                return False
            if row is not None and agent.incarnation < row.incarnation:
                return False
            _use(writing, enrolment, agent.instance, now)
            if believed and row is not None:
                if _abilities(row.abilities) != agent.abilities:
                    able = sa.update(agents).where(*_of(agents, agent.appliance)).values(abilities=agent.abilities)
                    writing.connection.execute(able)
                return True
            serial = 1 if row is None else row.serial + 1
            _seat(writing, agent, serial=serial, is_first=row is None, by=enrolment.id)
            body: dict[str, object] = {"incarnation": agent.incarnation, "instance": agent.instance}
            body |= {"enrolment": enrolment.id, "version": agent.version, "serial": serial}
            _log(writing, agent, "agent.enrolled", now, body)
            return True

        return self._owned.write(owner, work)

    def revoke(self, owner: Ownership, appliance: ApplianceId, *, now: dt.datetime, author: str, reason: str) -> bool:
        """Believe the agent of ``appliance`` no more; another token lets one speak again. Logged as ``agent.revoked``.

        False when there is none that is believed.
        """

        def work(writing: Writing) -> bool:
            statement = sa.update(agents).where(*_of(agents, appliance), agents.c.revoked_at.is_(None))
            statement = statement.values(revoked_at=now)
            told = statement.returning(*_AGENT_ROW.selected_columns)
            found = writing.connection.execute(told).one_or_none()
            if found is None:
                return False
            agent = _agent(found)
            body: dict[str, object] = {"author": author, "reason": reason, "instance": agent.instance}
            _log(writing, agent, "agent.revoked", now, body | {"incarnation": agent.incarnation})
            return True

        return self._owned.write(owner, work)

    def _where(self, scope: Scope, *conditions: Any) -> list[Agent]:
        row = agents.c
        statement = _AGENT_ROW.where(*conditions, *covered(scope, row.tenant)).order_by(row.set_uid, row.ordinal)
        return self._database.read(lambda connection: [_agent(found) for found in connection.execute(statement)])


def _values(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: row._mapping[name] for name in names}
    return values | {"appliance": ApplianceId(row.set_uid, row.ordinal)}


def _agent(row: Any) -> Agent:
    values = _values(row, _AGENT)
    return Agent(**values | {"abilities": _abilities(values["abilities"])})


def _abilities(found: list[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)


def _of(table: sa.Table, appliance: ApplianceId) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.set_uid == appliance.set_uid, table.c.ordinal == appliance.ordinal


def _check_tenant(writing: Writing, appliance: ApplianceId, tenant: str) -> None:
    theirs = sa.select(sets.c.uid).where(sets.c.uid == appliance.set_uid, sets.c.tenant == tenant)
    if writing.connection.execute(theirs).one_or_none() is None:
        raise StoreError(f"there is no set {appliance.set_uid} of {tenant}; nothing was written")


def _is_believed(row: Any, agent: Agent) -> bool:
    if row is None or row.revoked_at is not None:
        return False
    return (row.instance, row.incarnation) == (agent.instance, agent.incarnation)


def _insert(writing: Writing, enrolment: Enrolment) -> bool:
    values = {name: getattr(enrolment, name) for name in _ENROLMENT}
    values |= {"set_uid": enrolment.appliance.set_uid, "ordinal": enrolment.appliance.ordinal}
    statement = writing.insert(enrolments).values(**values).on_conflict_do_nothing(index_elements=["id"])
    return writing.connection.execute(statement.returning(enrolments.c.id)).scalar_one_or_none() is not None


def _used_by(writing: Writing, enrolment: Enrolment) -> str:
    found = sa.select(enrolments.c.instance).where(enrolments.c.id == enrolment.id)
    return writing.connection.execute(found).scalar_one_or_none() or ""


def _use(writing: Writing, enrolment: Enrolment, instance: str, now: dt.datetime) -> None:
    _insert(writing, enrolment)
    statement = sa.update(enrolments).where(enrolments.c.id == enrolment.id, enrolments.c.used_at.is_(None))
    writing.connection.execute(statement.values(used_at=now, instance=instance))


def _seat(writing: Writing, agent: Agent, *, serial: int, is_first: bool, by: str) -> None:
    told = ("tenant", "incarnation", "instance", "version", "enrolled_at", "abilities")
    values = {name: getattr(agent, name) for name in told}
    values |= {"serial": serial, "revoked_at": None, "enrolment": by, **_UNHEARD}
    if is_first:
        of = {"set_uid": agent.appliance.set_uid, "ordinal": agent.appliance.ordinal, "taken": 0}
        writing.connection.execute(sa.insert(agents).values(**values, **of))
    else:
        writing.connection.execute(sa.update(agents).where(*_of(agents, agent.appliance)).values(**values))


def _log(writing: Writing, about: Agent | Enrolment, kind: str, at: dt.datetime, body: dict[str, object]) -> None:
    uid, ordinal = about.appliance
    writing.log(about.tenant, LogEntry(uid, at, kind, f"{uid}/{ordinal}", body))
