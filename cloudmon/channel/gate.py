"""The one verifier: the bytes of a request in, a caller who is who he says or a refusal with its reason out.

Pure but for the memory of nonces; agents are looked up in what it is handed. It is asked twice about a request, so that
nobody's body is read before his headers were verified: :meth:`Gate.knows` about the head, :meth:`Gate.admits` about the
body. :meth:`Gate.verify` is both.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from typing import NamedTuple

from cloudmon.channel import keys, replays, signing, tokens
from cloudmon.channel.replays import Replays
from cloudmon.model.guests import Agent
from cloudmon.model.identity import ApplianceId

ENROL = b"/channel/v1/enrol"
REPORT = b"/channel/v1/report"
POLL = b"/channel/v1/poll"
SIGNATURES = b"/channel/v1/signatures"


class Reason(enum.StrEnum):
    """Why a request is refused: for the log. The caller is told nothing."""

    PATH = "no such path or method"
    UNSIGNED = "not signed in the one form that is accepted"
    KEY = "no key of ours"
    PURPOSE = "this key is for other paths"
    SIGNATURE = "the signature is wrong"
    EXPIRED = "the key has expired"
    UNKNOWN = "the appliance has no agent"
    REVOKED = "the agent was revoked"
    SUPERSEDED = "another agent was enrolled since this key was made"
    DIGEST = "the body is not what was signed"
    REPLAY = "the request was taken before"
    # Found out later, by those who read the body or the store.
    INSTANCE = "the key belongs to another agent"
    TOKEN_UNKNOWN = "there is no such enrolment"  # noqa: S105  # a sentence
    TOKEN_USED = "the token belongs to another agent"  # noqa: S105
    TOKEN_EXPIRED = "the token has expired"  # noqa: S105
    OVERSIZE = "the body is too large"
    TOO_OFTEN = "it asks more often than anybody needs"
    SLOW = "the body did not come"
    MALFORMED = "the body is malformed"


class Head(NamedTuple):
    """What comes before a request's body; all bytes as they were sent, names of headers in lower case."""

    method: bytes
    path: bytes
    """Without the query, not decoded."""
    query: bytes
    headers: signing.Headers
    peer: str = ""
    """Address of the other end, for the log only."""


class Caller(NamedTuple):
    """Somebody whose signature is right. ``secret`` signs the reply."""

    key_id: str
    secret: bytes
    nonce: str
    created: int
    digest: bytes
    key: keys.Key | None
    """None for one who enrols."""
    enrolment_id: str = ""

    def __repr__(self) -> str:
        return f"Caller({self.key_id!r})"

    @property
    def appliance(self) -> ApplianceId:
        """Whose key it is. Only of callers who have one."""
        if self.key is None:
            raise AssertionError("one who enrols is no appliance yet")
        return self.key.appliance


class Refused(NamedTuple):
    """Not to be answered with more than 401."""

    reason: Reason
    key_id: str = ""
    """What the request called itself; proven only for reasons after :attr:`Reason.SIGNATURE`."""


class ClockOff(NamedTuple):
    """The signature is right and the date is not one that is taken: the caller is told our time, signed."""

    caller: Caller


class Wait(NamedTuple):
    """The signature is right, and the caller shall come again after so many seconds."""

    caller: Caller
    retry_after_s: int


