"""Looks at all clouds side by side: one whole listing each, or a failure.

What is missing from a listing is asked for one by one, a bounded number of times, since only a cloud's denial makes
an absence a fact.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import structlog

from cloudmon import faultpoints
from cloudmon.clock import Clock
from cloudmon.engine.workers import Workers
from cloudmon.errors import CloudError, NotFound
from cloudmon.model.nodes import Node, PeerGroup
from cloudmon.model.observations import Observation
from cloudmon.provider import Firewall, Provider, abilities
from cloudmon.reconcile.picture import CloudView

_log = structlog.get_logger(__name__)

Absent = Callable[[str, CloudView], Sequence[str]]
"""Cloud and view -> ids worth asking for one by one."""


@dataclass(frozen=True, slots=True)
class CloudFacts:
    """What an observer knows of a cloud from the settings."""

    listing_lag_s: float
    call_timeout_s: float


class Observer:
    """Asks every cloud; a slow one makes nobody wait longer than ``patience_s``, and is not asked twice at a time."""

    def __init__(self, workers: Workers[Provider], clock: Clock, *, patience_s: float) -> None:
        self._workers = workers
        self._clock = clock
        self.patience_s = patience_s
        self._asked: dict[str, tuple[dt.datetime, concurrent.futures.Future[CloudView]]] = {}
        self._watched_since: dict[str, dt.datetime] = {}
        self._read: dict[str, dict[str, tuple[dt.datetime, Node]]] = {}
        """By cloud and id: nodes that were read one by one, between two listings, and when they were asked for."""
        self._ungrouped: set[str] = set()
        """Clouds that have said they have no group of peers."""

    def look(
        self, clouds: Mapping[str, CloudFacts], absent: Absent, *, verify: int, grouped: Container[str] = ()
    ) -> dict[str, CloudView]:
        """A view of every cloud; those that failed or have not answered are unhealthy, with the reason.

        Arguments:
            clouds: those that are configured.
            absent: which missing nodes are worth asking for one by one.
            verify: how many of them at the most, per cloud.
            grouped: clouds whose groups of peers matter; besides, each is asked until it has said that it has none.
        """
        now = self._clock.now()
        # What a cloud that is not configured any more still answers is nobody's business, now or when it comes back.
        for gone in self._asked.keys() - clouds.keys():
            del self._asked[gone]
        for cloud, facts in clouds.items():
            if cloud not in self._asked:
                groups = cloud in grouped or cloud not in self._ungrouped
                call = _Look(cloud, facts, absent, verify, self._clock, groups)
                self._asked[cloud] = (now, self._workers.submit(cloud, call))
        futures = [future for _, future in self._asked.values()]
        concurrent.futures.wait(futures, timeout=self.patience_s)
        return {cloud: self._take(cloud, facts, now) for cloud, facts in clouds.items()}

    def correct(self, cloud: str, nodes: Sequence[Node], at: dt.datetime) -> None:
        """These were read one by one, asked for at ``at``: listings that began before say less of them."""
        self._read.setdefault(cloud, {}).update((node.id, (at, node)) for node in nodes)

    def corrected(self, view: CloudView) -> CloudView:
        """The view with what was read since it was taken; what it is newer than is forgotten."""
        read = self._read.get(view.cloud)
        if not read or not view.healthy:
            return view
        self._read[view.cloud] = read = {key: one for key, one in read.items() if one[0] >= view.observed_at}
        return dataclasses.replace(view, nodes={**view.nodes, **{key: node for key, (_, node) in read.items()}})

    def _take(self, cloud: str, facts: CloudFacts, now: dt.datetime) -> CloudView:
        since, future = self._asked[cloud]
        if not future.done():
            waited = (now - since).total_seconds() + self.patience_s
            view = _unseen(cloud, facts, since, f"it has not answered for {waited:.0f} s")
        else:
            del self._asked[cloud]
            view = _result(future, cloud, facts, since)
        if not view.healthy:
            self._watched_since.pop(cloud, None)
            return view
        if view.groups is not None or "list_peers" not in view.verbs:
            (self._ungrouped.discard if view.groups else self._ungrouped.add)(cloud)
        after_gap = cloud not in self._watched_since
        watched = self._watched_since.setdefault(cloud, view.observed_at)
        return self.corrected(dataclasses.replace(view, after_gap=after_gap, watched_since=watched))


@dataclass(frozen=True, slots=True)
class _Look:
    """The work of one worker: a listing, then the questions about what is missing from it."""

    cloud: str
    facts: CloudFacts
    absent: Absent
    verify: int
    clock: Clock
    groups: bool
    """Whether its groups of peers are asked for, too."""

    def __call__(self, provider: Provider) -> CloudView:
        faultpoints.reached("observe.before-listing")
        listing = provider.list_nodes()
        faultpoints.reached("observe.after-listing")
        nodes = {node.id: node for node in listing.nodes}
        view = self._view(listing.started_at, nodes, provider)
        denied, lacked = set(), set()
        for node_id in list(self.absent(self.cloud, view))[: self.verify]:
            found = _ask(provider, node_id)
            if found is None:
                continue
            if isinstance(found, Node):
                nodes[found.id] = found
                lacked.add(node_id)
            else:
                denied.add(node_id)
        if not denied and not lacked:
            return view
        return dataclasses.replace(view, denied=frozenset(denied), lacked=frozenset(lacked))

    def _view(self, at: dt.datetime, nodes: dict[str, Node], provider: Provider) -> CloudView:
        return CloudView(
            cloud=self.cloud,
            healthy=True,
            observed_at=at,
            nodes=nodes,
            lag_s=self.facts.listing_lag_s,
            call_timeout_s=self.facts.call_timeout_s,
            verbs=abilities(provider),
            groups=_groups(provider) if self.groups else None,
        )


def _groups(provider: Provider) -> Sequence[PeerGroup] | None:
    """The cloud's groups of peers; None where it has no such thing, or gave no answer that can be believed."""
    if not isinstance(provider, Firewall) or "list_peers" not in abilities(provider):
        return None
    try:
        return tuple(provider.list_peers())
    except CloudError as error:
        _log.warning("groups of peers could not be asked for", cloud=provider.cloud, error=error.message)
        return None


