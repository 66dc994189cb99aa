"""A roll-out of one version of one application over a set: whose turn it is, and whether it has failed.

Nothing is kept of it but its intents and, once it has failed, an open incident: what each member stands at follows from
those and from what its agent told last. So a roll-out outlives the monitor, and goes on where it was.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import OPEN_INTENTS, Intent, IntentState
from cloudmon.model.appliances import Member
from cloudmon.model.commands import FETCH_S, unfetched
from cloudmon.model.sets import Template
from cloudmon.model.updates import Updates, Version

UNDO = "undo"
"""In the evidence of an intent that takes an update back."""
FROM = "from"
"""In the evidence of an update: the version before."""
MOST_DOUBLED = 8
"""How often the time is doubled after which a member is told again that did not fetch what it was told."""


class Phase(enum.StrEnum):
    """Where one member stands in a roll-out."""

    BEHIND = "behind"
    """Outdated, and its turn has not come."""
    HELD = "held"
    """Outdated, and somebody or something keeps its turn from it."""
    OUT = "out"
    """Being updated, or taken back."""
    SETTLING = "settling"
    """Updated, and not well for long enough yet."""
    DONE = "done"
    """Updated by the roll-out, and well."""
    CURRENT = "current"
    """At its wanted version without it."""
    BROKEN = "broken"
    """Updated, and not well; or nobody knows what became of it."""
    REFUSED = "refused"
    """Its update failed, and changed nothing."""
    UNDONE = "undone"
    """Taken back, or tried to."""
    UNKNOWN = "unknown"
    """Nobody knows what it has."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one member."""

    incarnation: int
    version: Version | None
    """None when its agent is not heard."""
    intents: tuple[Intent, ...] = ()
    """Its part of the roll-out, oldest first."""
    alarm: dt.datetime | None = None
    """When the newest of its critical findings opened that are open."""
    held: str = ""
    """What keeps its turn from it."""


def key(uid: str, generation: int, application: str, target: str) -> str:
    """What all intents of one roll-out have as their request: another generation of the set begins it anew."""
    told = "\0".join((uid, str(generation), application, target))
    return "rollout-" + hashlib.sha256(told.encode()).hexdigest()[:24]


def key_of_image(uid: str, template: Template) -> str:
    """The same of a roll-out of what members are made of: whatever else is changed of the set, it goes on."""
    images = (f"{cloud}={image}" for cloud, image in sorted(template.images.items()))
    told = "\0".join((uid, *images, template.user_data_hash()))
    return "rollout-" + hashlib.sha256(told.encode()).hexdigest()[:24]


def phase(seen: Seen, updates: Updates, now: dt.datetime) -> Phase:
    """Where a member stands."""
    version = seen.version
    mine = [intent for intent in seen.intents if intent.incarnation == seen.incarnation]
    last = mine[-1] if mine else None
    if last is None:
        if version is None or version.outdated is None:
            return Phase.UNKNOWN
        if not version.outdated:
            return Phase.CURRENT
        return Phase.HELD if seen.held else Phase.BEHIND
    if last.state in OPEN_INTENTS:
        return Phase.OUT
    at_it = version is not None and version.outdated is False
    current = at_it and version is not None and version.state == "up"
    # Somebody put it right, and it fell later: no matter of the roll-out.
    fell_later = at_it and not current and _fell_later(version, last, updates, now)
    if last.evidence.get(UNDO):
        return Phase.CURRENT if current or fell_later else Phase.UNDONE
    if last.state is IntentState.FAILED:
        # It came up after all, or somebody put it right.
        if fell_later or (current and version is not None and _steady(version, last, updates, now)):
            return Phase.CURRENT
        known = version is not None and (version.have != "" or version.absent)
        unchanged = known and version is not None and version.have == last.evidence.get(FROM)
        return Phase.REFUSED if unchanged else Phase.BROKEN
    return _settled(seen, last, updates, now)


def _steady(version: Version, last: Intent, updates: Updates, now: dt.datetime) -> bool:
    since = max(last.ended_at or last.created_at, version.since or last.created_at)
    return now >= since + dt.timedelta(seconds=updates.healthy_s)


def _deadline(last: Intent, updates: Updates) -> dt.datetime:
    """Until when a member is watched."""
    return (last.ended_at or last.created_at) + dt.timedelta(seconds=updates.healthy_s + updates.patience_s)


def _fell_later(version: Version | None, last: Intent, updates: Updates, now: dt.datetime) -> bool:
    """Whether it came into its present state when it had been watched to the end."""
    deadline = _deadline(last, updates)
    return now >= deadline and version is not None and version.since is not None and version.since > deadline


