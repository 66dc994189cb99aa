"""Probes: how an appliance is asked from outside whether it serves, and what came of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

INTERVALS, PATIENCE_S = 3, 60.0
"""Intervals that may pass without a result, and seconds beyond, before the last one counts no more."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the certificate of who answers is looked at."""

    verify: bool = True
    """Whether it must be good: for the name that is asked for, in its time, of an authority that is believed."""
    ca: str = ""
    """Certificates of the authorities that are believed, in PEM; empty: those of the monitor's machine."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question that the monitor puts to an appliance over the network. Exactly one of ``tcp`` and ``path`` is
    asked for."""

    tcp: int = 0
    """Port that must accept a connection; 0 asks by HTTP."""
    port: int = 80
    """Port for HTTP."""
    path: str = ""
    """What is fetched by HTTP; empty asks by TCP."""
    status: int = 200
    """Status that the answer must have. A redirect is an answer and is not followed."""
    timeout_s: float = 5
    interval_s: float = 30
    address: str = "private"
    """Which of its node's addresses: ``private`` or ``public``."""
    family: int = 0
    """4 or 6: the first address of that version of IP; 0: the first."""
    host: str = ""
    """Name that is asked for by HTTP, and that the certificate must be for; empty: the address itself."""
    tls: Tls | None = None
    """None asks by HTTP without TLS."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe came to last."""

    incarnation: int
    ok: bool
    error: str
    """What was wrong; empty when nothing."""
    at: dt.datetime
    """When it ended."""
    since: dt.datetime
    """When the first of the results ended that have said the same, one after another."""
    address: str
    """Where it was asked."""
    interval_s: float
    certificate_until: dt.datetime | None = None
    """End of the certificate that was shown; None where none was."""

    @property
    def stale_at(self) -> dt.datetime:
        """When it counts no more, if no other comes."""
        return self.at + dt.timedelta(seconds=INTERVALS * self.interval_s + PATIENCE_S)
