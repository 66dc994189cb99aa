"""Signed conversation with the monitor. No reply is believed that is not signed with our key for this very request."""

from __future__ import annotations

import json
import random
from typing import Any

from . import signing, transport
from .clock import Clock
from .keys import Keys

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_WANTED_PAUSE_S = 900.0
BEHIND_S = 1
"""A monitor takes what is dated a while ago, and hardly anything that is dated later than its own now."""


class Trouble(Exception):
    """It did not work, and may work later."""

    retry_after_s = 0.0


class Refused(Trouble):
    """The monitor says no and does not say why: 401, which anybody could have sent."""


class Unsigned(Trouble):
    """A reply that nobody vouches for."""


class Busy(Trouble):
    """The monitor asks to wait."""

    def __init__(self, sentence: str, retry_after_s: float) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Malformed(Trouble):
    """The monitor understood who we are and could make nothing of what we said."""


class TooLarge(Malformed):
    """It was more than the monitor takes."""


class Speaker:
    """Asks and believes. Belongs to one thread."""

    def __init__(self, line: transport.Line, keys: Keys, clock: Clock) -> None:
        self._line = line
        self._keys = keys
        self._clock = clock

    def ask(
        self, path: str, message: object, *, key: signing.Key | None = None, timeout_s: float = transport.TIMEOUT_S
    ) -> dict[str, Any]:
        """What the monitor answers. Raises :class:`Trouble` of some kind, or ``Unreachable``.

        A clock that is too far off is corrected and the question asked again, once.
        """
        body = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
        who = key or self._keys.key()
        try:
            answer = self._in_time(path, body, who, timeout_s)
        except Refused:
            if key is None:
                self._keys.refused(who)
            raise
        if key is None:
            self._keys.worked(who)
        return answer

    def close(self) -> None:
        self._line.close()

    def _in_time(self, path: str, body: bytes, key: signing.Key, timeout_s: float) -> dict[str, Any]:
        try:
            answer = self._once(path, body, key, timeout_s)
        except transport.Unreachable:
            if not self._line.reused:
                raise
            answer = self._once(path, body, key, timeout_s)
        if answer.get("clock") is True:
            answer = self._once(path, body, key, timeout_s)
            if answer.get("clock") is True:
                raise Trouble("the monitor does not accept our time although it was corrected")
        return answer

    def _once(self, path: str, body: bytes, key: signing.Key, timeout_s: float) -> dict[str, Any]:
        nonce = signing.new_nonce()
        headers = signing.sign(key, path, body, created=int(self._clock.date()) - BEHIND_S, nonce=nonce)
        began = self._clock.monotonic()
        reply = self._line.post(path, body, headers, timeout_s=timeout_s)
        took_s = self._clock.monotonic() - began
        dated = signing.believed(key, nonce, reply.status, reply.headers, reply.body)
        if dated is None:
            if reply.status == 401:
                raise Refused("the monitor does not accept us (401)")
            if reply.status == 503:
                raise Busy("the monitor is busy (503)", min(_seconds(reply), LONGEST_PAUSE_S))
            raise Unsigned(f"a reply ({reply.status}) that is not signed for us is not believed")
        answer = _object(reply)
        if reply.status == 409 and answer.get("clock") is True:
            self._told(answer, dated, took_s, refused=True)
            return answer
        if reply.status == 200:
            # A long poll's reply took its time on purpose, and says nothing of the way.
            if took_s < 5:
                self._told(answer, dated, took_s)
            return answer
        if reply.status == 503:
            raise Busy("the monitor is busy (503)", min(_seconds(reply), LONGEST_WANTED_PAUSE_S))
        if reply.status == 400:
            raise Malformed("the monitor could make nothing of what we said (400)")
        if reply.status == 413:
            raise TooLarge("what we said was more than the monitor takes (413)")
        raise Trouble(f"the monitor answers {reply.status}")

    def _told(self, answer: dict[str, Any], dated: int, took_s: float, *, refused: bool = False) -> None:
        theirs = answer.get("now")
        if isinstance(theirs, (int, float)) and 0 < theirs < 1e11:
            self._clock.correct(float(theirs), float(dated), took_s, refused=refused)


def _object(reply: transport.Reply) -> dict[str, Any]:
    if not reply.body:
        return {}
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError) as wrong:
        raise Trouble("the monitor's reply is no JSON") from wrong
    if not isinstance(found, dict):
        raise Trouble("the monitor's reply is no JSON object")
    return found


def _seconds(reply: transport.Reply) -> float:
    word = reply.headers.get("retry-after", "")
    return float(word) if word.isascii() and word.isdigit() and len(word) < 6 else 0.0


class Pause:
    """How long to wait after the next failure: doubled each time, and never the same for two agents."""

    def __init__(self, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._longest_s = longest_s
        self._next_s = FIRST_PAUSE_S

    def after(self, wrong: Exception) -> float:
        pause_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next_s = min(self._next_s * 2, self._longest_s)
        return max(pause_s, getattr(wrong, "retry_after_s", 0.0))

    def well(self) -> None:
        self._next_s = FIRST_PAUSE_S
