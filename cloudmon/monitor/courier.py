"""Has clouds perform commands inside appliances whose agent does not speak: where a cloud can, and as an agent would.

A command is marked as handed over before it is, and never handed over twice: an answer that was lost leaves it not
known whether it was performed, as with agents. Results are asked for from time to time, so that no call waits for a
program.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import structlog

from cloudmon import errors
from cloudmon.errors import CloudError
from cloudmon.model.actions import GUEST_VERBS, Intent, IntentState
from cloudmon.model.appliances import ApplianceState, Member
from cloudmon.model.commands import fetch_by
from cloudmon.model.nodes import CommandResult
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.hearing import is_heard
from cloudmon.monitor.tick import Monitor
from cloudmon.provider import Provider, RunCommand
from cloudmon.reconcile import remote

_log = structlog.get_logger(__name__)

AT_ONCE = 50
"""Commands that are handed over, and results that are asked for, in one round."""


@dataclass(slots=True)
class Courier:
    """Carries commands to clouds and results back. One round at a time.

    Arguments:
        monitor: whose commands they are.
    """

    monitor: Monitor
    _starting: dict[str, tuple[Intent, Future[str]]] = field(default_factory=dict)
    _asking: dict[str, tuple[Intent, Future[CommandResult | None]]] = field(default_factory=dict)

    def round(self) -> int:
        """Take in what came back, hand over what is new, ask for results; how many commands ended. Raises as the
        monitor's own looks do."""
        ended = self._started() + self._answered()
        if not any("start_command" in view.verbs for view in self.monitor.views.values()):
            return ended
        open_now = [one for one in self.monitor.store.intents.open(EVERYONE) if one.verb in GUEST_VERBS]
        if open_now:
            now = self.monitor.clock.now()
            fresh = [one for one in open_now if one.state is IntentState.RECORDED and now < fetch_by(one)]
            self._hand_over([one for one in fresh if self._can(one.cloud)][:AT_ONCE], now)
            self._ask([one for one in open_now if remote.command_of(one)][:AT_ONCE])
        return ended

    # --- handing over -----------------------------------------------------------------------------------------------

    def _hand_over(self, commands: Iterable[Intent], now: dt.datetime) -> None:
        monitor = self.monitor
        for intent in commands:
            member = monitor.store.members.get(EVERYONE, intent.appliance)
            aset = monitor.store.sets.get(EVERYONE, intent.appliance.set_uid)
            if member is None or aset is None or not _fits(member, intent):
                continue
            template = aset.spec.template
            argvs = remote.argvs(intent, template)
            if not argvs or self._spoken_for(intent, template.report_interval_s, now):
                continue
            if monitor.note([remote.handed(intent, now)], now):
                call = _starting(member.node_id, argvs, remote.timeout_s(intent, template))
                future = monitor.workers.submit(intent.cloud, call, urgent=True)
                self._starting[intent.id] = (replace(intent, node_id=member.node_id), future)

    def _started(self) -> int:
        ended = 0
        for intent_id, (intent, future) in list(self._starting.items()):
            if not future.done():
                continue
            now = self.monitor.clock.now()
            try:
                change = remote.begun(intent, intent.node_id, future.result(), now)
            except CloudError as error:
                # Not certain: it may run. Its deadline ends it, and says so.
                change = remote.refused(intent, f"{type(error).__name__}: {error.message}", now, sure=error.definite)
                ended += error.definite
            except Exception as error:
                _log.error("provider raised what its contract forbids", cloud=intent.cloud, exc_info=error)
                change = remote.refused(intent, f"its adapter failed with {type(error).__name__}", now, sure=False)
            self.monitor.note([change], now)
            del self._starting[intent_id]
        return ended

    # --- results ----------------------------------------------------------------------------------------------------

    def _ask(self, commands: Iterable[Intent]) -> None:
        for intent in commands:
            if intent.id not in self._asking and self._can(intent.cloud):
                call = _asking(str(intent.result.get("node", "")), remote.command_of(intent))
                self._asking[intent.id] = (intent, self.monitor.workers.submit(intent.cloud, call))

    def _answered(self) -> int:
        ended = 0
        for intent_id, (intent, future) in list(self._asking.items()):
            if not future.done():
                continue
            now = self.monitor.clock.now()
            try:
                result = future.result()
            except Exception as error:  # asked again in the next round; the deadline ends it
                _log.debug("the result could not be read", intent=intent.id, error=str(error))
                result = None
            if result is not None:
                ended += self.monitor.note([remote.ended(intent, result, now)], now)
            del self._asking[intent_id]
        return ended

    # --- inside -----------------------------------------------------------------------------------------------------

    def _can(self, cloud: str) -> bool:
        view = self.monitor.views.get(cloud)
        return view is not None and "start_command" in view.verbs

    def _spoken_for(self, intent: Intent, interval_s: float, now: dt.datetime) -> bool:
        """Whether an agent speaks for the appliance, and so fetches the command itself."""
        agent = self.monitor.store.agents.get(EVERYONE, intent.appliance)
        return agent is not None and agent.incarnation == intent.incarnation and is_heard(agent, interval_s, now)


def _fits(member: Member, intent: Intent) -> bool:
    return member.incarnation == intent.incarnation and member.state is ApplianceState.RUNNING


def _starting(node_id: str, argvs: remote.Argvs, timeout_s: float) -> Callable[[Provider], str]:
    def call(provider: Provider) -> str:
        if not isinstance(provider, RunCommand):
            raise errors.Unsupported("this provider runs no commands", cloud=provider.cloud)
        return provider.start_command(node_id, argvs, timeout_s)

    return call


def _asking(node_id: str, command_id: str) -> Callable[[Provider], CommandResult | None]:
    def call(provider: Provider) -> CommandResult | None:
        return provider.command_result(node_id, command_id) if isinstance(provider, RunCommand) else None

    return call
