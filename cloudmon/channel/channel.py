"""The appliance channel as a whole: requests of agents in, signed replies out. It knows the store and no monitor.

The ASGI routes hand it heads and bodies (:meth:`Channel.answer`), the service rings when there are commands, and is
told of reports. Waiting is ``async`` and costs no thread; the store is called on threads, all writes on one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog

from cloudmon.channel import bodies, gate, intake, keys, malware, replies, shipping, tokens
from cloudmon.channel.authority import Authority
from cloudmon.channel.bodies import Malformed
from cloudmon.channel.complaints import Complaints
from cloudmon.channel.configs import Configs
from cloudmon.channel.dating import Dates
from cloudmon.channel.enrolling import Asked, Enrolling
from cloudmon.channel.gate import Caller, ClockOff, Gate, Head, Reason, Refused, Wait
from cloudmon.channel.grouping import Full, Grouped
from cloudmon.channel.intake import Intake, Taking
from cloudmon.channel.post import Post
from cloudmon.channel.replays import Replays
from cloudmon.channel.replies import Reply
from cloudmon.channel.roster import Roster
from cloudmon.clock import Clock
from cloudmon.errors import StoreError
from cloudmon.model import states
from cloudmon.model.guests import Agent, Report, ReportKind
from cloudmon.model.identity import ApplianceId
from cloudmon.settings import ChannelSettings, MalwareSettings
from cloudmon.store import Ownership, Store

if TYPE_CHECKING:
    from cloudmon.channel.osquery.endpoints import Osquery

CA_PEM = b"/channel/v1/ca.pem"
AGENT_PYZ = b"/channel/v1/agent.pyz"

RETRY_S = 5
"""Seconds after which an agent shall try again while the store is away or too much waits."""

RENEW_S = 86_400.0
"""Seconds between two looks at how long the certificate is good."""

SMALL_BODY = 64 << 10
"""Bytes of any body but a report's, at most."""

_log = structlog.get_logger(__name__)

Body = Callable[[int], Awaitable[bytes | Reason]]
"""Reads a request's body of at most so many bytes, or says why it cannot be had."""


