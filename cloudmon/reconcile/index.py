"""The estate, found by what a decision asks for: made once for each decision about all of it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudmon.model.actions import Intent
from cloudmon.model.appliances import Incarnation, Member
from cloudmon.model.changes import TimerKind
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.requests import Request
from cloudmon.reconcile.picture import CloudView, Estate, by_appliance


@dataclass(slots=True)
class Index:
    """Parts of one estate by their names."""

    by_cloud: dict[str, list[Member]] = field(default_factory=lambda: defaultdict(list))
    by_set: dict[str, list[Member]] = field(default_factory=lambda: defaultdict(list))
    rows_by_cloud: dict[str, list[Incarnation]] = field(default_factory=lambda: defaultdict(list))
    opening: dict[ApplianceId, list[Incarnation]] = field(default_factory=lambda: defaultdict(list))
    intents: Mapping[tuple[ApplianceId, int], Intent] = field(default_factory=dict)
    timers: dict[tuple[str, int], dict[TimerKind, dt.datetime]] = field(default_factory=lambda: defaultdict(dict))
    findings: dict[tuple[FindingKind, str], Finding] = field(default_factory=dict)
    turns: dict[tuple[str, int], Request] = field(default_factory=dict)
    commands: dict[ApplianceId, list[Intent]] = field(default_factory=lambda: defaultdict(list))
    _nodes: dict[str, set[str]] = field(default_factory=dict)
    _shown: dict[str, bool] = field(default_factory=dict)

    def nodes(self, cloud: str) -> set[str]:
        """Ids of the nodes that members in this cloud have, or had last."""
        found = self._nodes.get(cloud)
        if found is None:
            found = self._nodes[cloud] = {member.node_id for member in self.by_cloud.get(cloud, ())}
            found.discard("")
        return found

    def all_shown(self, view: CloudView) -> bool:
        """Whether the view shows each of :meth:`nodes`: then nobody is missed. Asked more than once of the same view of
        a hundred thousand nodes, which is long to go through."""
        found = self._shown.get(view.cloud)
        if found is None:
            found = self._shown[view.cloud] = view.nodes.keys() >= self.nodes(view.cloud)
        return found

    def explains(self, view: CloudView) -> bool:
        """Whether the view shows nothing but nodes of members."""
        ours = self.nodes(view.cloud)
        if self.all_shown(view):
            return len(ours) == len(view.nodes)
        return len(ours) >= len(view.nodes) and ours.issuperset(view.nodes)


def index_of(estate: Estate) -> Index:
    # The end of a stray is the sweep's, though the stray carries an appliance's token.
    strays = {f.subject for f in estate.findings if f.kind in (FindingKind.ORPHAN, FindingKind.DUPLICATE)}
    own = [i for i in estate.intents if not strays or f"node:{i.cloud}:{i.node_id}" not in strays]
    index = Index(intents=by_appliance(own))
    by_cloud, by_set = index.by_cloud, index.by_set
    for member in estate.members:
        by_cloud[member.cloud].append(member)
        by_set[member.set_uid].append(member)
    for row in estate.incarnations:
        index.rows_by_cloud[row.cloud].append(row)
        index.opening[ApplianceId(row.set_uid, row.ordinal)].append(row)
    for command in estate.commands:
        index.commands[command.appliance].append(command)
    for timer in estate.timers:
        index.timers[(timer.set_uid, timer.ordinal)][timer.kind] = timer.since
    for finding in estate.findings:
        index.findings[(finding.kind, finding.subject)] = finding
    return index
