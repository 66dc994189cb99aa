"""What one more failure in a row means: when the next try is due, and from when on an open incident says so.

Every repetition is limited and backed off; these are the rules, for whoever repeats something.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from cloudmon.model.appliances import Member
from cloudmon.model.findings import Finding, FindingKind
from cloudmon.model.identity import ApplianceId
from cloudmon.model.sets import Healing

FORGOTTEN: Mapping[str, object] = {"rung": 0, "attempts": 0, "retry_at": None}
"""Columns of a member's row for which no setback counts any more: somebody wants it tried anew."""


def any_of(member: Member) -> bool:
    """Whether setbacks count against it."""
    return bool(member.rung or member.attempts or member.retry_at)


def pause(healing: Healing, failures: int) -> dt.timedelta:
    """How long to wait after so many failures in a row."""
    return dt.timedelta(seconds=min(healing.backoff_max_s, healing.backoff_s * 2 ** min(max(failures - 1, 0), 20)))


class Whom(NamedTuple):
    """Whose failure it is, and by which policy it is judged."""

    appliance: ApplianceId
    tenant: str
    set_name: str
    healing: Healing


class Setback(NamedTuple):
    """What a failed launch comes to."""

    attempts: int
    """Failures in a row, this one among them."""
    retry_at: dt.datetime | None
    """None: at once."""
    findings: tuple[Finding, ...] = ()

    @property
    def values(self) -> dict[str, object]:
        """Columns of the member's row."""
        return {"attempts": self.attempts, "retry_at": self.retry_at}


def launch_failed(  # one thing each, named by the caller
    whom: Whom, attempts: int, why: str, evidence: Mapping[str, object], now: dt.datetime, *, next_at_once: bool
) -> Setback:
    """One more launch that came to nothing: it was refused, had no answer, or its node ended before it ran.

    Arguments:
        whom: whose launch it was.
        attempts: failures in a row before this one.
        why: what became of it, for people.
        evidence: what shows it.
        now: the instant of knowing.
        next_at_once: whether the next try is another one, on another offer, that need not wait.

    From ``healing.launch_attempts`` failures on the pause is the longest there is, and an incident is open.
    """
    healing, failures = whom.healing, attempts + 1
    uid, ordinal = whom.appliance
    if failures < healing.launch_attempts:
        return Setback(failures, None if next_at_once else now + pause(healing, failures))
    said = Finding(
        FindingKind.INCIDENT, f"{uid}/{ordinal}", whom.tenant, "critical",
        f"{whom.set_name}/{ordinal}: {failures} launches failed, the last with {why}", evidence, now,
    )  # fmt: skip
    return Setback(failures, now + dt.timedelta(seconds=healing.backoff_max_s), (said,))


def lost(healing: Healing, rung: int, now: dt.datetime) -> Mapping[str, object]:
    """One more rung, because a node was lost, or turned off, that nobody asked for.

    The first time what was lost is given back at once; when it is lost again before it ran for ``steady_s``, each
    time after a longer pause, and once more than ``max_attempts`` rungs are climbed not at all, see :func:`spent`.
    """
    values: dict[str, object] = {"rung": rung + 1}
    if rung:
        values["retry_at"] = now + pause(healing, rung)
    return values


def spent(healing: Healing, rung: int) -> bool:
    """Whether ``max_attempts`` tries have been made, and what they gave back was lost once more."""
    return rung > healing.max_attempts
