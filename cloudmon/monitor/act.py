"""Performs recorded intents: each alone, with its token, no store in sight. One failure never reaches another."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import structlog

from cloudmon import faultpoints
from cloudmon.clock import Clock
from cloudmon.engine.workers import Workers
from cloudmon.errors import CloudError, RateLimited, Unsupported
from cloudmon.model.actions import Outcome, Verb
from cloudmon.model.identity import Token, ownership_tags
from cloudmon.model.nodes import Node, NodeRequest
from cloudmon.model.offers import Offer
from cloudmon.model.sets import SetSpec
from cloudmon.provider import Firewall, PowerControl, Provider, Snapshot, SnapshotEnd, Suspend, Tagging, abilities
from cloudmon.reconcile import keeping, walls
from cloudmon.reconcile.plan import Step

_log = structlog.get_logger(__name__)

CallFuture = concurrent.futures.Future[tuple[Outcome, Node | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One intent with everything that its call needs."""

    step: Step
    request: NodeRequest | None
    """What a launch asks for; None for other verbs."""
    tags: dict[str, str] | None = None
    """What adoption and snapshots write."""
    begin_by: dt.datetime | None = None
    """Not begun after this instant, however often the intent was tried before; None: the intent's own deadline."""


Boot = Callable[[str, Token, SetSpec], str]
"""A template's user data, its words replaced; the incarnation's token; its set -> the user data that its node gets. A
pure function: the same token always comes with the same user data."""


def as_it_is(user_data: str, _token: Token, _spec: SetSpec) -> str:
    """The template's own, and nothing more."""
    return user_data


def node_request(step: Step, spec: SetSpec, boot: Boot = as_it_is) -> NodeRequest:
    """A pure function of the incarnation: the generation it was opened with, its token and its offer."""
    intent, offer = step.intent, step.offer
    if offer is None:
        raise AssertionError("a launch has an offer")
    template = spec.template
    token = Token.parse(intent.token)
    if token is None:
        raise AssertionError(f"{intent.token!r} was made by this estate")
    return NodeRequest(
        token=intent.token,
        name=f"{spec.name}-{token.ordinal}-{token.incarnation}",
        offer=_plain(offer),
        image=template.image(offer.cloud),
        tags=tags_of(intent.token, spec),
        user_data=user_data(spec, token, boot),
        options=template.options.get(offer.cloud),
    )


def user_data(spec: SetSpec, token: Token, boot: Boot) -> str:
    """What the machine of this incarnation is given at boot."""
    text = spec.template.user_data
    words = {
        "{appliance}": f"{spec.name}/{token.ordinal}",
        "{set}": spec.name,
        "{ordinal}": str(token.ordinal),
        "{incarnation}": str(token.incarnation),
    }
    for word, value in words.items():
        text = text.replace(word, value)
    return boot(text, token, spec)


def tags_of(token: str, spec: SetSpec) -> dict[str, str]:
    parsed = Token.parse(token)
    if parsed is None:
        raise AssertionError(f"{token!r} was made by this estate")
    return dict(ownership_tags(parsed, set_name=spec.name, tenant=spec.tenant))


def _plain(offer: Offer) -> Offer:
    """The offer without what changes between two tries of the same token."""
    return Offer(offer.cloud, offer.size, offer.location, 0, 0, 0, spot=offer.spot)


def perform(provider: Provider, call: Call, clock: Clock) -> tuple[Outcome, Node | None]:
    """One try of one intent; never raises a :class:`CloudError`."""
    intent = call.step.intent
    now = clock.now()
    # A monitor that was paused for long begins nothing that it decided before.
    if now > (call.begin_by or intent.deadline):
        return Outcome(False, False, retry_at=now, error="Unreachable: not begun in time"), None
    faultpoints.reached("act.before-call")
    try:
        found = _VERBS[intent.verb](provider, call)
    except RateLimited as error:
        wait = error.retry_after_s if error.retry_after_s is not None else 15.0
        return Outcome(False, False, retry_at=now + dt.timedelta(seconds=wait), error=_said(error)), None
    except CloudError as error:
        return Outcome(error.definite, False, error=_said(error)), None
    except Exception as error:  # a broken adapter must not take the other intents with it
        _log.error("provider raised what its contract forbids", cloud=intent.cloud, exc_info=error)
        return Outcome(False, False, error=f"UnexpectedAnswer: its adapter failed with {type(error).__name__}"), None
    faultpoints.reached("act.after-call")
    return found


def _said(error: CloudError) -> str:
    return f"{type(error).__name__}: {error.message}"


