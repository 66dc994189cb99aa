"""Control actions: verbs, classes, intents written down before they are performed, outcomes, and the log's entries."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudmon.model.identity import ApplianceId


class Verb(enum.StrEnum):
    """Control actions: on a node, performed by its cloud, and inside an appliance, performed by its agent."""

    LAUNCH = "launch"
    START = "start"
    STOP = "stop"
    SUSPEND = "suspend"
    RESUME = "resume"
    REBOOT = "reboot"
    TERMINATE = "terminate"
    ADOPT = "adopt"
    SNAPSHOT = "snapshot"
    SNAPSHOT_END = "snapshot_end"
    """The end of a snapshot that was kept for as long as the settings say: of the whole set, ordinal 0."""
    ISOLATE = "isolate"
    """Nothing in or out of the node; it goes on as it was."""
    RELEASE = "release"
    """The end of that."""
    PEERS_OPEN = "peers_open"
    """Who of a set is let talk to whom, at which ports: of the whole set, ordinal 0."""
    PEERS_CLOSE = "peers_close"
    """The end of that."""

    REPORT_NOW = "report_now"
    APP_INSTALL = "app_install"
    APP_REMOVE = "app_remove"
    APP_RESTART = "app_restart"
    APP_STOP = "app_stop"
    APP_SUSPEND = "app_suspend"
    APP_RESUME = "app_resume"
    APP_UPDATE = "app_update"
    JOB_RUN = "job_run"
    PROCESS_END = "process_end"
    SCAN = "scan"
    QUARANTINE = "quarantine"
    ACCOUNT_GRANT = "account_grant"
    ACCOUNT_REVOKE = "account_revoke"
    AGENT_UPGRADE = "agent_upgrade"


GUEST_VERBS: frozenset[Verb] = frozenset(
    (
        Verb.REPORT_NOW,
        Verb.APP_INSTALL,
        Verb.APP_REMOVE,
        Verb.APP_RESTART,
        Verb.APP_STOP,
        Verb.APP_SUSPEND,
        Verb.APP_RESUME,
        Verb.APP_UPDATE,
        Verb.JOB_RUN,
        Verb.PROCESS_END,
        Verb.SCAN,
        Verb.QUARANTINE,
        Verb.ACCOUNT_GRANT,
        Verb.ACCOUNT_REVOKE,
        Verb.AGENT_UPGRADE,
    )
)
"""Those that an agent performs; an intent of one is a command."""


class ActionClass(enum.StrEnum):
    """How much an action can hurt; budgets are kept by class."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"
    RETIREMENT = "retirement"
    """A termination born of a recorded lease end or removal, or the end of a snapshot that was kept long enough: its
    own budget, tried until done."""


CLASS_OF: Mapping[Verb, ActionClass] = {
    Verb.LAUNCH: ActionClass.SAFE,
    Verb.START: ActionClass.SAFE,
    Verb.RESUME: ActionClass.SAFE,
    Verb.ADOPT: ActionClass.SAFE,
    Verb.SNAPSHOT: ActionClass.SAFE,
    Verb.SNAPSHOT_END: ActionClass.RETIREMENT,
    Verb.ISOLATE: ActionClass.DISRUPTIVE,
    Verb.RELEASE: ActionClass.SAFE,
    Verb.PEERS_OPEN: ActionClass.SAFE,
    Verb.PEERS_CLOSE: ActionClass.SAFE,
    Verb.STOP: ActionClass.DISRUPTIVE,
    Verb.SUSPEND: ActionClass.DISRUPTIVE,
    Verb.REBOOT: ActionClass.DISRUPTIVE,
    Verb.TERMINATE: ActionClass.DESTRUCTIVE,
    Verb.REPORT_NOW: ActionClass.SAFE,
    Verb.APP_INSTALL: ActionClass.SAFE,
    Verb.JOB_RUN: ActionClass.SAFE,
    Verb.SCAN: ActionClass.SAFE,
    Verb.ACCOUNT_GRANT: ActionClass.SAFE,
    Verb.APP_REMOVE: ActionClass.DISRUPTIVE,
    Verb.APP_RESTART: ActionClass.DISRUPTIVE,
    Verb.APP_STOP: ActionClass.DISRUPTIVE,
    Verb.APP_SUSPEND: ActionClass.DISRUPTIVE,
    Verb.APP_RESUME: ActionClass.DISRUPTIVE,
    Verb.APP_UPDATE: ActionClass.DISRUPTIVE,
    Verb.PROCESS_END: ActionClass.DISRUPTIVE,
    Verb.QUARANTINE: ActionClass.DISRUPTIVE,
    Verb.ACCOUNT_REVOKE: ActionClass.DISRUPTIVE,
    Verb.AGENT_UPGRADE: ActionClass.DISRUPTIVE,
}


