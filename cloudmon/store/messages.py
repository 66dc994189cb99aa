"""What somebody is to be told: messages until they are routed, deliveries until, and after, they came to their end.

Messages are written by the ledger, with the findings that they are about. All else here is the owner's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.messages import Delivery, DeliveryEvent, DeliveryState, Message, MessageEvent
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered
from cloudmon.store.tables import deliveries, findings, messages, notifiers, sets

_MESSAGE = tuple(name for name in Message.__dataclass_fields__ if name != "set_name")
_DELIVERY = tuple(Delivery.__dataclass_fields__)
_NEW = tuple(name for name in _DELIVERY if name != "seq")
# Written out, so that the partial index over exactly these serves them.
_PENDING = sa.text("deliveries.state = 'pending'")
PRUNED_AT_ONCE = 10_000
"""Rows that are forgotten in one transaction."""


class Messages:
    """Messages and deliveries."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def keep(self, wanted: bool, stirred: Callable[[], None] = lambda: None) -> None:
        """Whether messages are written from now on; where there is nobody to be told they would only pile up.

        ``stirred`` is called, by whichever thread writes, after each commit that wrote some.
        """
        self._owned.telling, self._owned.stirred = wanted, stirred

    # --- messages ---------------------------------------------------------------------------------------------------

    def waiting(self, scope: Scope, limit: int) -> list[Message]:
        """Those that nobody has routed, in the order in which things happened."""
        row = messages.c
        statement = sa.select(*(row[name] for name in _MESSAGE)).where(*covered(scope, row.tenant))
        statement = statement.order_by(row.id).limit(limit)

        def work(connection: Connection) -> list[Message]:
            return _named(connection, scope, connection.execute(statement).all())

        return self._database.read(work)

    def open(self, scope: Scope) -> list[Message]:
        """All that is open, oldest first, as if it opened only now; ``told`` names those whom a rule had told of it."""
        row = findings.c
        same = (row[name] for name in _MESSAGE if name not in ("at", "event"))
        now = (row.opened_at.label("at"), sa.literal(MessageEvent.OPENED, messages.c.event.type).label("event"))
        statement = sa.select(*same, *now).where(sa.text("findings.ended_at IS NULL"), *covered(scope, row.tenant))
        statement = statement.order_by(row.opened_at, row.id)
        return self._database.read(lambda connection: _named(connection, scope, connection.execute(statement).all()))

    def route(
        self, owner: Ownership, made: Sequence[Delivery], *, taken: Sequence[int] = (), grown: Sequence[Delivery] = ()
    ) -> bool:
        """Put deliveries in the place of the messages ``taken``, all or nothing; the same delivery again is quiet.

        ``grown`` are digests that take in more. False, and nothing written, when one of them has been tried meanwhile,
        and must stay what it was when it was tried.
        """

        def work(writing: Writing) -> bool:
            for one in grown:
                values = {"title": one.title, "body": one.body, "severity": one.severity}
                statement = sa.update(deliveries).where(deliveries.c.id == one.id, deliveries.c.attempts == 0, _PENDING)
                if writing.connection.execute(statement.values(**values)).rowcount != 1:
                    raise _Tried
            _put(writing, made)
            if taken:
                writing.connection.execute(_TAKE, [{"b_id": one} for one in taken])
            return True

        try:
            done = self._owned.write(owner, work)
        except _Tried:
            return False
        if made:
            self._owned.stirred()
        return done

    # --- notifiers --------------------------------------------------------------------------------------------------

    def introduced(self) -> frozenset[str]:
        """The notifiers that are told of each change; not of any tenant, as the settings that name them are not."""
        return self._database.read(
            lambda connection: frozenset(connection.execute(sa.select(notifiers.c.name)).scalars())
        )

    def introduce(self, owner: Ownership, name: str, told: Sequence[Delivery], *, now: dt.datetime) -> bool:
        """A notifier is told of each change from now on, and with these of what is open already, all or nothing. False,
        and nothing written, when it is introduced already."""

        def work(writing: Writing) -> bool:
            insert: Any = writing.insert(notifiers).values(name=name, since=now)
            insert = insert.on_conflict_do_nothing(index_elements=["name"]).returning(notifiers.c.name)
            if writing.connection.execute(insert).first() is None:
                return False
            _put(writing, told)
            return True

        return self._owned.write(owner, work)

    def dismiss(self, owner: Ownership, names: Collection[str]) -> None:
        """These are there no more; if they come back, they are introduced anew."""

        def work(writing: Writing) -> None:
            writing.connection.execute(sa.delete(notifiers).where(notifiers.c.name.in_(sorted(names))))

        if names:
            self._owned.write(owner, work)

    # --- deliveries -------------------------------------------------------------------------------------------------

    def pending(self, scope: Scope, notifier: str, limit: int) -> list[Delivery]:
        """Those of one notifier that have not come to their end, in their order."""
        row = deliveries.c
        return self._where(scope, _PENDING, row.notifier == notifier, order=(row.seq,), limit=limit)

    def growing(self, scope: Scope) -> list[Delivery]:
        """Digests that nobody has tried yet: they take in what comes, for as long as their notifier does not answer."""
        row = deliveries.c
        where = (row.event == DeliveryEvent.DIGEST, row.attempts == 0)
        return self._where(scope, _PENDING, *where, order=(row.seq,), limit=1_000)

    def unfinished(self, scope: Scope) -> Mapping[str, int]:
        """How many are pending, by notifier."""
        return self._counted(scope, _PENDING)

    def since(self, scope: Scope, at: dt.datetime) -> Mapping[str, int]:
        """How many were made at ``at`` or later, by notifier."""
        return self._counted(scope, deliveries.c.created_at >= at)

    def delivery(self, scope: Scope, delivery_id: str) -> Delivery | None:
        """The delivery of that id, or None."""
        found = self._where(scope, deliveries.c.id == delivery_id, order=(), limit=1)
        return found[0] if found else None

    def deliveries(  # what people narrow a log by
        self,
        scope: Scope,
        *,
        notifier: str = "",
        state: DeliveryState | None = None,
        since: dt.datetime | None = None,
        limit: int = 1_000,
    ) -> list[Delivery]:
        """The log, newest first."""
        row = deliveries.c
        where: list[Any] = [row.notifier == notifier] if notifier else []
        where += [] if state is None else [row.state == state]
        where += [] if since is None else [row.created_at >= since]
        return self._where(scope, *where, order=(row.seq.desc(),), limit=limit)

    def claim(self, owner: Ownership, ids: Sequence[str]) -> frozenset[str]:
        """Begin a try of each of these that is pending still: a monitor that is fenced sends nothing, and a try counts
        though its end is never heard of. The ids of those whose try was begun."""

        def work(writing: Writing) -> frozenset[str]:
            row = deliveries.c
            statement = sa.update(deliveries).where(row.id.in_(sorted(ids)), _PENDING)
            statement = statement.values(attempts=row.attempts + 1)
            return frozenset(writing.connection.execute(statement.returning(row.id)).scalars())

        return self._owned.write(owner, work) if ids else frozenset()

    def settle(self, owner: Ownership, settled: Sequence[Delivery]) -> None:
        """Write down what became of tries: state, error, when it ended or is due again. What has come to its end stays
        so."""

        def work(writing: Writing) -> None:
            rows = [
                {
                    "b_id": one.id, "state": one.state, "error": one.error, "due_at": one.due_at,
                    "ended_at": one.ended_at,
                }
                for one in settled
            ]  # fmt: skip
            writing.connection.execute(_SETTLE, rows)

        if settled:
            self._owned.write(owner, work)

    def prune(self, owner: Ownership, *, before: dt.datetime) -> int:
        """Forget deliveries that came to their end before then, so many at once; how many they were."""

        def work(writing: Writing) -> int:
            old = sa.select(deliveries.c.seq).where(deliveries.c.ended_at < before).limit(PRUNED_AT_ONCE)
            return int(writing.connection.execute(sa.delete(deliveries).where(deliveries.c.seq.in_(old))).rowcount)

        def some(connection: Connection) -> bool:
            return connection.execute(
                sa.select(deliveries.c.seq).where(deliveries.c.ended_at < before).limit(1)
            ).first() is not None  # fmt: skip

        return self._owned.write(owner, work) if self._database.read(some) else 0

    def _counted(self, scope: Scope, *conditions: Any) -> Mapping[str, int]:
        row = deliveries.c
        statement = sa.select(row.notifier, sa.func.count()).where(*conditions, *covered(scope, row.tenant))
        return self._database.read(
            lambda connection: {
                str(one[0]): int(one[1]) for one in connection.execute(statement.group_by(row.notifier))
            }
        )

    def _where(self, scope: Scope, *conditions: Any, order: tuple[Any, ...], limit: int) -> list[Delivery]:
        row = deliveries.c
        statement = sa.select(*(row[name] for name in _DELIVERY)).where(*conditions, *covered(scope, row.tenant))
        statement = statement.order_by(*order).limit(limit)
        return self._database.read(lambda connection: [Delivery(*one) for one in connection.execute(statement)])