def _ask(provider: Provider, node_id: str) -> Node | bool | None:
    """The node, False when the cloud denies it, None when it gave no answer that can be believed."""
    try:
        return provider.get_node(node_id)
    except NotFound:
        return False
    except CloudError as error:
        _log.debug("node could not be asked for", cloud=provider.cloud, node=node_id, error=error.message)
        return None


def _result(
    future: concurrent.futures.Future[CloudView], cloud: str, facts: CloudFacts, since: dt.datetime
) -> CloudView:
    if future.cancelled():
        return _unseen(cloud, facts, since, "it was not asked: the workers were closed before")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, CloudError):
        return _unseen(cloud, facts, since, f"{type(error).__name__}: {error.message}")
    if not isinstance(error, Exception):
        raise error
    # An adapter that lets a foreign exception out is broken; the cloud is not seen, the others are.
    _log.error("provider raised what its contract forbids", cloud=cloud, error=type(error).__name__, exc_info=error)
    return _unseen(cloud, facts, since, f"its adapter failed with {type(error).__name__}")


def _unseen(cloud: str, facts: CloudFacts, at: dt.datetime, reason: str) -> CloudView:
    return CloudView(
        cloud=cloud,
        healthy=False,
        observed_at=at,
        nodes={},
        reason=reason,
        lag_s=facts.listing_lag_s,
        call_timeout_s=facts.call_timeout_s,
    )


def observation(view: CloudView) -> Observation:
    """What the journal keeps of a view."""
    ours = [node for node in view.nodes.values() if node.estate is not None] if view.healthy else None
    return Observation(view.cloud, view.observed_at, view.observed_at, view.healthy, view.reason, ours)


def as_seen(told: Observation) -> CloudView:
    """The view that the journal kept."""
    nodes = {node.id: node for node in told.nodes or ()}
    return CloudView(told.cloud, told.healthy, told.started_at, nodes, reason=told.reason)
