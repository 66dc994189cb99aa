"""What members are made of, and where one stands in a roll-out of that: its image, and its user data.

What a node was asked for with is compared, never what its cloud says of it; what is not known, as of nodes that were
adopted, is no reason for anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import Intent
from cloudmon.model.appliances import ApplianceState, Member, Power
from cloudmon.model.findings import Finding
from cloudmon.model.sets import ApplianceSet, ControlKind, Template
from cloudmon.model.updates import Made, Updates, Upkeep
from cloudmon.reconcile.rollouts import Phase
from cloudmon.reconcile.sights import alarm, laid

_THERE = frozenset({ApplianceState.RUNNING, ApplianceState.FAULTED})
_WITHOUT_NODE = frozenset({ApplianceState.REQUESTED, ApplianceState.LAUNCHING})


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one set's members, by ordinal."""

    aset: ApplianceSet
    made: Mapping[int, Made]
    """What their nodes were asked for with."""
    replaced: Mapping[int, Sequence[Intent]]
    """Terminations that made room for them in this roll-out, oldest first."""
    watched: Mapping[int, dt.datetime]
    """Since when a roll-out watches them."""
    findings: Sequence[Finding]
    """Open ones."""
    user_data: str
    """The hash of what the template has."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one member."""

    state: ApplianceState
    since: dt.datetime
    """Since when it is in that state."""
    outdated: bool | None
    """Whether it was launched with something else than is wanted; None when that is not known."""
    off: bool = False
    """Whether somebody wants it off."""
    up_since: dt.datetime | None = None
    """Since when it runs with its applications up; None when it does not, or nobody can say."""
    replaced_at: dt.datetime | None = None
    """When this roll-out made room for its next node; None when it did not."""
    watched_since: dt.datetime | None = None
    """Since when a roll-out watches whether it becomes well; None when it was found well, or not replaced."""
    alarm: dt.datetime | None = None
    """When the newest of its critical findings opened that are open."""
    held: str = ""
    """What keeps its turn from it."""


def outdated(made: Made | None, template: Template, user_data: str) -> bool | None:
    """Whether a node was asked for with something else than the template has, whose hash of user data is given."""
    wanted = template.image(made.cloud) if made is not None else ""
    if made is None or not made.image or not wanted:
        return None
    return made.image != wanted or (made.user_data is not None and made.user_data != user_data)


def told(made: Made, template: Template) -> str:
    """What an outdated node was asked for with, for people."""
    same = made.image == template.image(made.cloud)
    return f"{made.image} with other user data" if same else made.image


def wanted(template: Template) -> str:
    """What is to be rolled out, for people."""
    return ", ".join(sorted(set(template.images.values())))


def seen(member: Member, known: Known, kept: Upkeep | None, held: str) -> Seen:
    """What is known of one member, of which its agent told ``kept``, and whose turn ``held`` keeps from it."""
    intents, watched = known.replaced.get(member.ordinal, ()), known.watched.get(member.ordinal)
    template = known.aset.spec.template
    return Seen(
        member.state,
        member.since,
        outdated(known.made.get(member.ordinal), template, known.user_data),
        member.wanted is not Power.RUNNING,
        up_since(member, template, kept),
        intents[-1].created_at if intents else None,
        watched,
        alarm(member, known.findings) if watched is not None else None,
        held,
    )


def up_since(member: Member, template: Template, kept: Upkeep | None) -> dt.datetime | None:
    """Since when it runs with its applications up; without an agent its cloud's word counts alone."""
    if member.state is not ApplianceState.RUNNING or (kept is None and template.agent):
        return None
    versions = kept.versions if kept is not None else ()
    if any(one.state != "up" for one in versions):
        return None
    return max([member.since, *(one.since for one in versions if one.since is not None)])


def kept_back(member: Member, aset: ApplianceSet, now: dt.datetime) -> str:
    """What its state, or somebody's hand, keeps from replacing it; empty when nothing."""
    if member.state not in _THERE or member.wanted is not Power.RUNNING or not member.node_id:
        return f"is {member.state}"
    by_hand = laid(aset, member.ordinal, now)
    if by_hand:
        return by_hand
    protect = aset.control(ControlKind.PROTECT, member.ordinal, now)
    return f"is protected by {protect.owner}: {protect.reason}" if protect is not None else ""


def phase(seen: Seen, aset: ApplianceSet, now: dt.datetime) -> Phase:
    """Where a member of a set stands."""
    # Whatever was done to it before: it has something else than is wanted.
    if seen.outdated:
        return Phase.HELD if seen.held else Phase.BEHIND
    # It was found well, or whoever turned it off ended the watch: what becomes of it is no matter of the roll-out.
    if seen.watched_since is None or seen.off:
        if seen.replaced_at is not None:
            return Phase.DONE
        # Its next node is launched with what is wanted.
        coming = seen.off and seen.state is ApplianceState.REQUESTED
        return Phase.CURRENT if coming or seen.outdated is False else Phase.UNKNOWN
    updates = aset.spec.template.updates or Updates()
    watched = dt.timedelta(seconds=updates.healthy_s + updates.patience_s)
    if seen.state is not ApplianceState.RUNNING:
        # Its former node has to end, and its next one to boot.
        launched = dt.timedelta(seconds=aset.spec.healing.verify_s + aset.spec.template.boot_timeout_s)
        if now >= seen.watched_since + launched + watched:
            return Phase.BROKEN
        return Phase.OUT if seen.state in _WITHOUT_NODE else Phase.SETTLING
    # A critical finding of before it was replaced says nothing of it now.
    alarmed = seen.alarm is not None and seen.alarm >= (seen.replaced_at or seen.watched_since)
    if seen.up_since is not None and not alarmed:
        steady = now >= seen.up_since + dt.timedelta(seconds=updates.healthy_s)
        return Phase.DONE if steady else Phase.SETTLING
    return Phase.SETTLING if now < max(seen.watched_since, seen.since) + watched else Phase.BROKEN
