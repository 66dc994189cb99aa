"""The life of a set: warnings before its lease ends, retirement, and the end of its last member."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping

from cloudmon.model.appliances import ApplianceState
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
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


def findings(
    sets: Mapping[str, ApplianceSet],
    updates: Iterable[SetUpdate],
    opened: Mapping[tuple[FindingKind, str], Finding],
    now: dt.datetime,
) -> Iterator[Change]:
    """What is written so that people see which leases end soon: a finding from the first warning on, said anew with
    each, until the lease is extended or the set retires.

    Arguments:
        sets: by uid, those that have not ended wholly.
        updates: what is due for them now, from :func:`review`.
        opened: all open findings.
        now: the instant of the tick.
    """
    due = {update.uid: update for update in updates}
    for uid, aset in sets.items():
        update = due.get(uid)
        values = update.values if update is not None else {}
        warned = values.get("warned_s", aset.warned_s)
        before = opened.get((FindingKind.LEASE, uid))
        is_ending = aset.retiring_since is not None or "retiring_since" in values
        if aset.lease_end is None or not warned or is_ending:
            if before is not None:
                yield _over(before)
            continue
        assert isinstance(warned, tuple)  # noqa: S101  # as the set's own
        left, end = _span(min(warned)), f"{aset.lease_end:%Y-%m-%d %H:%M:%SZ}"
        message = f"{aset.name}: {left} or less is left of its lease, which ends at {end}"
        if before is None or before.message != message:
            evidence = {"lease_end": aset.lease_end.isoformat(), "grace_s": aset.spec.lease.grace_s}
            said = Finding(FindingKind.LEASE, uid, aset.tenant, "warning", message, evidence, now)
            yield Change(tenant=aset.tenant, findings=(said,))
    for (kind, uid), before in opened.items():
        if kind is FindingKind.LEASE and uid not in sets:
            yield _over(before)


def _over(finding: Finding) -> Change:
    return Change(tenant=finding.tenant, findings=(FindingEnd(finding.kind, finding.subject),))


def _span(seconds: int) -> str:
    """``3d``, ``90m``: in the greatest unit that needs no fraction."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def due_at(aset: ApplianceSet, now: dt.datetime) -> dt.datetime | None:
    """When the next warning or the end of this set's lease falls due; None when nothing will."""
    if aset.lease_end is None or aset.retiring_since is not None:
        return None
    instants = [aset.lease_end - dt.timedelta(seconds=mark) for mark in aset.spec.lease.warn_s]
    instants.append(aset.lease_end + dt.timedelta(seconds=aset.spec.lease.grace_s))
    later = [instant for instant in instants if instant > now]
    return min(later) if later else None
