"""What an appliance says of itself, and how it is known: agents, enrolments, reports."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cloudmon.model.identity import ApplianceId

Sections = Mapping[str, Mapping[str, object]]
"""The state of an appliance by section (``packages``, ``accounts``, ``disks`` …), each by the name of its item. What is
not known is absent, never null."""


class ReportKind(enum.StrEnum):
    """How a report tells the state."""

    FULL = "full"
    """All of it."""
    DIFF = "diff"
    """What changed since the report whose hash it names."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent that speaks for an appliance now, and how far it was heard."""

    appliance: ApplianceId
    tenant: str
    incarnation: int
    instance: str
    """Made by the agent when it was installed: two agents with one token are told apart by it."""
    version: str
    enrolled_at: dt.datetime
    serial: int
    """Keys with a smaller serial number are not accepted any more."""
    revoked_at: dt.datetime | None = None
    boot: str = ""
    """Boot id of the newest report; empty before the first."""
    seq: int = 0
    """Number of the newest report of that boot."""
    hash: str = ""
    """Hash of the whole state after it; the next difference must build on it."""
    received_at: dt.datetime | None = None
    """When the newest report came in, by our clock."""
    offset_s: float = 0.0
    """Seconds by which the appliance's clock is ahead of ours, as of the newest report."""
    abilities: tuple[str, ...] | None = None
    """Verbs that it performs, as it said when it enrolled; None: every verb of agents."""

    def performs(self, verb: str) -> bool:
        """Whether a command with this verb can be given to it."""
        return self.abilities is None or verb in self.abilities

    def speaks(self, report: Report) -> bool:
        """Whether the report is this very agent's."""
        return (self.instance, self.incarnation) == (report.instance, report.incarnation)

    def after(self, report: Report) -> Agent:
        """As it stands once this report of it was written."""
        return replace(
            self,
            boot=report.boot,
            seq=report.seq,
            hash=report.hash,
            received_at=report.received_at,
            offset_s=report.offset_s,
            version=report.version,
        )


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A token that was handed out by hand; those of user data need no row until they are used."""

    id: str
    appliance: ApplianceId
    tenant: str
    incarnation: int
    author: str
    created_at: dt.datetime
    expires_at: dt.datetime
    used_at: dt.datetime | None = None
    instance: str = ""
    """Whose it became; the same agent may ask again, since the answer can get lost."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command came to, as the agent tells it."""

    intent_id: str
    ok: bool
    exit: int | None
    """Exit code, where a program was run."""
    output: str
    """Its last lines, at most 16 KiB."""
    error: str
    """One sentence; empty when ``ok``."""
    ended_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One report that was verified."""

    appliance: ApplianceId
    tenant: str
    incarnation: int
    instance: str
    boot: str
    seq: int
    kind: ReportKind
    base: str
    """Hash that a difference builds on; empty for a full one."""
    hash: str
    """Hash of the whole state after it."""
    why: str
    """``start``, ``interval``, ``change``, ``fault`` or ``asked``."""
    reported_at: dt.datetime
    """By the appliance's clock, its known offset taken off."""
    received_at: dt.datetime
    body: Mapping[str, object]
    """The sections of a full report; of a difference, by section, ``{"set": {…}, "del": […]}``."""
    results: Sequence[Result] = ()
    version: str = ""
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GuestState:
    """The state of one appliance as its reports add up to it."""

    appliance: ApplianceId
    incarnation: int
    boot: str
    seq: int
    hash: str
    reported_at: dt.datetime
    received_at: dt.datetime
    sections: Sections = field(default_factory=dict)