class Gate:
    """Verifies requests.

    Arguments:
        channel_key: what all keys are derived from.
        agents: the agent of an appliance, or None; asked only for callers whose signature is right.
        replays: the memory of nonces.
    """

    def __init__(self, channel_key: bytes, agents: Callable[[ApplianceId], Agent | None], memory: Replays) -> None:
        self._channel_key = channel_key
        self._agents = agents
        self._replays = memory

    def verify(
        self, head: Head, body: bytes, *, now: dt.datetime, date: float, monotonic: float
    ) -> Caller | Refused | ClockOff | Wait:
        """Who made a request; a second call with the same one refuses it as a replay."""
        found = self.knows(head, now=now, date=date, monotonic=monotonic)
        if isinstance(found, Caller):
            refused = self.admits(found, body, monotonic=monotonic)
            if refused is not None:
                return refused
        return found

    def knows(
        self, head: Head, *, now: dt.datetime, date: float, monotonic: float
    ) -> Caller | Refused | ClockOff | Wait:
        """Whose headers these are: the signature, the date, the key and its agent are right. Remembers nothing.

        Arguments:
            head: the request without its body.
            now: by which keys end.
            date: by which requests are dated, in unix seconds; it never goes back.
            monotonic: by which nonces are forgotten.
        """
        if head.method != b"POST" or head.path not in (ENROL, REPORT, POLL, SIGNATURES):
            return Refused(Reason.PATH)
        signed = signing.parse_request(head.headers)
        if signed is None:
            return Refused(Reason.UNSIGNED)
        caller = self._caller(signed)
        if caller is None:
            return Refused(Reason.KEY, signed.key_id)
        if not signing.request_fits(signed, caller.secret, method=head.method, path=head.path, query=head.query):
            return Refused(Reason.SIGNATURE, signed.key_id)
        # From here on the caller holds the secret.
        if (caller.key is None) != (head.path == ENROL):
            return Refused(Reason.PURPOSE, signed.key_id)
        reason = self.outdated(caller, now)
        if reason is not None:
            return Refused(reason, signed.key_id)
        return self._dated(caller, date, monotonic)

    def admits(self, caller: Caller, body: bytes, *, monotonic: float) -> Refused | None:
        """Whether the body is the one that was signed, for the first time; remembers the nonce then."""
        if not signing.digest_fits(caller.digest, body):
            return Refused(Reason.DIGEST, caller.key_id)
        if self._replays.seen(caller.key_id, caller.nonce, monotonic):
            return Refused(Reason.REPLAY, caller.key_id)
        self._replays.use(caller.key_id, caller.nonce, monotonic)
        return None

    def _caller(self, signed: signing.Signed) -> Caller | None:
        """Who the caller says to be, with the secret that he should have."""
        if signed.key_id.startswith(tokens.KEY_PREFIX):
            enrolment_id = signed.key_id.removeprefix(tokens.KEY_PREFIX)
            if not tokens.is_id(enrolment_id):
                return None
            key, secret = None, tokens.secret_of(self._channel_key, enrolment_id)
        else:
            enrolment_id, key = "", keys.parse(signed.key_id)
            if key is None:
                return None
            secret = keys.secret_of(self._channel_key, signed.key_id)
        return Caller(signed.key_id, secret, signed.nonce, signed.created, signed.digest, key, enrolment_id)

    def outdated(self, caller: Caller, now: dt.datetime) -> Reason | None:
        """Why a caller's key is not good any more, or None; to be asked again of one who waited."""
        return None if caller.key is None else self.lapsed(caller.key, now)

    def lapsed(self, key: keys.Key, now: dt.datetime) -> Reason | None:
        """Why a key is not good any more, or None."""
        if key.expires_at <= now.timestamp():
            return Reason.EXPIRED
        agent = self._agents(key.appliance)
        if agent is None:
            return Reason.UNKNOWN
        if agent.revoked_at is not None:
            return Reason.REVOKED
        if (key.incarnation, key.serial) != (agent.incarnation, agent.serial):
            return Reason.SUPERSEDED
        return None

    def _dated(self, caller: Caller, date: float, monotonic: float) -> Caller | Refused | ClockOff | Wait:
        if self._replays.seen(caller.key_id, caller.nonce, monotonic):
            return Refused(Reason.REPLAY, caller.key_id)
        if caller.created <= self._replays.horizon:
            # Who signs anew at once would be too early again while we have only just begun.
            left = self._replays.horizon + 1 - int(date)
            return Wait(caller, min(left, replays.AHEAD_S + 1)) if left > 0 else ClockOff(caller)
        if not date - replays.BEHIND_S <= caller.created <= date + replays.AHEAD_S:
            return ClockOff(caller)
        if self._replays.full(caller.key_id, monotonic):
            return Wait(caller, 30)
        return caller
