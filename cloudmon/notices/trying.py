"""When a delivery is tried, when it is tried again, and when no more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from cloudmon.errors import NoticeRefused, NotifierError, NotifierUnavailable
from cloudmon.model.messages import DIGEST, Delivery, DeliveryEvent, DeliveryState

FIRST_S, LONGEST_S = 5.0, 900.0
"""Pauses after the first try that failed, and at most; doubled with each."""
LONGEST_WISH_S = 86_400.0
"""For longer than that nobody is left alone because he asked for it."""
MOST_REFUSALS = 10
"""Tries of one that is refused though others may not be: it must not stand in the way of what comes after it."""


def due(pending: Sequence[Delivery], now: dt.datetime) -> list[Delivery]:
    """Those of one notifier that may be tried now, the ones that failed least first; no two of one subject, so that
    each subject's arrive in order. A digest is about all subjects of its tenant: it comes after all before it, and
    before all after it.

    Arguments:
        pending: all of them, or the oldest, in their order.
    """
    free = (one for one in _heads(pending) if one.due_at <= now)
    # Somebody waits for what comes of a trial.
    return sorted(free, key=lambda one: (one.event is not DeliveryEvent.TEST, one.attempts, one.seq))


def next_at(pending: Sequence[Delivery]) -> dt.datetime | None:
    """When one may be tried next; None when there is none."""
    return min((one.due_at for one in _heads(pending)), default=None)


def _heads(pending: Sequence[Delivery]) -> list[Delivery]:
    found: list[Delivery] = []
    seen: set[tuple[str, str]] = set()
    waiting: set[str] = set()
    barred: set[str] = set()
    for one in pending:
        is_digest = one.subject == DIGEST
        is_free = one.tenant not in (waiting if is_digest else barred) and (one.tenant, one.subject) not in seen
        if is_free:
            found.append(one)
        seen.add((one.tenant, one.subject))
        waiting.add(one.tenant)
        if is_digest:
            barred.add(one.tenant)
    return found


def begun(delivery: Delivery) -> Delivery:
    """One more try of it is made."""
    return replace(delivery, attempts=delivery.attempts + 1)


def masked(delivery: Delivery, error: str) -> Delivery:
    """With these words for what was wrong, or remarked."""
    return replace(delivery, error=error)


def sent(delivery: Delivery, remark: str, now: dt.datetime) -> Delivery:
    """The other side took it."""
    return replace(delivery, state=DeliveryState.SENT, ended_at=now, error=remark)


def failed(delivery: Delivery, error: NotifierError, now: dt.datetime, *, give_up_after_s: float) -> Delivery:
    """A try of it failed: when it is due again, or that it is given up.

    Arguments:
        delivery: with the try that failed counted.
        error: why.
        now: when it failed.
        give_up_after_s: seconds after which it is too old to be of use.
    """
    wait_s = pause_s(delivery.attempts)
    if isinstance(error, NotifierUnavailable) and error.retry_after_s is not None:
        wait_s = max(wait_s, error.retry_after_s)
    until = delivery.created_at + dt.timedelta(seconds=give_up_after_s)
    # Compared as seconds: what the other side asks for may be no instant at all.
    too_late = wait_s > (until - now).total_seconds()
    refused = isinstance(error, NoticeRefused) and delivery.attempts >= MOST_REFUSALS
    if delivery.event is DeliveryEvent.TEST:
        return buried(delivery, error.message, now)
    if too_late or refused:
        return buried(delivery, f"given up after {delivery.attempts} tries: {error.message}", now)
    return replace(delivery, error=error.message, due_at=now + dt.timedelta(seconds=wait_s))


def buried(delivery: Delivery, why: str, now: dt.datetime) -> Delivery:
    """Nobody tries any more."""
    return replace(delivery, state=DeliveryState.DEAD, ended_at=now, error=why)


def pause_s(attempts: int) -> float:
    """Seconds to wait after so many tries that failed."""
    return min(LONGEST_S, FIRST_S * 2.0 ** max(0, min(attempts, 30) - 1))
