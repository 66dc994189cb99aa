"""Counts what a call may still do under its budgets: what the store holds of the window, plus what the call opened."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudmon.model.actions import ActionClass, Intent, Origin
from cloudmon.model.changes import Budget, Change
from cloudmon.store.tables import intents

_Over = tuple[ActionClass, str | None, str | None, str | None]


class Tally:
    """The budgets of one call. Budgets that cover nothing the call opens are never counted."""

    def __init__(
        self, connection: Connection, budgets: Sequence[Budget], changes: Sequence[Change], now: dt.datetime
    ) -> None:
        self._over: defaultdict[_Over, list[Budget]] = defaultdict(list)
        for budget in budgets:
            self._over[budget.action_class, budget.tenant, budget.set_uid, budget.cloud].append(budget)
        self._used: dict[Budget, int] = {}
        if not budgets:
            return
        # Before anything is written: what this call opens is counted as it goes.
        for change in changes:
            if change.opens_intent is not None:
                for budget in self._covering(change.opens_intent):
                    if budget not in self._used:
                        self._used[budget] = _used(connection, budget, now)

    def allows(self, intent: Intent) -> bool:
        """Whether no budget that covers ``intent`` is used up. What somebody asked for is never held back here."""
        if intent.origin is Origin.REQUEST:
            return True
        return all(self._used[budget] < budget.limit for budget in self._covering(intent))

    def count(self, intent: Intent) -> None:
        """Count an intent that was opened."""
        for budget in self._covering(intent):
            self._used[budget] += 1

    def _covering(self, intent: Intent) -> list[Budget]:
        if not self._over:
            return []
        scopes = ((None, intent.tenant), (None, intent.appliance.set_uid), (None, intent.cloud))
        return [
            budget
            for tenant, set_uid, cloud in itertools.product(*scopes)
            for budget in self._over.get((intent.action_class, tenant, set_uid, cloud), ())
        ]


def _used(connection: Connection, budget: Budget, now: dt.datetime) -> int:
    row = intents.c
    where = [row.action_class == budget.action_class, row.created_at > now - dt.timedelta(seconds=budget.window_s)]
    if budget.tenant is not None:
        where.append(row.tenant == budget.tenant)
    if budget.set_uid is not None:
        where.append(row.set_uid == budget.set_uid)
    if budget.cloud is not None:
        where.append(row.cloud == budget.cloud)
    return int(connection.execute(sa.select(sa.func.count()).select_from(intents).where(*where)).scalar_one())
