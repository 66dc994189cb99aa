"""The life of a set: warnings before its lease ends, retirement, and the end of its last member."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.sets import ApplianceSet
from cloudmon.reconcile.plan import SetUpdate


def review(
    aset: ApplianceSet, states: Collection[ApplianceState], *, open_incarnations: bool, now: dt.datetime
) -> SetUpdate | None:
    """What is due for one set, or None.

    Arguments:
        aset: the set as the store holds it.
        states: the states of all its members.
        open_incarnations: whether any incarnation of it is still opening or ending.
        now: the instant of the tick.
    """
    # Everything of it has ended: it is history.
    if aset.retiring_since is not None:
        if not open_incarnations and all(state is ApplianceState.RETIRED for state in states):
            return SetUpdate(aset.uid, "set.retired", {"retired_at": now}, f"{aset.name} has ended")
        return None
    if aset.lease_end is None:
        return None
    # Expired, grace included: from here on no extension takes it back.
    end = aset.lease_end + dt.timedelta(seconds=aset.spec.lease.grace_s)
    if now >= end:
        reason = f"its lease ended at {aset.lease_end.isoformat(timespec='seconds')}"
        values: dict[str, object] = {"retiring_since": now, "retired_reason": reason}
        return SetUpdate(aset.uid, "set.retiring", values, f"{aset.name}: {reason}")
    # One warning for each mark that has been passed, the latest only.
    due = [mark for mark in aset.spec.lease.warn_s if now >= aset.lease_end - dt.timedelta(seconds=mark)]
    fresh = [mark for mark in due if mark not in aset.warned_s]
    if fresh:
        message = f"{aset.name}: its lease ends at {aset.lease_end.isoformat(timespec='seconds')}"
        values = {"warned_s": tuple(sorted({*aset.warned_s, *due}, reverse=True))}
        return SetUpdate(aset.uid, "lease.warning", values, message)
    return None


def due_at(aset: ApplianceSet, now: dt.datetime) -> dt.datetime | None:
    """When the next warning or the end of this set's lease falls due; None when nothing will."""
    if aset.lease_end is None or aset.retiring_since is not None:
        return None
    instants = [aset.lease_end - dt.timedelta(seconds=mark) for mark in aset.spec.lease.warn_s]
    instants.append(aset.lease_end + dt.timedelta(seconds=aset.spec.lease.grace_s))
    later = [instant for instant in instants if instant > now]
    return min(later) if later else None
