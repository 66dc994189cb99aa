"""What goes wrong between the caller and the dummy cloud: by chance, by schedule, or because a test says so."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

from cloudmon_providers.dummy import chance
from cloudmon_providers.dummy.settings import Faults


class Fault(enum.StrEnum):
    """One way in which one call goes wrong. The values are the names of the settings."""

    OUTAGE = "outage"
    REJECTED = "rejected"
    """The credentials are rejected; never by chance."""
    THROTTLE = "throttle"
    TIMEOUT_BEFORE = "timeout_before"
    SERVER_ERROR = "server_error"
    TIMEOUT_AFTER_EFFECT = "timeout_after_effect"
    MALFORMED = "malformed"
    EMPTY_LISTING = "empty_listing"
    PARTIAL_LISTING = "partial_listing"


INSTEAD = frozenset(Fault) - {Fault.TIMEOUT_AFTER_EFFECT, Fault.EMPTY_LISTING, Fault.PARTIAL_LISTING}
"""Faults that come instead of the call's work."""
OF_LISTINGS = frozenset({Fault.MALFORMED, Fault.EMPTY_LISTING, Fault.PARTIAL_LISTING})
"""Faults that only a listing has."""
_BY_CHANCE = tuple(fault for fault in Fault if fault not in (Fault.OUTAGE, Fault.REJECTED))


class Call(NamedTuple):
    """One call to the cloud, as its faults see it."""

    verb: str
    number: int
    """How many calls of this verb came before: what chance is drawn for."""
    at: float


class CloudFaultError(Exception):
    """The dummy cloud did not answer as it should."""

    def __init__(self, fault: Fault, retry_after_s: float = 0) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.retry_after_s = retry_after_s


class CloudRefusalError(Exception):
    """The dummy cloud refused: an HTTP status, the cloud's own code, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code


def of_call(call: Call, faults: Faults, *, seed: int, began: float, switches: Mapping[str, bool]) -> Fault | None:
    """What goes wrong with this call, None when nothing does. Tests' switches first, then the schedule, then chance."""
    if switches.get(Fault.OUTAGE) or any(since <= call.at - began < until for since, until in faults.outage):
        return Fault.OUTAGE
    if switches.get(Fault.REJECTED):
        return Fault.REJECTED
    listing = call.verb == "list_nodes"
    for fault in _BY_CHANCE:
        if fault in OF_LISTINGS and not listing:
            continue
        likely: float = getattr(faults, fault.value)
        if likely and chance.draw(seed, "fault", fault.value, call.verb, call.number) < likely:
            return fault
    return None
