"""One author's view of wanted sets, against what the store holds.

A view changes and retires only sets that its author made, and one that suddenly asks for much less is held like a
suspicious listing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudmon.model.actions import LogEntry
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.changes import Change, Expect
from cloudmon.model.findings import Finding
from cloudmon.model.sets import ApplianceSet, SetSpec
from cloudmon.reconcile import setbacks
from cloudmon.reconcile.limits import Limits


@dataclass(frozen=True, slots=True)
class Put:
    """A new set (uid None) or the next generation of one."""

    uid: str | None
    spec: SetSpec
    previous: SetSpec | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a view changes."""

    puts: tuple[Put, ...]
    retire: tuple[ApplianceSet, ...]
    held: str = ""
    """Why ``shrinking`` and ``leaving`` wait; the rest is done. Empty when nothing is held."""
    foreign: tuple[str, ...] = ()
    """Sentences about sets that belong to other authors and were left alone."""
    shrinking: tuple[Put, ...] = ()
    leaving: tuple[ApplianceSet, ...] = ()


def withdrawn(author: str) -> str:
    """The reason of a set's end when its author's view does not name it any more; named again, it is made again."""
    return f"{author} does not name it any more"


def tried_anew(before: SetSpec, after: SetSpec, members: Iterable[Member]) -> list[Member]:
    """The members of a set for which setbacks do not count any more once it is asked for as ``after``: those that are
    not well, where what they are made of, or may live on, is not what failed."""
    if (before.template, before.clouds) == (after.template, after.clouds):
        return []
    calm = (ApplianceState.RUNNING, ApplianceState.RETIRING, ApplianceState.RETIRED)
    return [member for member in members if member.state not in calm and setbacks.any_of(member)]


def forgotten(member: Member, author: str, now: dt.datetime) -> Change:
    """What is written of a member that is tried anew."""
    reason = f"{author} asks for something else than what failed"
    return Change(
        tenant=member.tenant,
        appliance=member.id,
        expect=Expect(member.state, member.incarnation),
        member=setbacks.FORGOTTEN,
        log=(LogEntry(member.set_uid, now, "appliance.wanted", f"{member.ordinal}", {"reason": reason}),),
    )


def merge(  # noqa: PLR0913  # one thing each, named by the caller
    specs: Sequence[SetSpec],
    active: Sequence[ApplianceSet],
    last: Mapping[tuple[str, str], SetSpec],
    ended: Mapping[tuple[str, str], tuple[SetSpec, str]],
    *,
    author: str,
    limits: Limits,
    suspicion: Finding | None,
    confirmed: bool,
    now: dt.datetime,
) -> Wanted:
    """What one author's view changes.

    Arguments:
        specs: the view, whole.
        active: sets that are not wholly retired.
        last: by tenant and name, this author's newest generation of each active set it made: a view that says the same
            again changes nothing, even where somebody else changed the set since.
        ended: by tenant and name, this author's newest generation of sets that have ended, and why they did. What has
            ended stays ended: a view that goes on saying the same does not bring it back.
        author: whose view it is.
        limits: what counts as suddenly much less.
        suspicion: the open finding about this author's view, or None.
        confirmed: whether a person said that it is meant.
        now: the instant of asking.
    """
    by_name = {(aset.tenant, aset.name): aset for aset in active}
    puts: list[Put] = []
    foreign: list[str] = []
    lost = 0
    for spec in specs:
        key = (spec.tenant, spec.name)
        aset = by_name.get(key)
        if aset is None:
            why = _over(spec, ended.get(key), author, now)
            if why:
                foreign.append(f"set {spec.name} is not made again: {why}")
            else:
                puts.append(Put(None, spec, None))
        elif key not in last:
            foreign.append(f"set {spec.name} belongs to {aset.author} and is left as it is")
        elif aset.retiring_since is not None:
            foreign.append(f"set {spec.name} is being retired ({aset.retired_reason}); it can be made again after that")
        elif spec != last[key]:
            puts.append(Put(aset.uid, spec, last[key]))
            lost += max(0, aset.spec.count - spec.count)
    named = {(spec.tenant, spec.name) for spec in specs}
    mine = [aset for aset in active if (aset.tenant, aset.name) in last and aset.retiring_since is None]
    retire = [aset for aset in mine if (aset.tenant, aset.name) not in named]
    lost += sum(aset.spec.count for aset in retire)
    total = sum(aset.spec.count for aset in mine)
    # Suddenly much less, and nobody said that it is meant: what shrinks waits, what grows does not.
    suspicious = lost >= limits.shrink_min and lost >= limits.shrink_fraction * total
    if suspicious and not confirmed and not _outlived(suspicion, limits, now):
        held = (
            f"it asks for {lost} appliances fewer of {total}; `cloudmon apply` confirms it, "
            f"else it is believed after {limits.shrink_grace_s} s"
        )
        growing = tuple(put for put in puts if put.previous is None or put.spec.count >= put.previous.count)
        shrinking = tuple(put for put in puts if put not in growing)
        return Wanted(growing, (), held, tuple(foreign), shrinking, tuple(retire))
    return Wanted(tuple(puts), tuple(retire), "", tuple(foreign))


def _over(spec: SetSpec, ended: tuple[SetSpec, str] | None, author: str, now: dt.datetime) -> str:
    """Why a set is not made although it is named; empty when it is."""
    end = spec.lease.ends(now)
    if end is not None and now >= end:
        return f"its lease ended at {end.isoformat(timespec='seconds')}"
    if ended is not None and ended[0] == spec and ended[1] != withdrawn(author):
        return f"it ended, because {ended[1]}; change what is asked for to have it again"
    return ""


def _outlived(suspicion: Finding | None, limits: Limits, now: dt.datetime) -> bool:
    return suspicion is not None and now >= suspicion.opened_at + dt.timedelta(seconds=limits.shrink_grace_s)
