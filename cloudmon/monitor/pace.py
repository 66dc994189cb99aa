"""How fast a cloud may be called: one allowance a cloud, shared by all its workers, around the contract.

Wraps the contract and not the adapters, so that every provider is paced and counted in the same way.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cloudmon import errors, provider
from cloudmon.clock import Clock
from cloudmon.model.health import CloudHealth
from cloudmon.model.nodes import CommandResult, Listing, Node, NodeEvent, NodeRequest, PeerGroup
from cloudmon.model.offers import Offer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls one cloud gets."""

    calls_per_s: float = 20.0
    """On average, of all workers together."""
    burst: int = 40
    """At once, after a quiet time."""
    patience_s: float = 30.0
    """A call that would have to wait longer for its turn is not made."""
    backoff_s: float = 1.0
    """Pause after the first ``RateLimited`` that names no time; doubles with each further one in a row."""
    backoff_max_s: float = 300.0
    """Longest pause, also where the cloud asks for more: then it is asked again, and may say so again."""


class Pace:
    """Keeps the allowance of one cloud.

    After a ``RateLimited`` every call of the cloud waits as long as the cloud asked for, or, when it named no time,
    for the backoff, of which a random half is taken off so that several monitors do not come back together. After the
    pause calls go one by one at ``calls_per_s``, without a burst. A call that would have to wait longer than
    ``patience_s`` raises ``RateLimited`` at once, so that it holds no worker.

    Arguments:
        stop: once set, waiting calls are not made; they raise ``RateLimited``.
        chance: a number in [0, 1), for the random half.
    """

    def __init__(
        self,
        cloud: str,
        clock: Clock,
        allowance: Allowance,
        *,
        stop: threading.Event | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.cloud = cloud
        self._clock = clock
        self._allowance = allowance
        self._stop = stop if stop is not None else threading.Event()
        self._chance = chance
        self._lock = threading.Lock()
        self._allowed = float(allowance.burst)
        self._counted_at = clock.monotonic()
        self._not_before = self._counted_at
        self._refusals = 0
        self._refused_at = self._counted_at
        self._calls: Counter[str] = Counter()
        self._throttled = 0
        self._last_listing_at: dt.datetime | None = None
        self._last_error = ""
        self._last_error_at: dt.datetime | None = None

    @property
    def calls(self) -> Mapping[str, int]:
        """How many calls were made since the start, by verb."""
        with self._lock:
            return dict(self._calls)

    def allow(self, allowance: Allowance) -> None:
        """Keep this allowance from now on: the settings changed."""
        with self._lock:
            self._allowance = allowance
            self._allowed = min(self._allowed, float(allowance.burst))

    def health(self) -> CloudHealth:
        with self._lock:
            left_s = self._not_before - self._clock.monotonic()
            return CloudHealth(
                cloud=self.cloud,
                last_listing_at=self._last_listing_at,
                last_error=self._last_error,
                last_error_at=self._last_error_at,
                calls=self._calls.total(),
                throttled=self._throttled,
                paused_until=self._clock.now() + dt.timedelta(seconds=left_s) if left_s > 0 else None,
            )

    def call(self, verb: str, make: Callable[[], T]) -> T:
        """Wait for this call's turn, make it, and remember how it went. Raises what ``make`` raises."""
        self._wait_for_turn()
        with self._lock:
            self._calls[verb] += 1
            began = self._clock.monotonic()
        try:
            result = make()
        except errors.RateLimited as error:
            self._refused(error, began)
            self._remember(verb, error)
            raise
        except errors.NotFound:
            raise  # an answer, and often the one that was looked for
        except Exception as error:
            self._remember(verb, error)
            raise
        with self._lock:
            if began > self._refused_at:
                self._refusals = 0
            if verb == "list_nodes":
                self._last_listing_at = self._clock.now()
        return result

    def _wait_for_turn(self) -> None:
        waited_s = 0.0
        wait_s = self._reserve()
        while wait_s > 0:
            if waited_s + wait_s > self._allowance.patience_s:
                self._give_back()
                raise errors.RateLimited(
                    f"The pace of this cloud lets no call through for {wait_s:.1f} s; it was not made.",
                    cloud=self.cloud,
                    retry_after_s=wait_s,
                )
            if self._clock.wait(self._stop, wait_s):
                self._give_back()
                raise errors.RateLimited("The monitor is stopping; the call was not made.", cloud=self.cloud)
            waited_s += wait_s
            with self._lock:  # another worker may have been refused while this one waited
                wait_s = self._not_before - self._clock.monotonic()

    def _reserve(self) -> float:
        """Take one call out of the allowance; the seconds to wait until it may be made."""
        with self._lock:
            now = self._clock.monotonic()
            if now > self._counted_at:  # it lies in the future during a pause: nothing is saved up in one
                saved = (now - self._counted_at) * self._allowance.calls_per_s
                self._allowed = min(float(self._allowance.burst), self._allowed + saved)
                self._counted_at = now
            self._allowed -= 1.0
            return max(0.0, self._not_before - now) + max(0.0, -self._allowed / self._allowance.calls_per_s)

    def _give_back(self) -> None:
        with self._lock:
            self._allowed += 1.0

    def _refused(self, error: errors.RateLimited, began: float) -> None:
        """Pause all calls of this cloud, which refused the one that began at ``began``."""
        with self._lock:
            self._throttled += 1
            # Calls that were under way together are refused together: that is one refusal, not eight in a row.
            if self._refusals == 0 or began > self._refused_at:
                self._refusals += 1
            now = self._refused_at = self._clock.monotonic()
            pause_s = error.retry_after_s
            if pause_s is None:
                longest_s = self._allowance.backoff_s * 2.0 ** min(self._refusals - 1, 30)
                pause_s = min(self._allowance.backoff_max_s, longest_s) * (1.0 - self._chance() / 2)
            self._not_before = max(self._not_before, now + min(pause_s, self._allowance.backoff_max_s))
            self._allowed = min(self._allowed, 1.0)
            self._counted_at = self._not_before

    def _remember(self, verb: str, error: Exception) -> None:
        said = f": {error.message}" if isinstance(error, errors.CloudError) else ""
        with self._lock:
            self._last_error = f"{verb}: {type(error).__name__}{said}"
            self._last_error_at = self._clock.now()


class Paced:
    """A provider whose calls keep the pace of their cloud. Has every verb; ``lacks`` those that the inner one lacks,
    and then they raise ``Unsupported`` without a call."""

    def __init__(self, inner: provider.Provider, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace
        self._verbs = provider.abilities(inner)
        self.cloud = inner.cloud

    def lacks(self, verb: str) -> bool:
        return verb not in self._verbs

    def list_nodes(self) -> Listing:
        return self._pace.call("list_nodes", self._inner.list_nodes)

    def get_node(self, node_id: str) -> Node:
        return self._pace.call("get_node", lambda: self._inner.get_node(node_id))

    def create_node(self, request: NodeRequest) -> Node:
        return self._pace.call("create_node", lambda: self._inner.create_node(request))

    def destroy_node(self, node_id: str) -> None:
        self._pace.call("destroy_node", lambda: self._inner.destroy_node(node_id))

    def list_offers(self) -> Sequence[Offer]:
        return self._pace.call("list_offers", self._inner.list_offers)

    def start_node(self, node_id: str) -> None:
        self._ability("start_node", node_id)

    def stop_node(self, node_id: str) -> None:
        self._ability("stop_node", node_id)

    def reboot_node(self, node_id: str) -> None:
        self._ability("reboot_node", node_id)

    def suspend_node(self, node_id: str) -> None:
        self._ability("suspend_node", node_id)

    def resume_node(self, node_id: str) -> None:
        self._ability("resume_node", node_id)

    def tag_node(self, node_id: str, tags: Mapping[str, str]) -> None:
        self._ability("tag_node", node_id, tags)

    def snapshot_node(self, node_id: str, name: str, tags: Mapping[str, str]) -> str:
        inner = self._inner
        if not isinstance(inner, provider.Snapshot) or self.lacks("snapshot_node"):
            raise errors.Unsupported("This provider cannot snapshot nodes.", cloud=self.cloud)
        return self._pace.call("snapshot_node", lambda: inner.snapshot_node(node_id, name, tags))

    def forget_snapshot(self, node_id: str, name: str, kept: str) -> None:
        self._ability("forget_snapshot", node_id, name, kept)

    def isolate_node(self, node_id: str) -> None:
        self._ability("isolate_node", node_id)

    def release_node(self, node_id: str) -> None:
        self._ability("release_node", node_id)

    def open_peers(self, group: PeerGroup, joining: Sequence[str], leaving: Sequence[str]) -> None:
        self._ability("open_peers", group, joining, leaving)

    def close_peers(self, name: str) -> None:
        self._ability("close_peers", name)

    def list_peers(self) -> Sequence[PeerGroup]:
        inner = self._inner
        if not isinstance(inner, provider.Firewall) or self.lacks("list_peers"):
            raise errors.Unsupported("This provider knows no groups of peers.", cloud=self.cloud)
        return self._pace.call("list_peers", inner.list_peers)

    def start_command(self, node_id: str, argvs: Sequence[Sequence[str]], timeout_s: float) -> str:
        inner = self._commands()
        return self._pace.call("start_command", lambda: inner.start_command(node_id, argvs, timeout_s))

    def command_result(self, node_id: str, command_id: str) -> CommandResult | None:
        inner = self._commands()
        return self._pace.call("command_result", lambda: inner.command_result(node_id, command_id))

    def _commands(self) -> provider.RunCommand:
        if isinstance(self._inner, provider.RunCommand) and not self.lacks("start_command"):
            return self._inner
        raise errors.Unsupported("This provider runs no commands.", cloud=self.cloud)

    def wait_events(self, wait_s: float) -> Sequence[NodeEvent]:
        return self._events().wait_events(wait_s)

    def take_events(self, receipts: Sequence[str]) -> None:
        self._events().take_events(receipts)

    def _events(self) -> provider.Events:
        """Not paced: to wait for events is no call that the cloud's machines feel."""
        if isinstance(self._inner, provider.Events) and not self.lacks("wait_events"):
            return self._inner
        raise errors.Unsupported("This provider tells of no events.", cloud=self.cloud)

    def reset(self) -> None:
        """Drop connections and cached credentials, where the inner provider keeps any; calls no cloud."""
        if isinstance(self._inner, provider.Resetting):
            self._inner.reset()

    def _ability(self, verb: str, *arguments: object) -> None:
        if self.lacks(verb):
            raise errors.Unsupported(f"This provider cannot {verb.replace('_', ' a ')}.", cloud=self.cloud)
        made: Callable[..., None] = getattr(self._inner, verb)
        self._pace.call(verb, lambda: made(*arguments))
