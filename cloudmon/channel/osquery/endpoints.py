"""The paths of osquery's remote API: who asks, what he is told. Its client looks at no status, only at the JSON of an
answer, and takes an empty one for "well done": so whatever is not well done says so in words.

``node_invalid`` makes a host forget its key and enrol again with the token it has; ``error`` makes it try again later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from cloudmon.channel import keys, replies, tokens
from cloudmon.channel.bodies import EnrolBody, Malformed
from cloudmon.channel.configs import Config
from cloudmon.channel.enrolling import Asked
from cloudmon.channel.gate import Head, Reason
from cloudmon.channel.grouping import Full
from cloudmon.channel.intake import Taken, Taking
from cloudmon.channel.keys import Key
from cloudmon.channel.osquery import bodies, folding, nodekeys, queries
from cloudmon.channel.osquery.callers import CONFIG, ENROLL, LOG, READ, WRITE, Body, Callers, Parts, failed
from cloudmon.channel.osquery.folding import Base, Folded, Memory
from cloudmon.channel.osquery.hosts import Occasion
from cloudmon.channel.osquery.queries import Schedule
from cloudmon.channel.replies import Reply
from cloudmon.errors import StoreError
from cloudmon.model.actions import Verb
from cloudmon.model.guests import Agent, Result, Sections

ABILITIES = (Verb.REPORT_NOW.value,)
"""What an osquery host performs: it looks, and changes nothing."""

WHOLE = "whole"
"""Stands in the id of a distributed query for a command that nobody gave: the monitor itself wants to know."""

MOST_ERRORS = 1_000

_log = structlog.get_logger(__name__)


class Osquery:
    """Answers osquery hosts. Used from one event loop.

    Arguments:
        parts: of the channel.
        most_bytes: of a log, compressed or not; ``small_bytes`` of anything else but answers to queries.
    """

    def __init__(self, parts: Parts, *, most_bytes: int, small_bytes: int) -> None:
        self._parts = parts
        self._callers = Callers(parts, most_bytes=most_bytes, small_bytes=small_bytes)
        self._schedules: OrderedDict[str, Schedule] = OrderedDict()
        self._errors: OrderedDict[tuple[object, str], None] = OrderedDict()

    async def reply(self, head: Head, body: Body) -> Reply:
        """The reply to a request. Never raises for anything that a caller can do."""
        if self._parts.closed():
            return failed(503, "try again later")
        try:
            return await self._answer(head, body)
        except Full:
            error = "too much waits to be written"
        except StoreError as away:
            error = f"the store did not take it: {away.message}"
        except Exception as wrong:
            if not self._parts.closed():  # else its threads are gone
                _log.error("the channel failed at a request", path=head.path.decode("latin-1"), exc_info=wrong)
            return failed(503, "try again later")
        self._parts.complaints.add(error, by="osquery", peer=head.peer)
        return failed(503, "try again later")

    async def _answer(self, head: Head, body: Body) -> Reply:
        if head.method != b"POST" or head.path not in (ENROLL, CONFIG, LOG, READ, WRITE):
            self._complain(head, Reason.PATH)
            return failed(404, "no such path")
        try:
            content = await self._callers.read(head, body)
            if isinstance(content, Reply):
                return content
            if head.path == ENROLL:
                return await self._enrol(head, content)
            proven = self._callers.proven(content)
            if isinstance(proven, Reason):
                return self._invalid(head, proven)
            key, agent = proven
            if self._callers.is_too_much(agent.appliance):
                self._callers.complain(head, Reason.TOO_OFTEN, key_id=key.id)
                return failed(503, "try again later")
            config = await self._parts.configs.of(agent.appliance.set_uid)
            if config is None:
                return self._invalid(head, Reason.UNKNOWN, key)
            asked = self._schedule(config)
            if head.path == CONFIG:
                self._callers.is_same(key, bodies.keyed(content))
                now = self._parts.clock.now().timestamp()
                return replies.plain(200, queries.config(asked, agent.appliance, now))
            if head.path == LOG:
                return await self._log(head, key, asked, content)
            if head.path == READ:
                self._callers.is_same(key, bodies.keyed(content))
                return await self._hand_out(head, key, agent, asked)
            return await self._written(head, key, asked, content)
        except Malformed as error:
            self._complain(head, Reason.MALFORMED, what=str(error))
            return failed(400, f"the body is malformed: {error}")

    # --- what ---------------------------------------------------------------------------------------------------------

    async def _enrol(self, head: Head, content: bytes) -> Reply:
        body, parts = bodies.enrol(content), self._parts
        token = tokens.parse(body.secret)
        if token is None or not tokens.is_id(token.id):
            return self._invalid(head, Reason.KEY)
        if not tokens.fits(parts.channel_key, token):
            return self._invalid(head, Reason.SIGNATURE)
        now = parts.clock.now()
        told = EnrolBody(body.instance, f"osquery/{body.version or 'unknown'}", "osquery", ABILITIES)
        agent = await parts.enrol(Asked(token.id, told, now))
        if isinstance(agent, Reason):
            return self._invalid(head, agent, key_id=tokens.KEY_PREFIX + token.id)
        key = keys.new(agent.appliance, agent.incarnation, agent.serial, now=int(now.timestamp()))
        return replies.plain(200, {"node_key": nodekeys.text(parts.channel_key, key), "node_invalid": False})

    async def _log(self, head: Head, key: Key, asked: Schedule, content: bytes) -> Reply:
        told = bodies.log(content)
        self._callers.is_same(key, told.node_key)
        self._note(key, told.errors)
        if not told.lines:
            return replies.plain(200, {"node_invalid": False})
        now = self._parts.clock.now()

        def fold(agent: Agent, sections: Sections, memory: Memory) -> Folded:
            return folding.lines(Base(asked, sections, memory, now.timestamp(), _number(agent.version)), told.lines)

        return await self._tell(head, key, fold, Occasion("interval", len(content)))

    async def _hand_out(self, head: Head, key: Key, agent: Agent, asked: Schedule) -> Reply:
        letters = await self._parts.post.due(agent, None)
        able = [letter for letter in letters if letter["verb"] in ABILITIES]
        unable = [letter for letter in letters if letter["verb"] not in ABILITIES]
        if unable:
            results = [_result(one["id"], f"osquery cannot do {one['verb']}") for one in unable]
            told = await self._tell(head, key, _nothing, Occasion("asked", 0, results=results))
            if told.status != 200:
                return told
        ids = [letter["id"] for letter in able]
        if not ids and self._parts.hosts.of(agent.appliance).want_whole:
            ids = [WHOLE]
        found = {f"{one}/{name}": query.sql for one in ids for name, query in asked.queries.items()}
        return replies.plain(200, {"queries": found, "node_invalid": False})

    async def _written(self, head: Head, key: Key, asked: Schedule, content: bytes) -> Reply:
        told = bodies.written(content)
        self._callers.is_same(key, told.node_key)
        failed = [f"{one.id.rpartition('/')[2]}: {one.message}" for one in told.answers if not one.ok]
        self._note(key, failed)
        done: dict[str, bool] = {}
        for answer in told.answers:
            of, _, _ = answer.id.partition("/")
            done[of] = done.get(of, False) or answer.ok
        if not done:
            return replies.plain(200, {"node_invalid": False})
        why = failed[0] if failed else "it answered nothing"
        results = [
            _result(of, "" if ok else f"osquery answered no query: {why}") for of, ok in done.items() if of != WHOLE
        ]
        now, host = self._parts.clock.now(), self._parts.hosts.of(key.appliance)

        def fold(agent: Agent, sections: Sections, memory: Memory) -> Folded:
            version = _number(agent.version)
            return folding.answers(Base(asked, sections, memory, now.timestamp(), version, host.offset_s), told.answers)

        return await self._tell(head, key, fold, Occasion("asked", len(content), True, results))

    async def _tell(
        self, head: Head, key: Key, fold: Callable[[Agent, Sections, Memory], Folded], occasion: Occasion
    ) -> Reply:
        """A report of a host, one at a time; the reply to whoever brought it."""
        parts = self._parts
        async with parts.hosts.of(key.appliance).lock:
            # As it is now: somebody else may have told of it, or revoked it, while this one waited.
            agent, now = parts.roster.get(key.appliance), parts.clock.now()
            reason = Reason.UNKNOWN if agent is None else parts.gate.lapsed(key, now)
            if agent is None or reason is not None:
                return self._invalid(head, reason or Reason.UNKNOWN, key)
            believed = agent
            taken: Taken = await parts.hosts.tell(
                agent, lambda sections, memory: _versioned(fold(believed, sections, memory)),
                occasion, now,
            )  # fmt: skip
        if taken.taking is Taking.STRANGE:
            return self._invalid(head, Reason.INSTANCE, key)
        if taken.taking is not Taking.TAKEN:
            return failed(503, "it does not build on what is known; tell it again")
        if occasion.results:
            parts.post.settle(key.appliance, [result.intent_id for result in occasion.results])
        return replies.plain(200, {"node_invalid": False})

    # --- helpers of these ---------------------------------------------------------------------------------------------

    def _schedule(self, config: Config) -> Schedule:
        found = self._schedules.get(config.hash)
        if found is None:
            found = self._schedules[config.hash] = queries.schedule(config.content, config.interval_s)
            while len(self._schedules) > MOST_ERRORS:
                self._schedules.popitem(last=False)
        return found

    def _note(self, key: Key, errors: Sequence[str]) -> None:
        """What a host says went wrong, each thing once: a query that fails says why a section is not known."""
        for error in errors:
            known = (key.appliance, error)
            if known not in self._errors:
                self._errors[known] = None
                _log.warning(
                    "an osquery host tells of an error", appliance="/".join(map(str, key.appliance)), error=error
                )
        while len(self._errors) > MOST_ERRORS:
            self._errors.popitem(last=False)

    def _invalid(self, head: Head, reason: Reason, key: Key | None = None, *, key_id: str = "") -> Reply:
        self._complain(head, reason, key_id=key.id if key is not None else key_id)
        return replies.plain(401, {"node_invalid": True})

    def _complain(self, head: Head, reason: Reason, **about: Any) -> None:
        self._callers.complain(head, reason, **about)


def _result(intent_id: str, error: str) -> Result:
    return Result(intent_id, not error, None, "", error)


def _nothing(agent: Agent, sections: Sections, memory: Memory) -> Folded:
    return Folded(sections, memory, agent.offset_s, _number(agent.version), False)


def _number(version: str) -> str:
    return version.removeprefix("osquery/")


def _versioned(folded: Folded) -> Folded:
    return folded._replace(version=f"osquery/{folded.version}")
