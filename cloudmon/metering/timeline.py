"""What the events of one node, or of one monitor, say together, whatever their order and however often each came.

The statements are first a set: equal keys are one event. Then time runs over them once:

- ``BEGAN`` of what holds already says nothing new, ``ENDED`` of what does not hold says nothing;
- a node that began to run stopped being stopped, and the other way round: the two never overlap. Were both begun at
  one instant, it ran;
- ``BEGAN`` and ``ENDED`` of one dimension at one instant cancel out: what held before goes on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from cloudmon.model.usage import Dimension, Mark, UsageEvent

NODE = frozenset({Dimension.NODE_RUNNING, Dimension.NODE_STOPPED})

Statement = tuple[dt.datetime, Dimension, Mark, Decimal]
Held = tuple[Dimension, dt.datetime, dt.datetime | None]
"""A dimension, from when, to when; None while nothing has ended it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What holds of the events at an instant: each once, none of the future; in order of time."""

    node: list[Statement]
    """That the node runs or stands, or does not."""
    monitor: list[Statement]
    """That the monitor runs, or does not."""
    amounts: list[Statement]
    unsure: list[tuple[dt.datetime, dt.datetime]]
    """From when a node was missed, to when its end was known: in between it ran or did not, so that is estimated."""
    vouched: dict[dt.datetime, dt.datetime]
    """When the cloud says that a node ended → when it says that it began: what nobody watched before the end is known
    as far as that."""

    @property
    def ends(self) -> tuple[dt.datetime, dt.datetime]:
        """The first and the last instant that anything is said of; there must be one."""
        every = [said[0] for said in (*self.node, *self.monitor, *self.amounts)]
        return min(every), max(every)


def statements(events: Iterable[UsageEvent], now: dt.datetime) -> Said:
    """What holds of ``events``, all of one node or one monitor, at ``now``."""
    found: dict[str, Statement] = {}
    missed: set[tuple[dt.datetime, dt.datetime]] = set()
    vouched: dict[dt.datetime, dt.datetime] = {}
    for key, _, _, _, _, _, _, dimension, mark, at, quantity, evidence in events:
        said: Statement = (at, dimension, mark, quantity)
        if mark is Mark.ENDED and "missed_at" in evidence:
            missed.add((dt.datetime.fromisoformat(str(evidence["missed_at"])), at))
        if mark is Mark.ENDED and "began_at" in evidence:
            began_at = dt.datetime.fromisoformat(str(evidence["began_at"]))
            vouched[at] = min(began_at, vouched.get(at, began_at))
        # Equal keys are equal events; were they not, one of them still wins in any order.
        if said < found.setdefault(key, said):
            found[key] = said
    all_said = Said([], [], [], sorted(missed), vouched)
    for said in sorted(found.values()):
        if said[0] > now:
            break
        if said[2] is Mark.QUANTITY:
            all_said.amounts.append(said)
        elif said[1] in NODE:
            all_said.node.append(said)
        else:
            all_said.monitor.append(said)
    return all_said


def held(said: Sequence[Statement]) -> Iterator[Held]:
    """The stretches in which one of the dimensions spoken of held: disjoint, in order. ``said`` is in order of
    time."""
    current: Dimension | None = None
    since: dt.datetime | None = None
    index, count = 0, len(said)
    while index < count:
        at, dimension, mark, _ = said[index]
        index += 1
        if index < count and said[index][0] == at:
            marks = {(dimension, mark)}
            while index < count and said[index][0] == at:
                marks.add(said[index][1:3])
                index += 1
            after = _following(current, marks)
        elif mark is Mark.BEGAN:
            after = dimension
        else:
            after = None if dimension is current else current
        if after is current:
            continue
        if current is not None and since is not None:
            yield current, since, at
        current, since = after, at
    if current is not None and since is not None:
        yield current, since, None


def _following(current: Dimension | None, marks: set[tuple[Dimension, Mark]]) -> Dimension | None:
    """What holds after an instant of which ``marks`` are all that is said."""
    began = [found for found, mark in marks if mark is Mark.BEGAN and (found, Mark.ENDED) not in marks]
    if began:
        return min(began)  # node.running comes before node.stopped
    if current is not None and (current, Mark.ENDED) in marks and (current, Mark.BEGAN) not in marks:
        return None
    return current