class Origin(enum.StrEnum):
    """What an action was born of."""

    WANTED = "wanted"
    """Wanted state asks for it: launches, retirement."""
    OBSERVATION = "observation"
    """Something seen asks for it: healing, sweeping."""
    REQUEST = "request"
    """A person or program asked for it."""


class IntentState(enum.StrEnum):
    """Where an intent stands. Done and failed are ends; the others are open."""

    RECORDED = "recorded"
    """Written down; the call may or may not have been made."""
    PERFORMED = "performed"
    """The cloud accepted; a sighting must confirm it."""
    DONE = "done"
    FAILED = "failed"
    INCIDENT = "incident"
    """Could not be brought to its end so far: shown and billed, and tried on with growing pauses, until its end is
    seen. It stays an incident whatever the cloud says to a try."""


OPEN_INTENTS = frozenset({IntentState.RECORDED, IntentState.PERFORMED, IntentState.INCIDENT})
"""Those that have not come to their end."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A control action written down before it is performed."""

    id: str
    """A uid of its own; names it in logs, events and evidence."""
    appliance: ApplianceId
    tenant: str
    verb: Verb
    action_class: ActionClass
    origin: Origin
    incarnation: int
    token: str
    """Text of the incarnation's token; empty for nodes that have none (orphans that carry none, adoption)."""
    cloud: str
    node_id: str
    reason: str
    evidence: Mapping[str, object]
    created_at: dt.datetime
    deadline: dt.datetime
    """Not performed after this instant; a later tick decides anew."""
    epoch: int
    state: IntentState = IntentState.RECORDED
    offer: str = ""
    """Key of the offer a launch takes; empty for other verbs."""
    request_id: str = ""
    attempts: int = 0
    retry_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    error: str = ""
    """Class and sentence of the last failure: ``OutOfCapacity: …``."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Of a command, of what is done to groups of peers, and of the end of a snapshot: what its verb is told."""
    result: Mapping[str, object] = field(default_factory=dict)
    """Of a command: ``exit``, ``output``, ``error``, ``ended_at``, as the agent told them; empty before. Of a snapshot:
    ``snapshot``, its id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try of an intent came to."""

    final: bool
    """True when trying the same intent again makes no sense: accepted, or definitely refused."""
    accepted: bool
    """True when the cloud took the order."""
    node_id: str = ""
    retry_at: dt.datetime | None = None
    error: str = ""
    made: str = ""
    """Id of what it made beside nodes: a snapshot's."""
    verb: Verb | None = None
    """The verb that was really performed where a fallback was taken (suspend → stop → isolate), else None."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the action log before it is chained: what happened to an intent, a set or a control."""

    chain: str
    """Set uid whose chain it joins, or ``estate`` for what belongs to no set."""
    at: dt.datetime
    kind: str
    """``intent.recorded``, ``intent.performed``, ``intent.done``, ``intent.failed``, ``intent.incident``,
    ``set.generation``, ``set.retiring``, ``set.retired``, ``lease.extended``, ``lease.warning``, ``control.laid``,
    ``control.released``, ``request.accepted``, ``request.refused``, ``breaker.held``, ``monitor.started``,
    ``finding.told``, ``agent.token``, ``agent.enrolled``, ``agent.revoked`` …"""
    subject: str
    """Intent id, set name or appliance that it is about."""
    body: Mapping[str, object]
    """JSON values only; never a secret."""
