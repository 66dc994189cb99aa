"""``cloudmon diff``: what is different between two instants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from cloudmon.cli import output
from cloudmon.cli.options import Config, Format, Output, Tenant, Until
from cloudmon.cli.output import Column
from cloudmon.errors import RequestRefused
from cloudmon.model import specs

if TYPE_CHECKING:
    from cloudmon.model.appliances import Incarnation
    from cloudmon.model.sets import ApplianceSet
    from cloudmon.model.tenants import Scope
    from cloudmon.store import Store

COLUMNS = (
    Column("subject", "SUBJECT"),
    Column("field", "FIELD"),
    Column("before", "BEFORE"),
    Column("after", "AFTER"),
    Column("changes", "CHANGES BETWEEN", right=True),
)
Facts = Mapping[str, object]
FIRST = frozenset({"generation", "author", "count", "template.name"})


def _flat(value: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested values under dotted names, empty ones left out."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        elif item not in (None, "", [], ()):
            yield f"{prefix}{key}", item


def diff(  # one option each
    target: Annotated[str, typer.Argument(help="One appliance (storefront/3), or a whole set.")],
    since: Annotated[str, typer.Option("--since", help="The earlier instant: 1h ago, or ISO 8601.")],
    until: Until = None,
    config: Config = None,
    tenant: Tenant = None,
    form: Output = Format.TABLE,
) -> None:
    """Show what is different between two instants: state, node, place, addresses, and what was wanted.

    The last column counts changes of state in between, which may have come back to where they began.
    """
    from cloudmon.cli import opening

    with opening.opened(config, tenant) as at:
        named = opening.find(at.store, at.scope, target)
        before = opening.when(since, at.now, option="--since") or at.now
        after = opening.when(until, at.now, option="--until") or at.now
        if before >= after:
            raise RequestRefused(f"--since {output.moment(before)} is not before {output.moment(after)}")
        span = Between(at.store, at.scope, named.aset, before, after)
        rows = list(span.rows(named.ordinal))
    output.emit(rows, COLUMNS, form, empty=f"nothing changed in {output.duration((after - before).total_seconds())}")


class Between:
    """Two instants of a set, side by side."""

    def __init__(self, store: Store, scope: Scope, aset: ApplianceSet, before: dt.datetime, after: dt.datetime) -> None:
        self._store = store
        self._scope = scope
        self._aset = aset
        self._instants = (before, after)
        self._generations = store.sets.generations(scope, aset.uid)
        self._incarnations = store.incarnations.of(scope, aset.uid)

    def rows(self, ordinal: int | None) -> Iterator[output.Row]:
        yield from self._changed(self._aset.name, [self._wanted(instant) for instant in self._instants], None)
        for member in self._store.members.of_set(self._scope, self._aset.uid):
            if ordinal not in (None, member.ordinal):
                continue
            facts = [self._facts(member.ordinal, instant) for instant in self._instants]
            changes = self._store.members.history(
                self._scope, self._aset.uid, member.ordinal, self._instants[0], self._instants[1]
            )
            yield from self._changed(f"{self._aset.name}/{member.ordinal}", facts, len(changes))

    def _changed(self, subject: str, facts: list[Facts], changes: int | None) -> Iterator[output.Row]:
        before, after = facts
        # Of what was not there before, only how much of it is wanted; `sets show -o json` has it all.
        fields = {**before, **after} if before else {key: 0 for key in after if key in FIRST}
        for field in fields:
            was, became = before.get(field), after.get(field)
            restless = field == "state" and bool(changes)
            if was != became or restless:
                count = changes if field == "state" else None
                yield {"subject": subject, "field": field, "before": was, "after": became, "changes": count}

    def _wanted(self, instant: dt.datetime) -> Facts:
        """The generation that was wanted at ``instant``."""
        found = [row for row in self._generations if row[3] <= instant]
        if not found:
            return {}
        generation, author, spec, _ = found[-1]
        return {"generation": generation, "author": author, **dict(_flat(specs.to_json(spec)))}

    def _facts(self, ordinal: int, instant: dt.datetime) -> Facts:
        """What an appliance was, and what stood behind it."""
        one = self._stood(ordinal, instant)
        return {
            "state": self._store.members.at(self._scope, self._aset.uid, ordinal, instant),
            "incarnation": one.number if one is not None else None,
            "cloud": one.cloud if one is not None else None,
            "location": one.location if one is not None else None,
            "size": one.size if one is not None else None,
            "image": one.image if one is not None else None,
            "node": one.node_id if one is not None else None,
            "addresses": [*one.public_addresses, *one.private_addresses] if one is not None else None,
        }

    def _stood(self, ordinal: int, instant: dt.datetime) -> Incarnation | None:
        """The newest incarnation that was opened by then and had not ended."""
        found = [
            one
            for one in self._incarnations
            if one.ordinal == ordinal and one.opened_at <= instant and (one.until is None or instant < one.until)
        ]
        return found[-1] if found else None
