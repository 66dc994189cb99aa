"""What people and programs ask a running service for: written into the store, done by the service alone."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass


class RequestVerb(enum.StrEnum):
    """What can be asked."""

    START = "start"
    STOP = "stop"
    SUSPEND = "suspend"
    RESUME = "resume"
    REBOOT = "reboot"
    REPLACE = "replace"
    SNAPSHOT = "snapshot"
    ISOLATE = "isolate"
    REJOIN = "rejoin"
    """Ends an isolation; ``release`` ends what people have laid on a set."""
    RETIRE = "retire"
    EXTEND = "extend"
    PAUSE = "pause"
    PROTECT = "protect"
    MAINTAIN = "maintain"
    RELEASE = "release"
    ADOPT = "adopt"
    END_ORPHAN = "end-orphan"
    APPLY = "apply"
    """One author's whole view of wanted sets (arguments ``author`` and ``sets``, JSON of the specs)."""
    CONFIRM = "confirm"
    """Lets what a breaker or a suspicious file holds back pass."""
    COMMAND = "command"
    """A control action inside appliances (argument ``verb``, and the verb's own)."""
    ENROL = "enrol"
    """A token by hand for one appliance's agent (argument ``id``); the token itself is in no store."""
    REVOKE = "revoke"
    """An appliance's agent is not listened to any more."""
    GRANT = "grant"
    """An account on all members of a set (arguments ``user``, ``keys``, ``rights``, ``until``)."""
    WITHDRAW = "withdraw"
    """Takes such an account back (argument ``user``)."""
    NOTIFY = "notify"
    """A test message to the notifier that is its target."""


class RequestState(enum.StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked for."""

    id: str
    verb: RequestVerb
    tenant: str
    target: str
    """``storefront/3``, ``storefront/*``, ``storefront``, or ``cloud:node-id`` for adoption."""
    arguments: Mapping[str, str]
    """``until`` or ``by`` (extend), ``until`` (controls), ``kind`` (release), ``set`` and ``ordinal`` (adopt) …"""
    author: str
    reason: str
    created_at: dt.datetime
    state: RequestState = RequestState.PENDING
    outcome: str = ""
    """One sentence, once it ended or was refused."""
    ended_at: dt.datetime | None = None
