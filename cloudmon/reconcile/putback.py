"""A store that was put back from an older copy, or cut: what it forgot is shown, and nothing is ended because of it.

What the store does not know any more cannot be told from what never was: a lease that was extended since reads as one
that ended, a node that was launched as one too many. So no lease runs out and nothing is ended because of what is seen,
until a person has looked; what people and files ask for now is done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from cloudmon.model.actions import ActionClass, Intent, LogEntry, Origin
from cloudmon.model.appliances import Member
from cloudmon.model.changes import Change, FindingEnd
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import DEFAULT_TENANT, ApplianceId
from cloudmon.reconcile.picture import Moment
from cloudmon.reconcile.plan import SetUpdate
from cloudmon.reconcile.sweep import ESTATE_CHAIN, Stray

STORE = "store"
"""Subject of the finding, and what is confirmed."""

Opened = Mapping[tuple[FindingKind, str], Finding]


def noticed(entries: int, chains: int, now: dt.datetime) -> Change:
    """What is written when so many entries of the action log, in so many chains, are not in the store any more."""
    message = (
        f"the store is older than what was written down beside it: {entries} entries of the action log, in {chains} "
        "chains, are missing, as after a restore from a copy; what was made since is among `cloudmon orphans`, and "
        "`cloudmon adopt` takes it back; nothing is ended that nobody asks for before `cloudmon confirm store`"
    )
    evidence = {"entries": entries, "chains": chains}
    return Change(
        tenant=DEFAULT_TENANT,
        findings=(Finding(FindingKind.SUSPICIOUS, STORE, DEFAULT_TENANT, "critical", message, evidence, now),),
        log=(LogEntry(ESTATE_CHAIN, now, "store.put-back", STORE, evidence),),
    )


def finding(opened: Opened, moment: Moment) -> Finding | None:
    """What was noticed, while nobody has confirmed it."""
    found = opened.get((FindingKind.SUSPICIOUS, STORE))
    return None if moment.confirmations.cover(STORE, moment.now) else found


def confirmed(opened: Opened, moment: Moment) -> tuple[Change, ...]:
    """The end of the finding once a person has looked."""
    found = opened.get((FindingKind.SUSPICIOUS, STORE))
    if found is None or finding(opened, moment) is not None:
        return ()
    entry = LogEntry(ESTATE_CHAIN, moment.now, "store.confirmed", STORE, {})
    return (Change(tenant=found.tenant, findings=(FindingEnd(found.kind, STORE),), log=(entry,)),)


def holds(intent: Intent, noticed: Finding | None) -> str:
    """Why an action is held back; empty when it is not."""
    destroys = intent.action_class is ActionClass.DESTRUCTIVE and intent.origin is not Origin.REQUEST
    if noticed is None or not destroys:
        return ""
    return "the store was put back from an older copy; `cloudmon confirm store` lets it end things again"


def decides(update: SetUpdate, noticed: Finding | None) -> bool:
    """Whether a set's new values may be written: an end that is decided is never taken back."""
    return noticed is None or "retiring_since" not in update.values


def lost(strays: Iterable[Stray], members: Iterable[Member]) -> dict[ApplianceId, Stray]:
    """Nodes that say they are a later incarnation of an appliance than the store knows of: the store was put back.
    Nothing is launched in the place of one that is there."""
    numbers = {member.id: member.incarnation for member in members}
    return {
        stray.appliance: stray
        for stray in strays
        if stray.kind is FindingKind.ORPHAN and stray.incarnation > numbers.get(stray.appliance, stray.incarnation)
    }
