"""Agents of a test's own that speak the channel's protocol, in process or over a socket, and the estate they are of."""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from cloudmon.channel import keys, signing, tokens
from cloudmon.channel.channel import Channel
from cloudmon.channel.gate import Head, Reason
from cloudmon.channel.replies import Reply
from cloudmon.model import states
from cloudmon.model.guests import Report, Sections
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import ApplianceSet
from cloudmon.model.tenants import EVERYONE
from cloudmon.settings import ChannelSettings
from cloudmon.store import Store, open_store
from cloudmon.testing import FakeClock
from cloudmon.testing.guest_words import BEFORE, GuestWords

KEY = b"the channel key of these tests"
BEGIN_S = 10
"""Seconds from the channel's begin to the first word: it takes nothing that its predecessor may have taken."""


class Said(NamedTuple):
    """A request as it is sent."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def head(self) -> Head:
        return Head(b"POST", self.path.encode(), b"", self.headers, "192.0.2.7")


class Speaker:
    """What an agent says: signs requests, checks replies, and keeps its key."""

    def __init__(self, token: str, now: Any, instance: str = "") -> None:
        parsed = tokens.parse(token)
        assert parsed is not None
        self.instance = instance or secrets.token_hex(16)
        self.key_id = tokens.KEY_PREFIX + parsed.id
        self.secret = decoded(parsed.secret)
        self._token = self.key_id, self.secret
        self.boot = "boot-1"
        self.seq = 0
        self.hash = ""
        self.config = ""
        self.offset_s = 0
        self._now = now

    def say(self, what: str, content: Any, *, created: int | None = None, nonce: str = "") -> Said:
        """A signed request; ``content`` is JSON, or bytes as they are."""
        path = f"/channel/v1/{what}"
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        at = int(self._now().timestamp()) + self.offset_s if created is None else created
        headers = signing.sign_request(
            self.secret, self.key_id, method="POST", path=path, body=body, created=at,
            nonce=nonce or secrets.token_urlsafe(16),
        )  # fmt: skip
        return Said(path, headers, body)

    def enrol(self) -> Said:
        return self.say("enrol", {"v": 1, "instance": self.instance, "version": "0.1.0", "boot": self.boot})

    def enrol_again(self) -> Said:
        """With the token it began with, as an agent does whose key is refused."""
        kept = self.key_id, self.secret
        self.key_id, self.secret = self._token
        said = self.enrol()
        self.key_id, self.secret = kept
        return said

    def enrolled(self, content: dict[str, Any]) -> None:
        """Go on with the key that the answer brought."""
        self.key_id, self.secret = content["key"]["id"], decoded(content["key"]["secret"])

    def full(self, state: Sections = BEFORE, /, **other: Any) -> dict[str, Any]:
        """The content of a full report, the next one."""
        self.seq += 1
        self.hash = states.state_hash(state)
        return {
            "v": 1,
            "instance": self.instance,
            "boot": self.boot,
            "seq": self.seq,
            "at": self._now().timestamp(),
            "offset_s": 0.0,
            "version": "0.1.0",
            "why": "interval",
            "kind": "full",
            "base": "",
            "hash": self.hash,
            "config": self.config,
            "sections": dict(state),
            "results": [],
            **other,
        }

    def diff(self, before: Sections, after: Sections, **other: Any) -> dict[str, Any]:
        """The content of a report of what changed."""
        told = {"kind": "diff", "base": states.state_hash(before), "sections": states.difference(before, after)}
        return self.full(after, **{**told, **other})

    def poll(self, wait_s: float = 25, have: Sequence[str] = ()) -> dict[str, Any]:
        return {"v": 1, "wait_s": wait_s, "config": self.config, "have": list(have)}

    def believes(self, said: Said, reply: Reply) -> bool:
        """Whether the reply is signed as the answer to that request."""
        return believed(self.secret, said, reply.status, reply.headers, reply.body)


def believed(secret: bytes, said: Said, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
    """Whether a reply is signed with the secret, for this request, over exactly this."""
    signed, asked = signing.parse_reply(headers), signing.parse_request(said.headers)
    if signed is None or asked is None or not signing.digest_fits(signed.digest, body):
        return False
    if (signed.nonce, signed.key_id) != (asked.nonce, asked.key_id):
        return False
    return signing.reply_fits(signed, secret, status=status)


def decoded(secret: str) -> bytes:
    return base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))


class Estate(GuestWords):
    """A store in memory with a set whose members run, and its channel, on a clock that is told."""

    def __init__(self, count: int = 2, *, clock: Any = None, url: str = "memory", settings: Any = None) -> None:
        self.clock = clock or FakeClock()
        self.store: Store = open_store(url, log_key=b"k" * 16, anchor_dir=None, now=self.clock.now())
        self._store = self.store
        self._owner = self.store.monitors.begin(host="h", pid=1, now=self.clock.now())
        self.owner = self._owner
        self.aset: ApplianceSet = self.put(count=count)
        launches = [self.launch(self.member(self.aset, at)) for at in range(1, count + 1)]
        assert all(self.write(*launches))
        sightings = [self.confirm(one, node_id=f"n-{at}", at=self.clock.now()) for at, one in enumerate(launches)]
        assert all(self.write(*sightings))
        self.told: list[Report] = []
        self.settings = settings or ChannelSettings()
        self.channel = self.begin()
        if isinstance(self.clock, FakeClock):
            self.clock.advance(BEGIN_S)

    def begin(self) -> Channel:
        """A channel as a process begins with."""
        return Channel(
            self.store, lambda: self.owner, self.clock, self.settings, KEY, None, self.told.extend, agent=lambda: b"PK"
        )

    def close(self) -> None:
        self.channel.close()
        self.store.close()

    def id(self, ordinal: int = 1) -> ApplianceId:
        return ApplianceId(self.aset.uid, ordinal)

    def speaker(self, ordinal: int = 1, instance: str = "") -> Speaker:
        """An agent with the token of its user data, which did not enrol yet."""
        return Speaker(self.channel.token(self.id(ordinal), 1), self.clock.now, instance)

    async def ask(self, said: Said) -> Reply:
        """The channel's answer, without a socket."""

        async def body(most: int) -> bytes | Reason:
            return said.body if len(said.body) <= most else Reason.OVERSIZE

        return await self.channel.answer(said.head, body)

    async def told_by(self, speaker: Speaker, said: Said) -> dict[str, Any]:
        """The content of an answer that has to be a good one."""
        reply = await self.ask(said)
        assert reply.status == 200, reply
        assert speaker.believes(said, reply)
        found: dict[str, Any] = json.loads(reply.body)
        return found

    async def joined(self, ordinal: int = 1, instance: str = "") -> Speaker:
        """An agent that has enrolled."""
        speaker = self.speaker(ordinal, instance)
        speaker.enrolled(await self.told_by(speaker, speaker.enrol()))
        return speaker

    def key(self, speaker: Speaker) -> keys.Key:
        found = keys.parse(speaker.key_id)
        assert found is not None
        return found

    def state(self, ordinal: int = 1) -> Any:
        return self.store.reports.state(EVERYONE, self.id(ordinal))

    def after(self, seconds: float) -> dt.datetime:
        return self.clock.now() + dt.timedelta(seconds=seconds)
