"""Observation spans: one row says from when to when a cloud was seen whole. All that a quiet tick writes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from cloudmon.model.tenants import Scope
from cloudmon.model.usage import Span
from cloudmon.store import migrations
from cloudmon.store.database import Database
from cloudmon.store.owned import Owned, Ownership, Writing
from cloudmon.store.tables import estates, observation_spans

_FIELDS = tuple(Span.__dataclass_fields__)
_ROW = sa.select(*(observation_spans.c[name] for name in _FIELDS))
_ID = observation_spans.c.id

# The fence is part of the statement, so that the usual case is one statement and nothing else.
_EXTEND = (
    sa.update(observation_spans)
    .where(
        observation_spans.c.cloud == sa.bindparam("b_cloud"),
        sa.text("observation_spans.open"),
        observation_spans.c.epoch == sa.bindparam("b_epoch"),
        observation_spans.c.until >= sa.bindparam("b_oldest"),
        sa.exists().where(estates.c.epoch == sa.bindparam("b_epoch")),
        migrations.VERSION.scalar_subquery() == migrations.NEWEST,
    )
    .values(
        until=sa.case(
            (observation_spans.c.until < sa.bindparam("b_at"), sa.bindparam("b_at")),
            else_=observation_spans.c.until,
        )
    )
)


class Spans:
    """What we can vouch for having seen."""

    def __init__(self, database: Database, owned: Owned) -> None:
        self._database = database
        self._owned = owned

    def extend(self, owner: Ownership, cloud: str, at: dt.datetime, *, max_gap_s: float) -> None:
        """Say that ``cloud`` was seen whole at ``at``.

        Extends the open span when it is of this epoch and was last extended at most ``max_gap_s`` before; else that
        one is closed where it stood and a new one begins. An ``at`` before the span's end, as after a clock that was
        set back, changes nothing. Raises Fenced.
        """
        oldest = at - dt.timedelta(seconds=max_gap_s)
        values = {"b_cloud": cloud, "b_epoch": owner.epoch, "b_oldest": oldest, "b_at": at}
        if self._database.write(lambda connection: connection.execute(_EXTEND, values).rowcount) == 0:
            self._owned.write(owner, lambda writing: _begin(writing, cloud, at))

    def end(self, owner: Ownership, cloud: str, at: dt.datetime, reason: str) -> None:  # noqa: ARG002
        """End the open span of ``cloud`` where it was last extended, not at ``at``: what came after was not seen."""
        self._owned.write(owner, lambda writing: _close(writing, cloud, reason))

    def of(self, scope: Scope, cloud: str, since: dt.datetime | None = None) -> list[Span]:  # noqa: ARG002
        """Spans of a cloud, oldest first; with ``since`` those that end at it or later. Clouds belong to the estate, so
        every scope sees them."""
        row = observation_spans.c
        where = [row.cloud == cloud] if since is None else [row.cloud == cloud, row.until >= since]
        return self._where(_ROW.where(*where).order_by(row.since, _ID))

    def latest(self) -> dict[str, Span]:
        """The newest span of each cloud, open or ended."""
        newest = sa.select(sa.func.max(_ID)).group_by(observation_spans.c.cloud)
        return {span.cloud: span for span in self._where(_ROW.where(_ID.in_(newest)).order_by(_ID))}

    def _where(self, statement: sa.Select[Any]) -> list[Span]:
        return self._database.read(lambda connection: [Span(*row) for row in connection.execute(statement)])


def _begin(writing: Writing, cloud: str, at: dt.datetime) -> None:
    _close(writing, cloud, "not seen for too long, or by another monitor")
    span = Span(cloud=cloud, since=at, until=at, epoch=writing.epoch, open=True)
    row = {name: getattr(span, name) for name in _FIELDS}
    writing.connection.execute(sa.insert(observation_spans), [row])


def _close(writing: Writing, cloud: str, reason: str) -> None:
    row = observation_spans.c
    statement = sa.update(observation_spans).where(row.cloud == cloud, sa.text("observation_spans.open"))
    writing.connection.execute(statement.values(open=False, reason=reason))
