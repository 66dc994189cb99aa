"""Where rules stand for appliances; set and cleared with the changes that the ledger writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from cloudmon.model.changes import RuleClear
from cloudmon.model.identity import ApplianceId
from cloudmon.model.policies import RuleState
from cloudmon.model.tenants import Scope
from cloudmon.store.database import Database
from cloudmon.store.owned import Writing
from cloudmon.store.rows import Insert
from cloudmon.store.scoping import standing
from cloudmon.store.tables import rule_states

_KEYS = ("set_uid", "ordinal", "rule")
_TOLD = ("since", "hits", "rung", "retry_at", "intent_id")
_COLUMNS = ("set_uid", "ordinal", "tenant", "rule", *_TOLD)
_ROW = sa.select(*(rule_states.c[name] for name in _COLUMNS)).order_by(*(rule_states.c[name] for name in _KEYS))
_CLEAR = sa.delete(rule_states).where(
    *(rule_states.c[name] == sa.bindparam(f"b_{name}") for name in (*_KEYS, "tenant"))
)


class Rules:
    """What must be known of rules from one look to the next."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, scope: Scope) -> list[RuleState]:
        """Every rule that does not stand as if it had never held, ordered by set, ordinal and rule."""
        statement = standing(_ROW, scope, rule_states.c.tenant)
        return self._database.read(
            lambda connection: [
                RuleState(ApplianceId(set_uid, ordinal), *fields)
                for set_uid, ordinal, *fields in connection.execute(statement)
            ]
        )


def write(writing: Writing, told: Mapping[tuple[str, str, int, str], RuleState | RuleClear]) -> None:
    """Set and clear what is ``told``, by tenant, set, ordinal and rule."""
    cleared, kept = [], []
    for (tenant, set_uid, ordinal, rule), one in told.items():
        if isinstance(one, RuleClear):
            cleared.append({"b_set_uid": set_uid, "b_ordinal": ordinal, "b_rule": rule, "b_tenant": tenant})
        else:
            key = {"set_uid": set_uid, "ordinal": ordinal, "rule": rule, "tenant": tenant}
            kept.append(key | {name: getattr(one, name) for name in _TOLD})
    if cleared:
        writing.connection.execute(_CLEAR, cleared)
    if kept:
        writing.connection.execute(_set(writing.insert), kept)


@cache
def _set(insert: Insert) -> Any:
    upsert = insert(rule_states)
    fresh = upsert.excluded
    return upsert.on_conflict_do_update(
        index_elements=list(_KEYS),
        set_={name: fresh[name] for name in _TOLD},
        where=rule_states.c.tenant == fresh.tenant,
    )
