"""Looks at single nodes that somebody said have changed. Who says so is not believed: what the cloud answers when it is
asked for the node is what counts, and only nodes that are known to be ours are asked for at all."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Mapping

import structlog

from cloudmon.errors import CloudError, NotFound
from cloudmon.model.identity import ApplianceId, Token
from cloudmon.model.nodes import Node
from cloudmon.model.tenants import EVERYONE
from cloudmon.monitor.tick import Monitor
from cloudmon.provider import Provider

_log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""Cloud and id of a node."""

MOST = 500
"""Hints that wait at the most. More at once mean that the whole is worth a look: a tick."""

AT_ONCE = 50
"""Nodes that are asked for in one go."""


def _reading(node_id: str) -> Callable[[Provider], Node]:
    return lambda provider: provider.get_node(node_id)


class Hints:
    """What was hinted at and not looked at yet.

    Arguments:
        monitor: whose nodes they are.
        tick: has the monitor tick soon.
    """

    def __init__(self, monitor: Monitor, tick: Callable[[], None]) -> None:
        self._monitor = monitor
        self._tick = tick
        self._lock = threading.Lock()
        self._waiting: dict[Key, int] = {}
        """And how often they were looked up already."""

    def put(self, cloud: str, node_ids: Iterable[str]) -> bool:
        """These nodes may have changed; whether a look is worth while. From any thread; returns at once."""
        view = self._monitor.views.get(cloud)
        known = view.nodes if view is not None else {}
        # What the last listing did not show may be what was launched since.
        worth = [one for one in node_ids if one not in known or self._shown(known[one]) is not None]
        with self._lock:
            if len(self._waiting) + len(worth) <= MOST:
                self._waiting.update(((cloud, node_id), 0) for node_id in worth)
                return bool(worth)
        self._tick()
        return False

    def look(self) -> int:
        """Look at all that was hinted at; how many actions were begun. Raises as the monitor's own looks do, and then
        the next tick sees what this one did not."""
        begun = 0
        later: dict[Key, int] = {}
        while taken := self._take():
            self._monitor.collect(0.0)
            for cloud in dict.fromkeys(cloud for cloud, _ in taken):
                owners = self._owners(cloud, [node_id for where, node_id in taken if where == cloud])
                begun += self._look_at(cloud, owners) if owners else 0
                if self._monitor.actor.in_flight:
                    # The answer to a launch may not be written yet: once more, and no more.
                    later |= {one: 1 for one, count in taken.items() if not count and one[1] not in owners}
        with self._lock:
            self._waiting = later | self._waiting
        return begun

    def _take(self) -> dict[Key, int]:
        with self._lock:
            taken = dict(list(self._waiting.items())[:AT_ONCE])
            for one in taken:
                del self._waiting[one]
            return taken

    def _look_at(self, cloud: str, owners: Mapping[str, ApplianceId]) -> int:
        """Read these nodes, each of its appliance, and do what follows."""
        monitor = self._monitor
        at, limit_s = monitor.clock.now(), monitor.policy.call_timeout_s
        asked = {node_id: monitor.workers.submit(cloud, _reading(node_id), urgent=True) for node_id in owners}
        concurrent.futures.wait(asked.values(), timeout=limit_s * 2)
        nodes = self._answers(cloud, asked)
        if not nodes:
            return 0
        begun = monitor.seen(cloud, nodes, list(dict.fromkeys(owners[node.id] for node in nodes)), at)
        if begun:
            monitor.collect(limit_s)
        return begun

    def _answers(self, cloud: str, asked: Mapping[str, concurrent.futures.Future[Node]]) -> list[Node]:
        found = []
        for node_id, future in asked.items():
            try:
                found.append(future.result(timeout=0))
            except NotFound:
                # Whether it is gone, and not our eyes that broke, a whole listing says.
                self._tick()
            except (CloudError, TimeoutError, concurrent.futures.CancelledError) as error:
                _log.debug("node could not be asked for", cloud=cloud, node=node_id, error=str(error))
        return found

    def _owners(self, cloud: str, node_ids: Iterable[str]) -> dict[str, ApplianceId]:
        """By id, whose node it is: as the last listing showed, or as the answer to a launch said since."""
        view = self._monitor.views.get(cloud)
        found: dict[str, ApplianceId] = {}
        new = []
        for node_id in node_ids:
            node = view.nodes.get(node_id) if view is not None else None
            owner = self._shown(node) if node is not None else None
            if owner is not None:
                found[node_id] = owner
            elif node is None:
                new.append(node_id)
        if new:
            rows = self._monitor.store.incarnations.open(EVERYONE)
            found |= {
                row.node_id: ApplianceId(row.set_uid, row.ordinal)
                for row in rows
                if row.cloud == cloud and row.node_id in new
            }
        return found

    def _shown(self, node: Node) -> ApplianceId | None:
        """The appliance that its tags name, where they are of this estate."""
        token = Token.parse(node.token) if node.token else None
        if token is None or token.estate != self._monitor.store.estate:
            return None
        return ApplianceId(token.set_uid, token.ordinal)