def _launch(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    if call.request is None:
        raise AssertionError("a launch has a request")
    node = provider.create_node(call.request)
    return Outcome(True, True, node_id=node.id), node


def _terminate(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    provider.destroy_node(call.step.intent.node_id)
    return Outcome(True, True), None


def _order(
    able: type[PowerControl] | type[Firewall], name: str
) -> Callable[[Provider, Call], tuple[Outcome, Node | None]]:
    """An order to one node, where the provider is able to give it."""

    def do(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
        if not isinstance(provider, able):
            raise Unsupported(f"this provider cannot {call.step.intent.verb} nodes", cloud=provider.cloud)
        getattr(provider, name)(call.step.intent.node_id)
        return Outcome(True, True), None

    return do


def _suspend(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    """Freeze it, or, where this cloud cannot, stop it, or, where it cannot do that either, isolate it; the outcome
    says which."""
    node_id = call.step.intent.node_id
    if isinstance(provider, Suspend):
        try:
            provider.suspend_node(node_id)
        except Unsupported:
            pass
        else:
            return Outcome(True, True), None
    try:
        stopped, _ = _order(PowerControl, "stop_node")(provider, call)
    except Unsupported:
        if not isinstance(provider, Firewall) or "isolate_node" not in abilities(provider):
            raise
        provider.isolate_node(node_id)
        return Outcome(True, True, verb=Verb.ISOLATE), None
    return replace(stopped, verb=Verb.STOP), None


def _resume(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    if not isinstance(provider, Suspend):
        raise Unsupported("this provider cannot resume nodes", cloud=provider.cloud)
    provider.resume_node(call.step.intent.node_id)
    return Outcome(True, True), None


def _adopt(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    """Write our tags on it; where the cloud cannot, the node is known by its id alone."""
    if isinstance(provider, Tagging) and call.tags is not None:
        try:
            provider.tag_node(call.step.intent.node_id, call.tags)
        except Unsupported:
            return Outcome(True, True), None
    return Outcome(True, True), None


def _snapshot(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    """Keep what is on its volumes, once however often it is tried."""
    if not isinstance(provider, Snapshot):
        raise Unsupported("this provider cannot snapshot nodes", cloud=provider.cloud)
    intent = call.step.intent
    return Outcome(
        True, True, made=provider.snapshot_node(intent.node_id, keeping.name_of(intent), call.tags or {})
    ), None


def _forget(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    """Delete what a snapshot kept, and nothing else."""
    if not isinstance(provider, SnapshotEnd):
        raise Unsupported("this provider cannot delete snapshots", cloud=provider.cloud)
    told = call.step.intent.arguments
    provider.forget_snapshot(told.get("node", ""), told.get("name", ""), told.get("kept", ""))
    return Outcome(True, True), None


def _peers(provider: Provider, call: Call) -> tuple[Outcome, Node | None]:
    """What a group of peers is to be, of the intent alone: a second try is the same."""
    intent = call.step.intent
    if not isinstance(provider, Firewall):
        raise Unsupported("this provider has no firewall", cloud=provider.cloud)
    group, joining, leaving = walls.of(intent)
    if intent.verb is Verb.PEERS_CLOSE:
        provider.close_peers(group.name)
    else:
        provider.open_peers(group, joining, leaving)
    return Outcome(True, True), None


_VERBS: dict[Verb, Callable[[Provider, Call], tuple[Outcome, Node | None]]] = {
    Verb.LAUNCH: _launch,
    Verb.TERMINATE: _terminate,
    Verb.START: _order(PowerControl, "start_node"),
    Verb.STOP: _order(PowerControl, "stop_node"),
    Verb.REBOOT: _order(PowerControl, "reboot_node"),
    Verb.SUSPEND: _suspend,
    Verb.RESUME: _resume,
    Verb.ADOPT: _adopt,
    Verb.SNAPSHOT: _snapshot,
    Verb.SNAPSHOT_END: _forget,
    Verb.ISOLATE: _order(Firewall, "isolate_node"),
    Verb.RELEASE: _order(Firewall, "release_node"),
    Verb.PEERS_OPEN: _peers,
    Verb.PEERS_CLOSE: _peers,
}


@dataclass(slots=True)
class Actor:
    """Hands calls to the workers and gives their outcomes back, now or in a later tick."""

    workers: Workers[Provider]
    clock: Clock
    _flying: dict[CallFuture, Call] = field(default_factory=dict)
    _landed: list[tuple[Call, Outcome, Node | None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """A call may be begun while another thread waits for those that fly."""

    @property
    def in_flight(self) -> frozenset[str]:
        """Ids of intents whose call has not come back, or whose outcome is not recorded yet."""
        with self._lock:
            calls = [*self._flying.values(), *(call for call, _, _ in self._landed)]
        return frozenset(call.step.intent.id for call in calls)

    def begin(self, call: Call) -> None:
        with self._lock:
            future = self.workers.submit(
                call.step.intent.cloud, lambda provider: perform(provider, call, self.clock), urgent=True
            )
            self._flying[future] = call

    def landed(self, patience_s: float) -> Iterator[list[tuple[Call, Outcome, Node | None]]]:
        """Outcomes as they come, those that came together in one list, until none is in flight or the patience ends.

        What the caller has not taken over with :meth:`recorded` is given again the next time.
        """
        ends = self.clock.monotonic() + patience_s
        while True:
            with self._lock:
                flying, landed = list(self._flying), list(self._landed)
            if not flying and not landed:
                return
            left = ends - self.clock.monotonic()
            done, _ = concurrent.futures.wait(
                flying, timeout=max(0.0, left), return_when=concurrent.futures.FIRST_COMPLETED
            )
            with self._lock:
                for future in done:
                    call = self._flying.pop(future, None)
                    if call is not None:  # else another thread, which waits as well, has it already
                        self._landed.append((call, *_outcome(future)))
                landed = list(self._landed)
            if landed:
                yield landed
            elif left <= 0:
                return

    def recorded(self, landed: list[tuple[Call, Outcome, Node | None]]) -> None:
        """These outcomes are in the store."""
        ids = {id(call) for call, _, _ in landed}
        with self._lock:
            self._landed = [item for item in self._landed if id(item[0]) not in ids]


def _outcome(future: CallFuture) -> tuple[Outcome, Node | None]:
    if future.cancelled():
        return Outcome(False, False, error="Unreachable: not begun before the workers were closed"), None
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, CloudError):
        # The worker had no provider to call with.
        return Outcome(error.definite, False, error=_said(error)), None
    if not isinstance(error, Exception):
        raise error
    return Outcome(False, False, error=f"Unreachable: the call was lost ({type(error).__name__})"), None
