"""Views are doubted before they are believed: what lacks too much to be true is marked, and so is a cloud that nobody
looks at any more though nodes of ours are there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

from cloudmon.model.appliances import ApplianceState, IncarnationState
from cloudmon.model.changes import Change, FindingEnd, Timer, TimerClear, TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import DEFAULT_TENANT
from cloudmon.reconcile.index import Index
from cloudmon.reconcile.picture import CloudView, Moment

CLOUD = "cloud:"
_WITHOUT_NODE = (ApplianceState.REQUESTED, ApplianceState.RETIRED)


def doubt(views: Mapping[str, CloudView], index: Index, moment: Moment) -> tuple[dict[str, CloudView], list[Change]]:
    """The views with their suspicious absences marked, and what is to be written about that: if everything vanished
    at once it is our eyes that broke. A cloud that the settings do not name, and that nodes of ours are in, is added
    as one that cannot be seen: so it is in each finding, note and span."""
    found: dict[str, CloudView] = {}
    changes: list[Change] = []
    views = {**views, **_unnamed(views, index, moment)}
    for cloud, view in views.items():
        found[cloud], change = _doubt(view, index, moment)
        if change is not None:
            changes.append(change)
    ended = _forgotten(views, index)
    if ended:
        changes.append(Change(tenant=DEFAULT_TENANT, findings=ended))
    return found, changes


def _unnamed(views: Mapping[str, CloudView], index: Index, moment: Moment) -> dict[str, CloudView]:
    found = {}
    for cloud in sorted({*index.by_cloud, *index.rows_by_cloud} - {*views, ""}):
        members, rows = index.by_cloud.get(cloud, ()), index.rows_by_cloud.get(cloud, ())
        ours = {(one.set_uid, one.ordinal, one.incarnation) for one in members if one.state not in _WITHOUT_NODE}
        ours |= {(row.set_uid, row.ordinal, row.number) for row in rows if row.state is IncarnationState.ENDING}
        if ours:
            nodes = "1 node of ours is" if len(ours) == 1 else f"{len(ours)} nodes of ours are"
            reason = f"the settings do not name it, but {nodes} there; name it again until all there is retired"
            found[cloud] = CloudView(cloud, healthy=False, observed_at=moment.now, nodes={}, reason=reason)
    return found


def _forgotten(views: Mapping[str, CloudView], index: Index) -> tuple[FindingEnd, ...]:
    """What was found of clouds that are not named any more, and that nothing of ours is left in."""
    kinds = (FindingKind.UNREACHABLE, FindingKind.SUSPICIOUS)
    return tuple(
        FindingEnd(kind, subject)
        for kind, subject in index.findings
        if kind in kinds and subject.startswith(CLOUD) and subject.removeprefix(CLOUD) not in views
    )


def _doubt(view: CloudView, index: Index, moment: Moment) -> tuple[CloudView, Change | None]:
    findings = _cloud_findings(view, index, moment)
    timers = index.timers.get((view.cloud, 0), {})
    since = timers.get(TimerKind.VANISHED)
    suspicious = ""
    writes: tuple[Timer | TimerClear, ...] = ()
    if view.healthy:
        lost, known = _lost(view, index)
        limits = moment.limits
        vanished = lost > 0 and lost >= limits.vanish_min and lost >= limits.vanish_fraction * known
        if vanished:
            grace = dt.timedelta(seconds=limits.vanish_grace_s)
            outlived = since is not None and moment.now >= since + grace
            if not outlived and not moment.confirmations.cover(f"{CLOUD}{view.cloud}", moment.now):
                suspicious = f"{lost} of {known} known nodes are missing from one listing of {view.cloud}"
            if since is None:
                writes = (Timer(view.cloud, 0, TimerKind.VANISHED, moment.now),)
        elif since is not None:
            writes = (TimerClear(view.cloud, 0, TimerKind.VANISHED),)
        findings += _suspicion(view, suspicious, index, moment)
    change = Change(tenant=DEFAULT_TENANT, findings=findings, timers=writes) if findings or writes else None
    return (replace(view, suspicious=suspicious) if suspicious else view), change


def _lost(view: CloudView, index: Index) -> tuple[int, int]:
    """How many nodes the listing lacks, and of how many; of none where it lacks none, which is quick to see."""
    if index.all_shown(view) and not view.lacked:
        return 0, 0
    launching = ApplianceState.LAUNCHING
    # A node that is known and whose launch is over was seen before: those are the ones that can be missed.
    known = [m.node_id for m in index.by_cloud[view.cloud] if m.node_id and m.state is not launching]
    # A listing that lacked what is there lacked it, even where asking one by one made up for that.
    return sum(1 for node_id in known if node_id not in view.nodes or node_id in view.lacked), len(known)


def _cloud_findings(view: CloudView, index: Index, moment: Moment) -> tuple[Finding | FindingEnd, ...]:
    subject = f"{CLOUD}{view.cloud}"
    opened = (FindingKind.UNREACHABLE, subject) in index.findings
    if view.healthy and opened:
        return (FindingEnd(FindingKind.UNREACHABLE, subject),)
    if not view.healthy and not opened:
        message = f"cloud {view.cloud} cannot be seen: {view.reason}"
        return (Finding(FindingKind.UNREACHABLE, subject, DEFAULT_TENANT, "critical", message, {}, moment.now),)
    return ()


def _suspicion(view: CloudView, suspicious: str, index: Index, moment: Moment) -> tuple[Finding | FindingEnd, ...]:
    subject = f"{CLOUD}{view.cloud}"
    opened = (FindingKind.SUSPICIOUS, subject) in index.findings
    if suspicious and not opened:
        return (Finding(FindingKind.SUSPICIOUS, subject, DEFAULT_TENANT, "critical", suspicious, {}, moment.now),)
    if opened and not suspicious:
        return (FindingEnd(FindingKind.SUSPICIOUS, subject),)
    return ()