def _settled(seen: Seen, last: Intent, updates: Updates, now: dt.datetime) -> Phase:
    """Of a member whose update came to a good end."""
    version, deadline = seen.version, _deadline(last, updates)
    # Something got worse while it was watched.
    if seen.alarm is not None and last.created_at <= seen.alarm <= deadline:
        return Phase.BROKEN
    well = version is not None and version.outdated is False and version.state == "up"
    if well and version is not None and (now >= deadline or _steady(version, last, updates, now)):
        return Phase.DONE
    if now < deadline:
        return Phase.SETTLING
    # It was watched to the end, and fell later: no matter of the roll-out.
    return Phase.DONE if _fell_later(version, last, updates, now) else Phase.BROKEN


class State(enum.StrEnum):
    """Where a roll-out stands."""

    DONE = "done"
    ROLLING = "rolling"
    HELD = "held"
    """Something is left to do, and nobody's turn can come."""
    FAILED = "failed"
    """Nothing more is updated; what is to be taken back is."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is due in a roll-out now."""

    state: State
    update: tuple[int, ...] = ()
    """Ordinals that are to be updated."""
    undo: tuple[int, ...] = ()
    """Ordinals that are to be taken back."""
    broken: int | None = None
    """The member that it failed at, while it is known."""


TOUCHED = (Phase.BROKEN, Phase.SETTLING, Phase.DONE)
"""What goes back where a roll-out failed, in this order."""
_FAILED = frozenset({Phase.BROKEN, Phase.REFUSED, Phase.UNDONE})
_LEFT = frozenset({Phase.BEHIND, Phase.HELD, Phase.UNKNOWN})


def decide(  # one thing each, named by the caller
    updates: Updates,
    phases: Mapping[int, Phase],
    *,
    failed: bool,
    out: int = 0,
    held: Collection[int] = (),
    first: Collection[int] = (),
) -> Decision:
    """Whose turn it is.

    Arguments:
        updates: how the roll-out goes.
        phases: of the set's living members, by ordinal.
        failed: whether it has failed before: an incident says so.
        out: members out of service for another reason.
        held: ordinals that nothing can be done to now, and those that have nothing to go back to.
        first: ordinals that go before the others.
    """
    order = sorted(phases, key=lambda n: (n not in first, n))
    busy = out + sum(1 for one in phases.values() if one is Phase.OUT)
    culprits = [n for n in order if phases[n] in _FAILED]
    # It failed: nothing more is updated, and what was goes back, the broken first.
    if failed or culprits:
        touched = [n for kind in TOUCHED for n in order if phases[n] is kind and n not in held]
        room = max(0, updates.batch - busy)
        undo = tuple(touched[:room]) if updates.on_failure == "roll-back" else ()
        return Decision(State.FAILED, undo=undo, broken=culprits[0] if culprits else None)
    settling = sum(1 for one in phases.values() if one is Phase.SETTLING)
    done = sum(1 for one in phases.values() if one is Phase.DONE)
    # Until the canaries are well nobody else has a turn.
    allowed = updates.batch if done >= updates.canary else min(updates.batch, updates.canary - done)
    room = max(0, allowed - busy - settling)
    behind = [n for n in order if phases[n] is Phase.BEHIND and n not in held]
    if busy - out or settling or behind:
        return Decision(State.ROLLING, update=tuple(behind[:room]))
    return Decision(State.HELD if _LEFT & set(phases.values()) else State.DONE)


def by_ordinal(intents: Iterable[Intent]) -> dict[int, tuple[Intent, ...]]:
    """The intents of a roll-out by the member that they are for, oldest first, but for commands that nobody fetched."""
    found: dict[int, tuple[Intent, ...]] = {}
    for intent in sorted(intents, key=lambda one: (one.created_at, one.id)):
        if unfetched(intent):
            continue
        found[intent.appliance.ordinal] = (*found.get(intent.appliance.ordinal, ()), intent)
    return found


def before(intents: Sequence[Intent]) -> str:
    """The version that a member goes back to if its roll-out fails, by its part of that; empty where it had none."""
    return str(intents[-1].evidence.get(FROM) or "") if intents else ""


def passed_over(member: Member, intents: Iterable[Intent], now: dt.datetime) -> str:
    """What keeps the turn from a member whose agent did not fetch what it was told: that is no failure of the roll-out,
    and the others go on. Longer each time; empty when its turn may come."""
    ended = [
        one.ended_at or one.created_at
        for one in intents
        if one.appliance == member.id and one.incarnation == member.incarnation and unfetched(one)
    ]
    if not ended:
        return ""
    again = max(ended) + dt.timedelta(seconds=FETCH_S * 2 ** min(len(ended) - 1, MOST_DOUBLED))
    return f"its agent did not fetch it; told again from {again:%H:%M:%S} UTC on" if now < again else ""
