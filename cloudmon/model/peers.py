"""The directory of a set: its members, where they are reached, and how they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudmon.model.appliances import ApplianceState, Incarnation, Member
from cloudmon.model.sets import ApplianceSet

_ENDED = frozenset({ApplianceState.RETIRING, ApplianceState.RETIRED})


@dataclass(frozen=True, slots=True)
class Peer:
    """One member, as the others see it."""

    name: str
    """``storefront/3``."""
    ordinal: int
    state: ApplianceState
    incarnation: int
    cloud: str
    private: tuple[str, ...] = ()
    """Addresses of its present node, by its cloud's word; none while it has no node that was seen."""
    public: tuple[str, ...] = ()


def directory(aset: ApplianceSet, members: Iterable[Member], rows: Iterable[Incarnation]) -> Sequence[Peer]:
    """Every member that is not on its way out, by ordinal.

    Arguments:
        rows: incarnations of the set, those at least that have not ended.
    """
    present = {(row.ordinal, row.number): row for row in rows}
    found = []
    for member in sorted(members, key=lambda one: one.ordinal):
        if member.state in _ENDED:
            continue
        row = present.get((member.ordinal, member.incarnation)) if member.node_id else None
        found.append(
            Peer(
                name=f"{aset.name}/{member.ordinal}",
                ordinal=member.ordinal,
                state=member.state,
                incarnation=member.incarnation,
                cloud=member.cloud,
                private=tuple(row.private_addresses) if row is not None else (),
                public=tuple(row.public_addresses) if row is not None else (),
            )
        )
    return found
