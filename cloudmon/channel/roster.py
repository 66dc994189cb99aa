"""The agents that the channel listens to, in memory: verifying a request reads no table.

The store stays the truth. This process is the only one that writes agents while it owns the estate, so what is kept
here is as the store has it; whoever revokes one says so (:meth:`Roster.reload`), and a report is written under the
store's own conditions, whatever stands here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from cloudmon.model.guests import Agent, Report
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store


class Roster:
    """Agents by appliance. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._agents: dict[ApplianceId, Agent] = {}

    def load(self) -> None:
        """Read all of them."""
        agents = {agent.appliance: agent for agent in self._store.agents.all(EVERYONE)}
        with self._lock:
            self._agents = agents

    def get(self, appliance: ApplianceId) -> Agent | None:
        """The agent of an appliance, revoked or not, or None."""
        return self._agents.get(appliance)

    def __len__(self) -> int:
        return len(self._agents)

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """Read some of them again."""
        for appliance in appliances:
            found = self._store.agents.get(EVERYONE, appliance)
            with self._lock:
                old = self._agents.get(appliance)
                if found is None:
                    self._agents.pop(appliance, None)
                elif old is not None and _same(old, found):
                    # How far it was heard is known better here: a report may have been taken since the row was read.
                    self._agents[appliance] = replace(old, revoked_at=found.revoked_at)
                else:
                    self._agents[appliance] = found

    def heard(self, report: Report) -> None:
        """A report was written: the agent was heard so far."""
        with self._lock:
            old = self._agents.get(report.appliance)
            if old is not None and old.speaks(report):
                self._agents[report.appliance] = old.after(report)

    def reread(self, appliance: ApplianceId) -> Agent | None:
        """Take over one agent's row as it is, how far it was heard included. For the one thread that writes reports."""
        found = self._store.agents.get(EVERYONE, appliance)
        with self._lock:
            if found is None:
                self._agents.pop(appliance, None)
            else:
                self._agents[appliance] = found
        return found


def _same(one: Agent, other: Agent) -> bool:
    return (one.instance, one.incarnation, one.serial) == (other.instance, other.incarnation, other.serial)
