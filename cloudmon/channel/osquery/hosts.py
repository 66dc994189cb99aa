"""Hosts as the channel knows them: the state that each has told so far, and reports made of what it tells next.

A host that is not known here (it was not heard lately, or the process is new) is read from the store; one whose state
there does not stand any more begins with what it says and is asked for all of it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from cloudmon.channel.intake import Intake, Taken, Taking
from cloudmon.channel.osquery.folding import Folded, Memory
from cloudmon.model import states
from cloudmon.model.guests import Agent, Report, ReportKind, Result, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.tenants import EVERYONE
from cloudmon.store import Store

KEPT = 1_000
"""Hosts whose state is kept in memory, those heard last."""

UNKNOWN_BOOT = "osquery"
"""Stands for the boot of a host that has not told of one yet."""

Fold = Callable[[Sections, Memory], Folded]


class Occasion(NamedTuple):
    """Why a host tells something."""

    why: str
    size: int
    """Bytes of what brought it."""
    whole: bool = False
    """Whether its state is to be told whole."""
    results: Sequence[Result] = ()
    """Of commands."""


class Host:
    """One host; whoever holds its lock tells of it."""

    __slots__ = ("hash", "instance", "lock", "memory", "offset_s", "sections", "want_whole")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.sections: Sections | None = None
        """None: not known."""
        self.hash = ""
        self.instance = ("", 0)
        self.memory = Memory()
        self.offset_s = 0.0
        self.want_whole = False
        """Whether it is to be asked for all of its state."""


class Hosts:
    """All hosts. Used from one event loop."""

    def __init__(self, store: Store, readers: Executor, intake: Intake, *, kept: int = KEPT) -> None:
        self._store = store
        self._readers = readers
        self._intake = intake
        self._kept = kept
        self._hosts: OrderedDict[ApplianceId, Host] = OrderedDict()

    def of(self, appliance: ApplianceId) -> Host:
        """The host of an appliance."""
        host = self._hosts.pop(appliance, None) or Host()
        self._hosts[appliance] = host
        for old in list(self._hosts)[: max(0, len(self._hosts) - self._kept)]:
            if not self._hosts[old].lock.locked():
                del self._hosts[old]
        return host

    async def tell(self, agent: Agent, fold: Fold, occasion: Occasion, now: dt.datetime) -> Taken:
        """Have a report written of what ``fold`` makes of a host's state, or find out why it is not taken.

        ``agent`` is the host as it is believed now. For whoever holds the host's lock. What is not taken changes
        nothing here. Raises what the intake raises.
        """
        host = self.of(agent.appliance)
        await self._know(host, agent)
        is_asked, is_known = occasion.whole, host.sections is not None or occasion.whole
        folded = fold(host.sections or {}, host.memory)
        if host.sections is None:
            occasion = occasion._replace(whole=True)
        report = _report(agent, host.sections or {}, folded, occasion, now)
        taken = await self._intake.take(report, occasion.size)
        if taken.taking is Taking.TAKEN:
            # What was told whole because nothing was known is not all there is.
            # It is asked until it has answered.
            before = host.want_whole and not is_asked
            host.want_whole = before or folded.want_whole or taken.want_full or not is_known
            host.sections, host.hash, host.memory = folded.sections, report.hash, folded.memory
            host.offset_s = folded.offset_s
        else:
            host.sections = None
        return taken

    async def _know(self, host: Host, agent: Agent) -> None:
        """Find out on what the next report builds."""
        if host.instance != (agent.instance, agent.incarnation):
            host.sections, host.memory = None, Memory()
            host.instance = (agent.instance, agent.incarnation)
        if host.sections is not None and host.hash == agent.hash:
            return
        host.sections = None
        if not agent.hash:
            return
        read = self._store.reports.state
        state = await asyncio.get_running_loop().run_in_executor(self._readers, read, EVERYONE, agent.appliance)
        if state is not None and (state.hash, state.incarnation) == (agent.hash, agent.incarnation):
            host.sections, host.hash = state.sections, state.hash


def _report(agent: Agent, before: Sections, folded: Folded, occasion: Occasion, now: dt.datetime) -> Report:
    after, full = folded.sections, occasion.whole
    boot = after.get("system", {}).get("boot")
    named = boot.get("id") if isinstance(boot, dict) else None
    return Report(
        appliance=agent.appliance,
        tenant=agent.tenant,
        incarnation=agent.incarnation,
        instance=agent.instance,
        boot=named if isinstance(named, str) else UNKNOWN_BOOT,
        # Ours, since osquery counts nothing of the kind: it grows over all boots.
        seq=agent.seq + 1,
        kind=ReportKind.FULL if full else ReportKind.DIFF,
        base="" if full else agent.hash,
        hash=states.state_hash(after),
        why=occasion.why,
        reported_at=now,
        received_at=now,
        body=after if full else states.difference(before, after),
        results=tuple(occasion.results),
        version=folded.version,
        offset_s=folded.offset_s,
    )