class Channel:
    """The server side of the channel. Made once; :meth:`close` ends it.

    Arguments:
        store: where agents, reports and commands are kept; its agents are read here.
        owner_of: the ownership under which is written, asked each time.
        clock: what tells the time.
        settings: ``[channel]`` of the settings file.
        key: the channel key, which all keys and tokens are derived from.
        authority: the CA that agents trust; None where a proxy shows a certificate.
        on_reports: told of reports once they are written, in their order, on a thread of the channel's: it hands them
            on and returns at once.
        agent: builds the agent that machines fetch.
        looks_for: what the settings in force say of malware.

    Raises StoreUnavailable when the store does not answer.
    """

    def __init__(  # noqa: PLR0913  # what it joins
        self,
        store: Store,
        owner_of: Callable[[], Ownership],
        clock: Clock,
        settings: ChannelSettings,
        key: bytes,
        authority: Authority | None,
        on_reports: Callable[[Sequence[Report]], None],
        *,
        agent: Callable[[], bytes] = shipping.build,
        looks_for: Callable[[], MalwareSettings | None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.complaints = Complaints(clock)
        self._clock = clock
        self._key = key
        self._authority = authority
        self._agent = agent
        self._looks_for = looks_for
        self._built: bytes | None = None
        self._closed = False
        self._renew_at = clock.monotonic() + RENEW_S
        self.roster = Roster(store)
        self.roster.load()
        begun, monotonic = clock.now().timestamp(), clock.monotonic()
        self._dates = Dates(begun, monotonic)
        memory = Replays(begun, monotonic)
        self._gate = Gate(key, self.roster.get, memory)
        self._writer = ThreadPoolExecutor(1, "channel-writer")
        self._readers = ThreadPoolExecutor(4, "channel-reader")
        self._intake = Intake(store, owner_of, clock, self.roster, self._writer, on_reports)
        self._post = Post(store, owner_of, clock, writer=self._writer, readers=self._readers)
        self._configs = Configs(
            store, self._readers, clock, least_interval_s=settings.least_interval_s, looks_for=looks_for
        )
        enrolling = Enrolling(store, owner_of, self.roster)
        self._osquery = self._made_osquery(store) if settings.osquery else None
        self._enrolments: Grouped[Asked, Agent | Reason] = Grouped(
            lambda many: [enrolling.enrol(one) for one in many], self._writer, most_at_once=1
        )

    def _made_osquery(self, store: Store) -> Osquery:
        from cloudmon.channel.osquery.callers import Parts  # noqa: PLC0415  # few have hosts of that kind
        from cloudmon.channel.osquery.endpoints import Osquery  # noqa: PLC0415
        from cloudmon.channel.osquery.hosts import Hosts  # noqa: PLC0415

        hosts = Hosts(store, self._readers, self._intake)
        parts = Parts(
            self._key, self._gate, self.roster, self._post, self._configs, hosts,
            lambda asked: self._enrolments.put(asked.enrolment_id, asked), self.complaints, self._clock,
            lambda: self._closed,
        )  # fmt: skip
        return Osquery(parts, most_bytes=self.settings.report_max_kib << 10, small_bytes=SMALL_BODY)

    # --- for the service ----------------------------------------------------------------------------------------------

    def ring(self, appliances: Iterable[ApplianceId]) -> None:
        """There may be commands for these, or another configuration: whoever waits is answered now. From any thread;
        returns at once."""
        self._post.ring(appliances)

    def retell(self, set_uids: Iterable[str]) -> None:
        """What the agents of these sets are told is another thing: whoever waits is told now, the others with the
        reply to their next request. From any thread; returns at once."""
        self._post.retell(set_uids, self._configs.forget)

    def want_full(self, appliances: Iterable[ApplianceId]) -> None:
        """Ask these for a full report with the reply to their next one. From any thread; returns at once."""
        self._intake.want_full(appliances)

    def reload(self, appliances: Iterable[ApplianceId]) -> None:
        """Their agents' rows were changed by somebody else (revoked): read them, and let go who waits with an old key.
        From any thread but the one that ``on_reports`` is called on."""
        asked = tuple(appliances)
        self.roster.reload(asked)
        self._post.ring(asked)

    def token(self, appliance: ApplianceId, incarnation: int) -> str:
        """The token in the user data of an incarnation: always the same one. A secret."""
        return tokens.text(self._key, self.ca_hash, tokens.id_of_user_data(appliance, incarnation))

    @property
    def ca_hash(self) -> str:
        """As it stands in tokens."""
        return tokens.NO_CA if self._authority is None else self._authority.ca_hash

    @property
    def waiting(self) -> int:
        """How many agents wait for a command now."""
        return self._post.waiting

    def close(self) -> None:
        """Answer all who wait, and end the threads once what is under way is written; who comes later is asked to come
        again. A second call is quiet."""
        self._closed = True
        self._post.close()
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)

    # --- for the routes -----------------------------------------------------------------------------------------------

    async def answer(self, head: Head, body: Body) -> Reply:
        """The reply to a request. Never raises for anything that a caller can do."""
        if self._osquery is not None and head.path.startswith(b"/osquery/"):
            return await self._osquery.reply(head, body)
        if self._closed:
            return replies.refused(503, retry_after_s=RETRY_S)
        if head.method == b"GET":
            return await self._public(head)
        found = self._gate.knows(head, now=self._clock.now(), date=self._date(), monotonic=self._clock.monotonic())
        if isinstance(found, Refused):
            return self._refused(head, found.reason, found.key_id)
        if isinstance(found, ClockOff):
            self.complaints.add("its clock is off", key_id=found.caller.key_id, peer=head.peer)
            told = {"v": 1, "clock": True, "now": self._unix()}
            return self._signed(found.caller, 409, told)
        if isinstance(found, Wait):
            return self._later(found.caller, found.retry_after_s)
        content = await body(self._most_bytes(head.path))
        if isinstance(content, Reason):
            return self._unread(head, found, content)
        refused = self._gate.admits(found, content, monotonic=self._clock.monotonic())
        if refused is not None:
            return self._refused(head, refused.reason, found.key_id)
        return await self._verified(head, found, content)

    async def _verified(self, head: Head, caller: Caller, content: bytes) -> Reply:
        try:
            if head.path == gate.REPORT:
                return await self._report(head, caller, content)
            if head.path == gate.POLL:
                return await self._poll(head, caller, content)
            if head.path == gate.SIGNATURES:
                return await self._signatures(head, caller, content)
            return await self._enrol(head, caller, content)
        except Malformed as error:
            self.complaints.add(Reason.MALFORMED.value, key_id=caller.key_id, peer=head.peer, what=str(error))
            return self._signed(caller, 400, None)
        except Full:
            self.complaints.add("too much waits to be written", key_id=caller.key_id)
            return self._later(caller, RETRY_S)
        except StoreError as error:
            self.complaints.add("the store did not take it", error=error.message)
            return self._later(caller, RETRY_S)
        except Exception as error:
            if self._closed:  # its threads are gone
                return self._later(caller, RETRY_S)
            _log.error("the channel failed at a request", path=head.path.decode("ascii"), exc_info=error)
            return self._later(caller, RETRY_S)

    async def _enrol(self, head: Head, caller: Caller, content: bytes) -> Reply:
        asked = Asked(caller.enrolment_id, bodies.enrol(content), self._clock.now())
        agent = await self._enrolments.put(caller.enrolment_id, asked)
        if isinstance(agent, Reason):
            return self._refused(head, agent, caller.key_id)
        config = await self._configs.of(agent.appliance.set_uid)
        if config is None:
            return self._refused(head, Reason.TOKEN_UNKNOWN, caller.key_id)
        now = self._unix()
        key = keys.new(agent.appliance, agent.incarnation, agent.serial, now=now)
        content_back: dict[str, Any] = {
            "v": 1,
            "appliance": f"{config.name}/{agent.appliance.ordinal}",
            "key": self._shown(key),
            "interval_s": config.interval_s,
            "config": config.content,
            "now": now,
        }
        return self._signed(caller, 200, content_back)

    async def _report(self, head: Head, caller: Caller, content: bytes) -> Reply:
        body = bodies.report(content)
        agent = self.roster.get(caller.appliance)
        if agent is None or not intake.belongs(agent, body.instance):
            return self._refused(head, Reason.INSTANCE, caller.key_id)
        if body.kind is ReportKind.FULL and states.state_hash(body.sections) != body.hash:
            raise Malformed("the hash is not that of the sections")
        report = intake.report_of(agent, body, self._clock.now())
        taken = await self._intake.take(report, len(content))
        if taken.taking is Taking.STRANGE:
            return self._refused(head, Reason.INSTANCE, caller.key_id)
        is_taken = taken.taking is not Taking.MISFIT
        if is_taken and report.results:
            self._post.settle(agent.appliance, [result.intent_id for result in report.results])
        back: dict[str, Any] = {
            "v": 1,
            "taken": is_taken,
            "want": "full" if taken.want_full else None,
            "seq": taken.seq,
            "commands": await self._post.due(agent, None),
        }
        return await self._told(caller, agent, body.config, back)

    async def _poll(self, head: Head, caller: Caller, content: bytes) -> Reply:
        body = bodies.poll(content)
        del content  # ten thousand wait here
        agent = self.roster.get(caller.appliance)
        if agent is None:
            return self._refused(head, Reason.UNKNOWN, caller.key_id)
        commands = await self._post.due(agent, body.have)
        config = await self._configs.of(agent.appliance.set_uid)
        if not commands and (config is None or config.hash == body.config):
            await self._post.wait(agent.appliance, body.wait_s)
            reason = self._gate.outdated(caller, self._clock.now())
            agent = self.roster.get(caller.appliance)
            if reason is not None or agent is None:
                return self._refused(head, reason or Reason.UNKNOWN, caller.key_id)
            commands = await self._post.due(agent, body.have)
        return await self._told(caller, agent, body.config, {"v": 1, "commands": commands})

    async def _signatures(self, head: Head, caller: Caller, content: bytes) -> Reply:
        asked = bodies.signatures(content)
        agent = self.roster.get(caller.appliance)
        if agent is None:
            return self._refused(head, Reason.UNKNOWN, caller.key_id)
        found = await asyncio.get_running_loop().run_in_executor(self._readers, malware.part, self._looks_for(), asked)
        return self._signed(caller, 200, {"v": 1, **found, "now": self._unix()})

    async def _told(self, caller: Caller, agent: Agent, config_hash: str, back: dict[str, Any]) -> Reply:
        """The reply with what every verified agent is told: its next key, another configuration, the time."""
        config = await self._configs.of(agent.appliance.set_uid)
        self._look_at_certificate()
        now = self._unix()
        key = keys.renewed(caller.key, agent.serial, now=now) if caller.key is not None else None
        if key is not None:
            back["key"] = self._shown(key)
        if config is not None and config.hash != config_hash:
            back["config"] = config.content
        back["now"] = now
        return self._signed(caller, 200, back)

    def _look_at_certificate(self) -> None:
        """A service may run longer than a certificate."""
        if self._authority is not None and self._clock.monotonic() >= self._renew_at and not self._closed:
            self._renew_at = self._clock.monotonic() + RENEW_S
            self._readers.submit(self._renew, self._authority)

    def _renew(self, authority: Authority) -> None:
        try:
            if authority.renew(self._clock.now()):
                _log.info("the channel's certificate was made anew")
        except Exception as error:
            _log.error("the channel's certificate could not be made anew", exc_info=error)

    async def _public(self, head: Head) -> Reply:
        if head.path == CA_PEM and self._authority is not None:
            return replies.public(self._authority.ca_pem, replies.PEM)
        if head.path == AGENT_PYZ:
            if self._built is None:
                self._built = await asyncio.get_running_loop().run_in_executor(self._readers, self._agent)
            return replies.public(self._built, replies.BYTES)
        return replies.refused(404)

    def _unread(self, head: Head, caller: Caller, reason: Reason) -> Reply:
        """The reply to one whose head is right and whose body is not to be had."""
        if reason is not Reason.OVERSIZE:
            return self._refused(head, reason, caller.key_id)
        self.complaints.add(reason.value, key_id=caller.key_id, peer=head.peer)
        return self._signed(caller, 413, None)

    def _refused(self, head: Head, reason: Reason, key_id: str = "") -> Reply:
        self.complaints.add(reason.value, key_id=key_id, peer=head.peer)
        return replies.refused(404 if reason is Reason.PATH else 401)

    def _signed(self, caller: Caller, status: int, content: dict[str, Any] | None, *, retry_after_s: int = 0) -> Reply:
        return replies.signed(caller, status, content, date=int(self._date()), retry_after_s=retry_after_s)

    def _later(self, caller: Caller, retry_after_s: int) -> Reply:
        return self._signed(caller, 503, None, retry_after_s=retry_after_s)

    def _shown(self, key: keys.Key) -> dict[str, Any]:
        secret = keys.shown(keys.secret_of(self._key, key.id))
        return {"id": key.id, "secret": secret, "expires_at": key.expires_at}

    def _most_bytes(self, path: bytes) -> int:
        return self.settings.report_max_kib << 10 if path == gate.REPORT else SMALL_BODY

    def _date(self) -> float:
        """By which requests and replies are dated, whatever becomes of the wall's time."""
        return self._dates.now(self._clock.now().timestamp(), self._clock.monotonic())

    def _unix(self) -> int:
        return int(self._clock.now().timestamp())
