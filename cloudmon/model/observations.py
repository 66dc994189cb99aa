"""What one look at one cloud gave, in the form that outlives an outage of the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cloudmon.model.nodes import Node


@dataclass(frozen=True, slots=True)
class Observation:
    """One listing of one cloud, or the failure to get it."""

    cloud: str
    started_at: dt.datetime
    finished_at: dt.datetime
    healthy: bool
    """True when the listing was whole; it then extends the cloud's observation span."""
    reason: str = ""
    """Why it was not healthy."""
    nodes: Sequence[Node] | None = None
    """The nodes that matter to this estate. None is not "no nodes": it says that what was seen is not known, because
    the listing failed or because its nodes had to be dropped from a full journal. Nothing may be decided from None."""