class _Tried(Exception):  # no error: it only takes the transaction back
    """Takes the transaction back."""


_TAKE = sa.delete(messages).where(messages.c.id == sa.bindparam("b_id"))
_SETTLE = (
    sa.update(deliveries)
    .where(deliveries.c.id == sa.bindparam("b_id"), _PENDING)
    .values({name: sa.bindparam(name) for name in ("state", "error", "due_at", "ended_at")})
)


def _put(writing: Writing, made: Sequence[Delivery]) -> None:
    if made:
        insert: Any = writing.insert(deliveries).on_conflict_do_nothing(index_elements=["id"])
        writing.connection.execute(insert, [{name: getattr(one, name) for name in _NEW} for one in made])


def _set_of(subject: str) -> str:
    """The uid of the set that a finding is about; empty when it is about none."""
    head = subject.partition("/")[0]
    return "" if ":" in head else head


def _names(connection: Connection, scope: Scope, uids: Sequence[str]) -> Mapping[str, str]:
    statement = sa.select(sets.c.uid, sets.c.name).where(sets.c.uid.in_(uids), *covered(scope, sets.c.tenant))
    return {one.uid: one.name for one in connection.execute(statement)}


def _named(connection: Connection, scope: Scope, found: Sequence[Any]) -> list[Message]:
    uids = {uid for uid in (_set_of(one.subject) for one in found) if uid}
    names = _names(connection, scope, sorted(uids)) if uids else {}
    return [_message(one, names) for one in found]


def _message(row: Any, names: Mapping[str, str]) -> Message:
    values = {name: getattr(row, name) for name in _MESSAGE}
    return Message(**{**values, "told": tuple(row.told)}, set_name=names.get(_set_of(row.subject), ""))
