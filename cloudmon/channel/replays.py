"""Remembers which nonces were used, so that a request which was taken is not taken again.

Nothing of it survives the process, so a restarted service could be shown what its predecessor took. It is not: a
request may be dated at most :data:`AHEAD_S` into our future, so none that a predecessor took is dated later than this
process's begin plus that; and this process takes none dated earlier than it (:attr:`Replays.horizon`). An agent that is
told so signs anew, by our clock, and loses those two seconds once.
"""

from __future__ import annotations

import math
from collections import defaultdict

from cloudmon.channel.dating import RATE

BEHIND_S = 300
"""Seconds that a request may be older than our dates say (:mod:`cloudmon.channel.dating`)."""

AHEAD_S = 2
"""Seconds that a request may be younger. Short, see above; an agent whose clock is ahead learns our time from the
refusal."""

SPAN_S = (BEHIND_S + AHEAD_S + 1) / RATE
"""Seconds for which a nonce is kept at least: our dates may pass a little slower than time does."""

PER_KEY = 3_000
"""Requests that one appliance may make within one span, ten a second: an agent that resends what it kept stays
below."""

MOST = 2_000_000
"""Nonces kept of one span, about 150 MB; no sooner forgotten than their requests are too old: above it requests are
asked to wait."""


class Replays:
    """Nonces in two spans of time: what is in neither is older than any request that is still taken.

    Arguments:
        begun: when this process began, in unix seconds.
        monotonic: the same instant on a clock that never jumps; spans are counted on it, so that a jump of the wall
            forgets nothing early.
    """

    def __init__(self, begun: float, monotonic: float, *, per_key: int = PER_KEY, most: int = MOST) -> None:
        self.horizon = math.ceil(begun) + AHEAD_S
        """Requests dated at or before this are not taken."""
        self._per_key = per_key
        self._most = most
        self._since = monotonic
        self._now: set[int] = set()
        self._before: set[int] = set()
        self._counts: dict[str, int] = defaultdict(int)

    def seen(self, holder: str, nonce: str, monotonic: float) -> bool:
        """Whether this nonce of this holder was used."""
        self._turn(monotonic)
        mark = hash((holder, nonce))
        return mark in self._now or mark in self._before

    def full(self, holder: str, monotonic: float) -> bool:
        """Whether the holder, or everybody together, made more requests than can be remembered."""
        self._turn(monotonic)
        return self._counts.get(holder, 0) >= self._per_key or len(self._now) >= self._most

    def use(self, holder: str, nonce: str, monotonic: float) -> None:
        """Remember a nonce. Only what was verified is: nobody without a key fills this memory."""
        self._turn(monotonic)
        # 64 keyed bits stand for the nonce: a million of them meet by accident once in ten million spans, and then
        # one honest request is signed anew.
        self._now.add(hash((holder, nonce)))
        self._counts[holder] += 1

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def _turn(self, monotonic: float) -> None:
        if monotonic - self._since <= SPAN_S:
            return
        far = monotonic - self._since > 2 * SPAN_S
        self._before = set() if far else self._now
        self._now = set()
        self._counts = defaultdict(int)
        self._since = monotonic
