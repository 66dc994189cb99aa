"""Who asks: reads what a request brings, within bounds, and finds out whose it is before it is taken apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from cloudmon.channel import replies
from cloudmon.channel.bodies import Malformed
from cloudmon.channel.complaints import Complaints
from cloudmon.channel.configs import Configs
from cloudmon.channel.enrolling import Asked
from cloudmon.channel.gate import Gate, Head, Reason
from cloudmon.channel.keys import Key
from cloudmon.channel.osquery import bodies, nodekeys
from cloudmon.channel.osquery.bodies import TooLarge
from cloudmon.channel.osquery.hosts import Hosts
from cloudmon.channel.post import Post
from cloudmon.channel.replies import Reply
from cloudmon.channel.roster import Roster
from cloudmon.clock import Clock
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId

ENROLL, CONFIG, LOG = b"/osquery/v1/enroll", b"/osquery/v1/config", b"/osquery/v1/log"
READ, WRITE = b"/osquery/v1/distributed/read", b"/osquery/v1/distributed/write"

MOST_UNPROVEN = 64 << 20
"""Bytes of bodies that are read at once: whose they are most hosts show within the body only."""

MOST_A_MINUTE = 600
"""Requests of one host that are answered in a minute; ten times what the busiest one needs."""

Body = Callable[[int], Awaitable[bytes | Reason]]


class Parts(NamedTuple):
    """What the channel has that is needed here too."""

    channel_key: bytes
    gate: Gate
    roster: Roster
    post: Post
    configs: Configs
    hosts: Hosts
    enrol: Callable[[Asked], Awaitable[Agent | Reason]]
    complaints: Complaints
    clock: Clock
    closed: Callable[[], bool]

    def __repr__(self) -> str:
        return "Parts(***)"


class Callers:
    """Reads requests of hosts.

    Arguments:
        most_bytes: of a log or of answers to queries, compressed or not; ``small_bytes`` of anything else.
    """

    def __init__(self, parts: Parts, *, most_bytes: int, small_bytes: int) -> None:
        self._parts = parts
        self._most_bytes = most_bytes
        self._small_bytes = small_bytes
        self._unproven = 0
        self._since = parts.clock.monotonic()
        self._asked: dict[ApplianceId, int] = {}

    async def read(self, head: Head, body: Body) -> bytes | Reply:
        """The body, unpacked; or the reply to one that is not to be had."""
        most = self._most_bytes if head.path in (LOG, WRITE) else self._small_bytes
        headers = dict(head.headers)
        size = headers.get(b"content-length", b"")
        held = min(int(size), most) if size.isdigit() and len(size) <= 12 else most
        if self._unproven + held > MOST_UNPROVEN:
            self._parts.complaints.add("too much is being read", by="osquery", peer=head.peer)
            return failed(503, "try again later")
        self._unproven += held
        try:
            content = await body(most)
            if isinstance(content, Reason):
                return self._unread(head, content)
            encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
            return bodies.unpacked(content, encoding, most)
        except TooLarge:
            return self._unread(head, Reason.OVERSIZE)
        finally:
            self._unproven -= held

    def _unread(self, head: Head, reason: Reason) -> Reply:
        self.complain(head, reason)
        if reason is Reason.OVERSIZE and head.path in (LOG, WRITE):
            # It would send the same again for ever. What it says next brings the state to what it is.
            return replies.plain(413, {})
        return failed(413 if reason is Reason.OVERSIZE else 408, reason.value)

    def proven(self, content: bytes) -> tuple[Key, Agent] | Reason:
        """Whose body this is, as the agent is now, or why nobody's."""
        parts = self._parts
        for text in bodies.node_keys(content):
            key = nodekeys.holder(parts.channel_key, text)
            if key is None:
                continue
            agent, reason = parts.roster.get(key.appliance), parts.gate.lapsed(key, parts.clock.now())
            return reason or (Reason.UNKNOWN if agent is None else (key, agent))
        return Reason.KEY

    def is_too_much(self, appliance: ApplianceId) -> bool:
        """Count one more request of a host: whether it makes more than anybody needs."""
        now = self._parts.clock.monotonic()
        if now - self._since >= 60:
            self._since, self._asked = now, {}
        count = self._asked[appliance] = self._asked.get(appliance, 0) + 1
        return count > MOST_A_MINUTE

    def is_same(self, key: Key, node_key: str) -> None:
        """The key that was found in a body has to be the one that the body names. Malformed when it is not."""
        if nodekeys.holder(self._parts.channel_key, node_key) != key:
            raise Malformed("its node_key is another one")

    def complain(self, head: Head, reason: Reason, **about: Any) -> None:
        """Say in the log why somebody was refused."""
        self._parts.complaints.add(reason.value, by="osquery", peer=head.peer, **about)


def failed(status: int, error: str) -> Reply:
    """The reply that makes a host try again later."""
    return replies.plain(status, {"error": error})
