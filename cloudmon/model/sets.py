"""What a tenant asked for: templates, appliance sets, leases, controls and the limits of policies."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from cloudmon.model.grants import Access, Grant
from cloudmon.model.identity import DEFAULT_TENANT
from cloudmon.model.probes import Probe
from cloudmon.model.updates import Updates, Window


@dataclass(frozen=True, slots=True)
class Needs:
    """Resources asked for. Minimum limits are hard; preferred ones only rank."""

    vcpus: int = 1
    memory_mib: int = 0
    disk_gib: int = 0
    preferred_vcpus: int | None = None
    preferred_memory_mib: int | None = None
    architecture: str | None = None
    """None takes any."""
    spot: bool = False
    """True allows offers that the cloud may reclaim."""
    max_price_per_hour: Decimal | None = None
    """None means no limit; with a limit, offers of unknown price lose."""
    currency: str = "USD"
    sizes: tuple[str, ...] = ()
    """Only these sizes; empty means any."""
    locations: tuple[str, ...] = ()
    """Only these locations; empty means any."""


@dataclass(frozen=True, slots=True)
class Application:
    """A program that an appliance is there for, and how it is seen and worked."""

    start: tuple[str, ...] = ()
    """The program that starts it and its arguments; no shell reads them. Empty: ``service`` does."""
    stop: tuple[str, ...] = ()
    """What stops it. Empty: ``service`` does, else its processes are ended."""
    service: str = ""
    """Name of its service, where the appliance has a service manager."""
    match: str = ""
    """Its processes are those whose command line holds this text."""
    package: str = ""
    version: str = ""
    """Wanted version of ``package``, as :func:`cloudmon.model.versions.parse` reads it; empty takes any."""
    probe: Mapping[str, object] = field(default_factory=dict)
    """``{"tcp": port}``, ``{"http": url, "status": 200}``, ``{"command": [argv]}``, each with ``timeout_s``, or
    ``{"file": path, "max_age_s": 60}``. Empty: it is up while it has a process."""


@dataclass(frozen=True, slots=True)
class Job:
    """A program that may be run in an appliance when it is asked for."""

    argv: tuple[str, ...]
    timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class Peers:
    """What members of a set are to know of each other."""

    ports: tuple[int, ...] = ()
    """Ports at which they serve each other."""
    hosts: bool = False
    """True: their names come into the hosts file, too."""
    firewall: bool = False
    """True: the firewalls of their clouds let them reach each other at these ports."""


@dataclass(frozen=True, slots=True)
class Template:
    """Appliance definition."""

    name: str
    images: Mapping[str, str]
    """Image by cloud name; the key ``*`` serves all clouds that are not named."""
    needs: Needs = field(default_factory=Needs)
    user_data: str = ""
    """Handed to the machine at boot; ``{appliance}``, ``{set}``, ``{ordinal}``, ``{incarnation}`` are replaced."""
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By cloud name: arguments of that cloud's own create call."""
    boot_timeout_s: int = 600
    """Seconds from the create call until the node must be seen running, else it is a fault."""
    applications: Mapping[str, Application] = field(default_factory=dict)
    """By name; what is not named is not watched."""
    files: tuple[str, ...] = ()
    """Paths of files whose content, mode and owner are reported."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    """Programs that may be run in it, by name."""
    agent: bool = False
    """True brings the agent along in the user data."""
    report_interval_s: int = 30
    """Seconds between two reports of the agent while nothing changes."""
    file_hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256, in lower-case hexadecimal digits, that some of ``files`` must have, by path."""
    accounts: tuple[str, ...] | None = None
    """Accounts that belong there, ``*`` and ``?`` as in file names; others are strays. None: nobody says."""
    processes: tuple[str, ...] | None = None
    """Names of processes that belong there, likewise. None: nobody says."""
    updates: Updates | None = None
    """How outdated packages are brought to their wanted version. None: they are only shown."""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """How the monitor asks it over the network whether it serves, by name."""
    peers: Peers | None = None
    """Has members of a set told of each other. None: they are not."""

    def image(self, cloud: str) -> str:
        """The image for one cloud; empty where it has none."""
        return self.images.get(cloud) or self.images.get("*", "")

    def user_data_hash(self) -> str:
        """What tells its user data from another's: SHA-256 of the text before its words are replaced, and of whether
        the agent comes along."""
        return hashlib.sha256(f"{self.agent:d}\0{self.user_data}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Lease:
    """From when to when a set lives. ``end`` None means without end."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    grace_s: int = 0
    """Seconds after ``end`` before retirement begins; extension still works in them."""
    warn_s: tuple[int, ...] = (86_400, 3_600)
    """Seconds before ``end`` at which a warning is recorded."""
    duration_s: int | None = None
    """Seconds from the set's first admission until its end, for a lease with neither ``start`` nor ``end``; the store's
    effective end is computed once, when the set is first put, so that reading a file again never moves it. None:
    ``end`` counts."""

    def ends(self, admitted_at: dt.datetime) -> dt.datetime | None:
        """The effective end of a set first admitted at that instant, extensions aside."""
        if self.end is not None or self.duration_s is None:
            return self.end
        return (self.start or admitted_at) + dt.timedelta(seconds=self.duration_s)


@dataclass(frozen=True, slots=True)
class Healing:
    """The escalation ladder and its limits."""

    ladder: tuple[str, ...] = ("reboot", "stop-start", "replace")
    """Rungs in order; empty means faults are shown and nothing is done."""
    fault_after_s: int = 60
    """Seconds a fault must last before the first rung."""
    verify_s: int = 300
    """Seconds a rung has to show the appliance running before the next rung."""
    backoff_s: int = 60
    """First pause after a failed action; doubles each time."""
    backoff_max_s: int = 3_600
    max_attempts: int = 6
    """Actions for one fault before it becomes an open incident. To give back a node that was lost, or turned off,
    unasked is one of them."""
    steady_s: int = 1_800
    """Seconds of running after which the ladder starts from its first rung again."""
    batch: int = 1
    """Members of the set that a rolling action may have out of service at once."""
    launch_attempts: int = 5
    """Launches that fail in a row, on one offer after another, before launching pauses for ``backoff_max_s`` and an
    incident is open."""
    power: str = "keep"
    """When a node is found stopped or suspended that should run: ``keep`` starts it again; ``accept`` takes it as
    somebody's wish. One that is found isolated stays so until it is released."""


@dataclass(frozen=True, slots=True)
class SetSpec:
    """One generation of wanted state of a set, whole in itself."""

    name: str
    count: int
    template: Template
    tenant: str = DEFAULT_TENANT
    clouds: tuple[str, ...] = ()
    """Clouds it may live on, in no order; empty means any."""
    lease: Lease = field(default_factory=Lease)
    healing: Healing = field(default_factory=Healing)
    maintenance: Window | None = None
    """When nobody minds restarts: nothing is healed, and what waits for a restart gets it. None: never."""
    accounts: Mapping[str, Access] = field(default_factory=dict)
    """Accounts on all members, by user."""


@dataclass(frozen=True, slots=True)
class NextGeneration:
    """What a set becomes; written only while it is active and still at the generation that this one follows."""

    uid: str
    follows: int
    spec: SetSpec
    author: str
    reason: str


class ControlKind(enum.StrEnum):
    """What a person lays upon a set or an appliance, for a time and with a reason."""

    PAUSE = "pause"
    """No automatic action at all; lease ends still hold."""
    PROTECT = "protect"
    """No destructive action, whoever asks; retirement waits and says so."""
    MAINTENANCE = "maintenance"
    """Faults are expected: no healing, and down time is counted as maintenance."""


WINDOW = "the maintenance window"
"""Who holds a set while its own window is open."""


@dataclass(frozen=True, slots=True)
class Control:
    """A pause, protection or maintenance window."""

    id: int
    kind: ControlKind
    set_uid: str
    ordinal: int | None
    """None lays it upon the whole set."""
    owner: str
    reason: str
    since: dt.datetime
    until: dt.datetime | None
    """None holds until it is released."""


@dataclass(frozen=True, slots=True)
class ApplianceSet:
    """A set as the store holds it: the newest generation, the lease as extended, the controls in force."""

    uid: str
    name: str
    tenant: str
    generation: int
    author: str
    spec: SetSpec
    created_at: dt.datetime
    lease_end: dt.datetime | None
    """The effective end: the spec's, or a later extension."""
    retiring_since: dt.datetime | None = None
    """When its end was decided: removed, retired by hand, or expired. Never taken back."""
    retired_reason: str = ""
    retired_at: dt.datetime | None = None
    """When its last member had ended."""
    warned_s: tuple[int, ...] = ()
    """Lease warnings already given."""
    controls: tuple[Control, ...] = ()
    grants: tuple[Grant, ...] = ()
    """Accounts that people asked for and did not take back."""

    def control(self, kind: ControlKind, ordinal: int, now: dt.datetime) -> Control | None:
        """The control of ``kind`` in force for one member at ``now``, or None."""
        laid = self.laid(kind, ordinal, now)
        if laid is not None or kind is not ControlKind.MAINTENANCE or self.spec.maintenance is None:
            return laid
        window = self.spec.maintenance.open(now)
        return None if window is None else Control(0, kind, self.uid, None, WINDOW, "as its settings say", *window)

    def laid(self, kind: ControlKind, ordinal: int, now: dt.datetime) -> Control | None:
        """As :meth:`control`, of those that people laid: without the set's own window."""
        for control in self.controls:
            if control.kind is kind and control.ordinal in (None, ordinal):
                if control.since <= now and (control.until is None or now < control.until):
                    return control
        return None
