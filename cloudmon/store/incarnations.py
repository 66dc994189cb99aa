"""Reads the resource aggregation table, and turns an incarnation into its row and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from cloudmon.errors import StoreError
from cloudmon.model.appliances import Incarnation, IncarnationState
from cloudmon.model.tenants import Scope
from cloudmon.model.updates import Made
from cloudmon.store.database import Database
from cloudmon.store.scoping import covered, standing
from cloudmon.store.tables import incarnations

OFFER_COLUMNS: Mapping[str, str] = {
    "key": "offer",
    "currency": "currency",
    "source": "price_source",
    "dated": "price_dated",
    "spot": "spot",
}
"""Keys of ``Incarnation.offer`` that have a text column of their own; ``price_per_hour`` has one of numbers."""

_KEYS = frozenset(("set_uid", "ordinal", "number", "tenant"))
_PLAIN = tuple(name for name in Incarnation.__dataclass_fields__ if name not in (*_KEYS, "offer"))
UPDATABLE = frozenset(_PLAIN) | frozenset(OFFER_COLUMNS.values()) | {"price_per_hour", "offer_more"}
_NEWEST_LAST = (incarnations.c.set_uid, incarnations.c.ordinal, incarnations.c.number)
_ALL_OPEN = (
    sa.select(incarnations).where(sa.text("incarnations.state IN ('opening', 'ending')")).order_by(*_NEWEST_LAST)
)
_MADE = (incarnations.c.cloud, incarnations.c.image, incarnations.c.user_data)


class Incarnations:
    """What stood behind which appliance, from when to when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, scope: Scope) -> list[Incarnation]:
        """Those whose node is to come or to go: opening or ending, of any set, retired ones included."""
        # Written out, so that the partial index over exactly these serves it.
        return self._read(standing(_ALL_OPEN, scope, incarnations.c.tenant))

    def of(self, scope: Scope, uid: str, ordinal: int | None = None) -> list[Incarnation]:
        """All of one appliance, or of a whole set, oldest first."""
        where = [incarnations.c.set_uid == uid]
        if ordinal is not None:
            where.append(incarnations.c.ordinal == ordinal)
        return self._where(scope, *where)

    def by_token(self, scope: Scope, token: str) -> Incarnation | None:
        """The one whose token this is; None for a token of none, and for an empty one."""
        found = self._where(scope, incarnations.c.token == token) if token else []
        return found[-1] if found else None

    def at(self, scope: Scope, uid: str, instant: dt.datetime) -> list[Incarnation]:
        """Those of a set that stood, or may have stood, at ``instant``."""
        row = incarnations.c
        return self._where(
            scope,
            row.set_uid == uid,
            row.state != IncarnationState.FAILED,
            row.opened_at <= instant,
            sa.or_(row.until.is_(None), row.until > instant),
        )

    def live(self, scope: Scope) -> list[Incarnation]:
        """All that have not ended and not failed, of any set: whatever may still have a node."""
        return self._where(scope, incarnations.c.state.not_in((IncarnationState.ENDED, IncarnationState.FAILED)))

    def makes(self, scope: Scope, uids: Collection[str]) -> list[tuple[str, Made]]:
        """By set uid, once each: what nodes of these sets' members, that live or are being launched, were asked for
        with. Nodes that were adopted have no part in it: nobody asked for them."""
        statement = sa.select(incarnations.c.set_uid, *_MADE).where(*_asked_for(scope, uids)).distinct()
        return self._database.read(
            lambda connection: [(uid, Made(*told)) for uid, *told in connection.execute(statement)]
        )

    def made(self, scope: Scope, uid: str) -> dict[int, Made]:
        """By ordinal of one set's members: what :meth:`makes` tells of them."""
        statement = sa.select(incarnations.c.ordinal, *_MADE).where(*_asked_for(scope, [uid]))
        return self._database.read(
            lambda connection: {ordinal: Made(*told) for ordinal, *told in connection.execute(statement)}
        )

    def _where(self, scope: Scope, *conditions: Any) -> list[Incarnation]:
        statement = sa.select(incarnations).where(*conditions, *covered(scope, incarnations.c.tenant))
        return self._read(statement.order_by(*_NEWEST_LAST))

    def _read(self, statement: sa.Select[Any]) -> list[Incarnation]:
        return self._database.read(lambda connection: [from_row(row) for row in connection.execute(statement)])


def from_row(row: Any) -> Incarnation:
    """The incarnation that a row of its table is."""
    return Incarnation(
        **{name: row._mapping[name] for name in _KEYS},
        **{name: row._mapping[name] for name in _PLAIN if name not in ("public_addresses", "private_addresses")},
        public_addresses=tuple(row.public_addresses),
        private_addresses=tuple(row.private_addresses),
        offer=_offer(row),
    )


def _offer(row: Any) -> dict[str, str]:
    found = {key: row._mapping[name] for key, name in OFFER_COLUMNS.items() if row._mapping[name] is not None}
    if row.price_per_hour is not None:
        found["price_per_hour"] = format(row.price_per_hour, "f")
    return found | dict(row.offer_more)


def _asked_for(scope: Scope, uids: Collection[str]) -> tuple[Any, ...]:
    row = incarnations.c
    there = row.state.in_((IncarnationState.OPENING, IncarnationState.LIVE))
    return (row.set_uid.in_(sorted(uids)), there, row.offer.is_not(None), *covered(scope, row.tenant))


def to_row(one: Incarnation) -> dict[str, Any]:
    """The row of a new incarnation."""
    values = {name: getattr(one, name) for name in (*_KEYS, *_PLAIN)}
    return values | _offer_columns(one.offer)


def columns_of(values: Mapping[str, object]) -> dict[str, Any]:
    """The columns that an update of an incarnation sets; its ``offer`` is several of them."""
    columns = dict(values)
    offer = columns.pop("offer", None)
    if offer is None:
        return columns
    if not isinstance(offer, Mapping):
        raise StoreError("an incarnation's offer is a mapping")
    return columns | _offer_columns(offer)


def _offer_columns(offer: Mapping[str, str]) -> dict[str, Any]:
    price = offer.get("price_per_hour")
    columns: dict[str, Any] = {name: offer.get(key) for key, name in OFFER_COLUMNS.items()}
    columns["price_per_hour"] = None if price is None else Decimal(price)
    columns["offer_more"] = {
        key: value for key, value in offer.items() if key not in OFFER_COLUMNS and key != "price_per_hour"
    }
    return columns
