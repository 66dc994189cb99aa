"""Writes into the store what sets become: one author's view, as generations, and what a plan found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cloudmon import faultpoints
from cloudmon.model.actions import LogEntry
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import DEFAULT_TENANT
from cloudmon.model.sets import SetSpec
from cloudmon.model.tenants import EVERYONE
from cloudmon.reconcile import wanted
from cloudmon.reconcile.limits import Limits
from cloudmon.reconcile.plan import Plan
from cloudmon.reconcile.wanted import Put, Wanted
from cloudmon.store import Ownership, Store


def merge(
    store: Store, author: str, specs: Sequence[SetSpec], *, limits: Limits, confirmed: bool, now: dt.datetime
) -> Wanted:
    """What this view would change; nothing is written."""
    return _merged(store, author, specs, limits, confirmed, now)[0]


def _merged(  # one thing each, named by the caller
    store: Store, author: str, specs: Sequence[SetSpec], limits: Limits, confirmed: bool, now: dt.datetime
) -> tuple[Wanted, Finding | None]:
    """What this view would change, and the open finding that it is suspicious, if any; of one state of the store."""
    subject = f"file:{author}"

    def work() -> tuple[Wanted, Finding | None]:
        suspicious = (
            found
            for found in store.findings.open(EVERYONE)
            if found.kind is FindingKind.SUSPICIOUS and found.subject == subject
        )
        suspicion = next(suspicious, None)
        merged = wanted.merge(
            specs,
            store.sets.active(EVERYONE),
            store.sets.last_of_author(EVERYONE, author),
            store.sets.ended_of_author(EVERYONE, author),
            author=author,
            limits=limits,
            suspicion=suspicion,
            confirmed=confirmed,
            now=now,
        )
        return merged, suspicion

    return store.at_once(work)


def admit(  # noqa: PLR0913  # one thing each, named by the caller
    store: Store,
    owner: Ownership,
    author: str,
    specs: Sequence[SetSpec],
    *,
    limits: Limits,
    confirmed: bool,
    now: dt.datetime,
) -> Wanted:
    """Write what this view changes. Each set is written whole; a kill between two leaves the rest to the next call,
    which finds the same view and the same difference."""
    found, suspicion = _merged(store, author, specs, limits, confirmed, now)
    for put in found.puts:
        faultpoints.reached("wanted.before-generation")
        anew = _tried_anew(store, put, author, now)
        store.sets.put(
            owner, uid=put.uid, spec=put.spec, author=author, now=now, reason=f"as {author} says", changes=anew
        )
        faultpoints.reached("wanted.after-generation")
    for aset in found.retire:
        reason = wanted.withdrawn(author)
        store.sets.update(
            owner,
            aset.uid,
            now=now,
            log=LogEntry(aset.uid, now, "set.retiring", aset.name, {"reason": reason}),
            retiring_since=now,
            retired_reason=reason,
        )
    _say(store, owner, author, found.held, suspicion is not None, now)
    return found


def update(store: Store, owner: Ownership, plan: Plan, now: dt.datetime) -> None:
    """Write what a plan found of whole sets: leases, ends, and the way back to an earlier template."""
    for found in plan.set_updates:
        entry = LogEntry(found.uid, now, found.kind, found.uid, {"message": found.message})
        store.sets.update(owner, found.uid, now=now, log=entry, **found.values)
    for back in plan.generations:
        fresh = back.fresh
        before = store.sets.get(EVERYONE, fresh.uid)
        # A kill before leaves the same to the next tick; whoever wanted something else meanwhile has it.
        if before is None or before.generation != fresh.follows or before.retiring_since is not None:
            continue
        anew = _tried_anew(store, Put(fresh.uid, fresh.spec, before.spec), fresh.author, now)
        store.sets.put(
            owner, uid=fresh.uid, spec=fresh.spec, author=fresh.author, now=now, reason=fresh.reason,
            changes=(back.change, *anew),
        )  # fmt: skip


def _tried_anew(store: Store, put: Put, author: str, now: dt.datetime) -> list[Change]:
    before = store.sets.get(EVERYONE, put.uid) if put.uid is not None else None
    if before is None:
        return []
    members = store.members.of_set(EVERYONE, before.uid)
    return [wanted.forgotten(member, author, now) for member in wanted.tried_anew(before.spec, put.spec, members)]


def _say(store: Store, owner: Ownership, author: str, held: str, opened: bool, now: dt.datetime) -> None:
    """Keep the finding about a suspicious view open while it is held, and end it after."""
    subject = f"file:{author}"
    if held and not opened:
        finding = Finding(FindingKind.SUSPICIOUS, subject, DEFAULT_TENANT, "critical", f"{author}: {held}", {}, now)
        entry = LogEntry("estate", now, "breaker.held", subject, {"reason": held})
        store.ledger.write(owner, [Change(tenant=DEFAULT_TENANT, findings=(finding,), log=(entry,))], now=now)
    elif opened and not held:
        end = FindingEnd(FindingKind.SUSPICIOUS, subject)
        store.ledger.write(owner, [Change(tenant=DEFAULT_TENANT, findings=(end,))], now=now)
