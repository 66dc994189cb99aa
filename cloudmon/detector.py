"""The contract with whatever finds what no expression can say: a function of facts, installed beside the core.

A rule names it in the place of its condition (``detector = "name"``); everything else (for how long, how bad, what is
done, who is exempted) is the rule's, as always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Detector(Protocol):
    """What the entry-point group ``cloudmon.detectors`` names: a function, or an object that is called like one."""

    needs: Sequence[str]
    """Groups of facts that it looks at, as ``cloudmon schema facts`` names them: ``processes``, ``packages`` … At least
    one. While one of them is not known for an appliance the rule is unknown, and the detector is not asked."""

    def __call__(self, facts: Mapping[str, Any]) -> Iterable[str]:
        """Names of what is wrong with one appliance: processes, files, whatever the rule shall stand for; nothing where
        nothing is. The same name means the same finding, which ends when it is named no more.

        ``facts`` has the groups of ``needs``, whole, as plain values; what is not known of them is not in them, and is
        never to be taken for well or ill. A function of its argument alone: no clock, no file, no network, nothing
        remembered, and what it is given is not changed. It is asked whenever a report brought something, in the
        monitor's turn, so it ends within a millisecond or two. What it raises makes the rule unknown.
        """
