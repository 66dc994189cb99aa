"""What clouds sell, as they said when they were last asked; and how placement ranked it for a set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.offers import Choice, Offer, Price
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.scoping import covered
from cloudmon.store.tables import offer_fetches, offers, placements, sets

_PLAIN = tuple(name for name in Offer.__dataclass_fields__ if name != "price")


class Offers:
    """Sizes at locations, with prices and their provenance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, cloud: str, offered: Iterable[Offer], now: dt.datetime) -> None:
        """Put ``offered`` in the place of everything known of ``cloud``; of equal keys the last one stands."""
        rows = {offer.key: {**_columns(offer), "key": offer.key} for offer in offered}

        def work(connection: Connection) -> None:
            connection.execute(sa.delete(offers).where(offers.c.cloud == cloud))
            connection.execute(sa.delete(offer_fetches).where(offer_fetches.c.cloud == cloud))
            connection.execute(sa.insert(offer_fetches), [{"cloud": cloud, "fetched_at": now}])
            if rows:
                connection.execute(sa.insert(offers), list(rows.values()))

        self._database.write(work)

    def of(self, cloud: str) -> tuple[list[Offer], dt.datetime | None]:
        """What a cloud sells, by key, and when it said so; None when it was never asked."""
        fetched = sa.select(offer_fetches.c.fetched_at).where(offer_fetches.c.cloud == cloud)

        def work(connection: Connection) -> tuple[list[Offer], dt.datetime | None]:
            return _read(connection, offers.c.cloud == cloud), connection.execute(fetched).scalar_one_or_none()

        return self._database.read(work)

    def fetched(self) -> dict[str, dt.datetime]:
        """By cloud: when it was asked last."""
        statement = sa.select(offer_fetches.c.cloud, offer_fetches.c.fetched_at)
        found = self._database.read(lambda connection: connection.execute(statement).all())
        return {row.cloud: row.fetched_at for row in found}

    def all(self) -> list[Offer]:
        """What all clouds sell, by cloud and key."""
        return self._database.read(_read)


class Placements:
    """How the offers were ranked for a generation of a set, and why the others lost."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def put(self, owner: Ownership, set_uid: str, generation: int, choices: Sequence[Choice], now: dt.datetime) -> None:
        """Put a ranking in the place of an earlier one of the same generation."""

        def work(writing: Writing) -> None:
            row = placements.c
            tenant = writing.connection.execute(sa.select(sets.c.tenant).where(sets.c.uid == set_uid)).scalar_one()
            same = sa.delete(placements).where(row.set_uid == set_uid, row.generation == generation)
            writing.connection.execute(same)
            about = {"set_uid": set_uid, "generation": generation, "tenant": tenant, "at": now}
            rows = [
                {**about, **_columns(choice.offer), "position": at, "fits": choice.fits, "reason": choice.reason}
                for at, choice in enumerate(choices)
            ]
            if rows:
                writing.connection.execute(sa.insert(placements), rows)

        self._owned.write(owner, work)

    def latest(self, scope: Scope, set_uid: str) -> list[Choice]:
        """The ranking of the newest generation that has one, best first; empty when none has."""
        row = placements.c
        newest = sa.select(sa.func.max(row.generation)).where(row.set_uid == set_uid).scalar_subquery()
        statement = sa.select(placements).where(row.set_uid == set_uid, row.generation == newest)
        statement = statement.where(*covered(scope, row.tenant)).order_by(row.position)
        return self._database.read(
            lambda connection: [
                Choice(_offer(found), found.fits, found.reason) for found in connection.execute(statement)
            ]
        )


def _read(connection: Connection, *conditions: Any) -> list[Offer]:
    statement = sa.select(offers).where(*conditions).order_by(offers.c.cloud, offers.c.key)
    return [_offer(row) for row in connection.execute(statement)]


def _columns(offer: Offer) -> dict[str, Any]:
    price = offer.price
    return {name: getattr(offer, name) for name in _PLAIN} | {
        "price_per_hour": price.per_hour if price else None,
        "currency": price.currency if price else None,
        "price_source": price.source if price else None,
        "price_dated": price.dated.isoformat() if price else None,
    }


def _offer(row: Any) -> Offer:
    values = row._mapping
    price = None
    if row.price_per_hour is not None:
        dated = dt.date.fromisoformat(row.price_dated)
        price = Price(row.price_per_hour, row.currency, row.price_source, dated)
    return Offer(price=price, **{name: values[name] for name in _PLAIN})
