"""Says which sets' agents are to hear at once that the directory of their peers is another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudmon.model.changes import Change
from cloudmon.model.sets import ApplianceSet
from cloudmon.monitor.line import Line


def tell(line: Line, changes: Sequence[Change], sets: Mapping[str, ApplianceSet]) -> None:
    """Ring for the sets that tell their members of each other, and of which a member changed."""
    if not changes:
        return
    touched = {one.appliance.set_uid for one in changes if one.appliance and (one.member or one.incarnations)}
    telling = [uid for uid in sorted(touched) if uid in sets and sets[uid].spec.template.peers is not None]
    if telling:
        line.retell(telling)
