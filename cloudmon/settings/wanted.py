"""The groups of the settings file about what is wanted: templates and sets, and how they become :class:`SetSpec`."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cloudmon.model.identity import DEFAULT_TENANT
from cloudmon.model.sets import Healing, Lease, Needs, Peers, SetSpec, Template
from cloudmon.settings.accounts import AccountSettings, User
from cloudmon.settings.groups import Group
from cloudmon.settings.inside import ApplicationSettings, File, JobSettings, Word
from cloudmon.settings.outside import OutsideProbeSettings
from cloudmon.settings.upkeep import MaintenanceSettings, UpdatesSettings
from cloudmon.settings.values import Count, Instant, Name, WholeSeconds, money, number

MOST_MEMBERS = 100_000
"""Appliances of one set: a slip of the finger must not write a billion rows."""

Atleast1 = Annotated[int, BeforeValidator(number), Field(ge=1)]


class NeedsSettings(Group):
    """``needs``: resources asked for. Minimum values are hard limits, preferred ones only rank."""

    vcpus: Count = 1
    """Least processors."""
    memory_mib: Count = 0
    """Least memory in MiB."""
    disk_gib: Count = 0
    """Least disk in GiB."""
    preferred_vcpus: Count | None = None
    """Processors that would be better. None: no wish."""
    preferred_memory_mib: Count | None = None
    """Memory in MiB that would be better. None: no wish."""
    architecture: str | None = None
    """``x86_64``, ``arm64`` …. None takes any."""
    spot: bool = False
    """True allows offers that the cloud may take back at any time."""
    max_price_per_hour: Annotated[Decimal, BeforeValidator(money), Field(gt=0)] | None = None
    """Highest price of one node for one hour; offers of unknown price lose then. None: no limit."""
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    """ISO 4217 code in which prices are compared; offers in another count as of unknown price."""
    sizes: tuple[str, ...] = ()
    """Only these sizes. Empty: any."""
    locations: tuple[str, ...] = ()
    """Only these locations. Empty: any."""


class PeersSettings(Group):
    """``peers``: members of a set know each other. Their agents keep /var/lib/cloudmon/peers.json."""

    ports: tuple[Annotated[int, BeforeValidator(number), Field(ge=1, le=65_535)], ...] = ()
    """Ports at which they serve each other; told with the rest."""
    hosts: bool = False
    """True keeps their names (``storefront-3``) in the hosts file of each, too."""
    firewall: bool = False
    """True has their clouds let them reach each other at these ports, by TCP, where these have a firewall (EC2:
    ``options.firewall``); members on different clouds, or in different networks, are not joined by it."""

    @model_validator(mode="after")
    def _ports_to_open(self) -> Self:
        if self.firewall and not self.ports:
            raise ValueError("has firewall = true and no ports that could be opened")
        return self

    def peers(self) -> Peers:
        """The model's declaration."""
        return Peers(tuple(sorted(set(self.ports))), self.hosts, self.firewall)


class TemplateSettings(Group):
    """``[templates.<name>]``: an appliance definition."""

    images: Annotated[dict[str, str], Field(min_length=1)]
    """Image by cloud name; ``"*"`` serves all clouds that are not named."""
    needs: NeedsSettings = NeedsSettings()
    user_data: str = Field(default="", repr=False)
    """Handed to the machine at boot; ``{appliance}``, ``{set}``, ``{ordinal}``, ``{incarnation}`` are replaced.
    Clouds show it to whoever may read the machine: no place for secrets."""
    user_data_file: Path | None = None
    """File with the user data instead; relative to the settings file. None: ``user_data`` counts."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By cloud name: arguments of that cloud's own create call (network, key pair …)."""
    boot_timeout_s: Annotated[WholeSeconds, Field(gt=0)] = 600
    """Duration from the create call until the node must be seen running, else it is a fault."""
    applications: dict[Name, ApplicationSettings] = Field(default_factory=dict)
    """Programs that the appliance is there for, by name: watched, and worked by rules and by hand."""
    files: tuple[File, ...] = ()
    """Files whose content, mode and owner are reported: paths, or tables of ``path`` and the ``sha256`` wanted."""
    jobs: dict[Name, JobSettings] = Field(default_factory=dict)
    """Programs that may be run in it when they are asked for, by name."""
    agent: bool = False
    """True brings the agent along in the user data: its machines then report what goes on inside. One that never
    does is found by the rule ``report-missing``."""
    report_interval_s: Annotated[WholeSeconds, Field(ge=1, le=86_400)] = 30
    """Duration between two reports of the agent while nothing changes. A change or a fault is told at once."""
    accounts: tuple[Word, ...] | None = None
    """Accounts that belong there, ``*`` and ``?`` as in file names; who else may log in is a stray. None: nobody
    says."""
    processes: tuple[Word, ...] | None = None
    """Names of processes that belong there, likewise. None: nobody says."""
    probes: dict[Name, OutsideProbeSettings] = Field(default_factory=dict)
    """Questions that the monitor puts to each appliance over the network, by name; no agent is needed for them."""

    peers: PeersSettings | None = None
    """Has the members of a set told of each other. None: they are not."""
    updates: UpdatesSettings | None = None
    """How outdated packages are brought to their wanted ``version``, or members to another image. None: packages are
    only shown, and an image or user data that changed counts for new nodes alone."""

    @model_validator(mode="after")
    def _each_file_once(self) -> Self:
        paths = [file.path for file in self.files]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise ValueError(f"names the file {twice} twice")
        return self

    @model_validator(mode="after")
    def _one_user_data(self) -> Self:
        if self.user_data and self.user_data_file is not None:
            raise ValueError("has both user_data and user_data_file; keep one")
        return self

    def template(self, name: str) -> Template:
        """The model's template."""
        return Template(
            name=name,
            images=dict(self.images),
            needs=Needs(**dict(self.needs)),
            user_data=self.user_data,
            options={cloud: dict(options) for cloud, options in self.options.items()},
            boot_timeout_s=self.boot_timeout_s,
            applications={name: found.application() for name, found in self.applications.items()},
            files=tuple(file.path for file in self.files),
            jobs={name: found.job() for name, found in self.jobs.items()},
            agent=self.agent,
            report_interval_s=self.report_interval_s,
            file_hashes={file.path: file.sha256 for file in self.files if file.sha256},
            accounts=self.accounts,
            processes=self.processes,
            updates=self.updates.updates() if self.updates is not None else None,
            peers=self.peers.peers() if self.peers is not None else None,
            probes={name: found.probe() for name, found in self.probes.items()},
        )


class LeaseSettings(Group):
    """``lease``: from when to when the set lives."""

    start: Instant | None = None
    """Instant of the first launch. None: as soon as the set is known."""
    end: Instant | None = None
    """Instant of the end. None: ``duration``, or no end."""
    duration: Annotated[WholeSeconds, Field(gt=0)] | None = None
    """Duration from ``start``, or, without a start, from the set's first admission. None: ``end``, or no end."""
    grace: WholeSeconds = 0
    """Duration after the end before retirement begins; extending still works in it."""
    warn: tuple[WholeSeconds, ...] = (86_400, 3_600)
    """Durations before the end at which a warning is recorded."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.end is not None and self.duration is not None:
            raise ValueError("has both end and duration; keep one")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("has an end that is not after its start")
        if self.start is not None and self.duration is not None:
            try:
                self.start + dt.timedelta(seconds=self.duration)
            except OverflowError:
                raise ValueError("ends after the year 9999") from None
        return self

    def lease(self) -> Lease:
        """The model's lease. A duration without a start stays a duration, so that reading the file again gives an
        equal lease."""
        end, duration = self.end, self.duration
        if self.start is not None and duration is not None:
            end, duration = self.start + dt.timedelta(seconds=duration), None
        return Lease(
            start=self.start,
            end=end,
            grace_s=self.grace,
            warn_s=tuple(sorted(set(self.warn), reverse=True)),
            duration_s=duration,
        )


class HealingSettings(Group):
    """``healing``: the escalation ladder and its limits."""

    ladder: tuple[Literal["reboot", "stop-start", "replace"], ...] = ("reboot", "stop-start", "replace")
    """Rungs in order. Empty: faults are shown and nothing is done."""
    fault_after_s: WholeSeconds = 60
    """Duration that a fault must last before the first rung."""
    verify_s: WholeSeconds = 300
    """Duration that a rung has to show the appliance running before the next rung."""
    backoff_s: WholeSeconds = 60
    """First pause after a failed action; doubles each time."""
    backoff_max_s: WholeSeconds = 3_600
    """Longest such pause."""
    max_attempts: Atleast1 = 6
    """Actions for one fault before it becomes an open incident. To give back a node that was lost, or turned off,
    unasked is one of them."""
    steady_s: WholeSeconds = 1_800
    """Duration of running after which the ladder starts from its first rung again."""
    batch: Atleast1 = 1
    """Members of the set that a rolling action may have out of service at once."""
    launch_attempts: Atleast1 = 5
    """Launches that fail in a row, on one offer after another, before launching pauses for ``backoff_max_s`` and an
    incident is open."""
    power: Literal["keep", "accept"] = "keep"
    """When a node is found stopped or suspended that should run: ``keep`` starts it again, ``accept`` takes it as
    somebody's wish. One that is found isolated stays so until it is released."""

    @field_validator("ladder")
    @classmethod
    def _each_rung_once(cls, ladder: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(ladder)) < len(ladder):
            raise ValueError("must name each rung once")
        return ladder

    @model_validator(mode="after")
    def _pauses_grow(self) -> Self:
        if self.backoff_max_s < self.backoff_s:
            raise ValueError("has a backoff_max_s below its backoff_s")
        return self


class SetSettings(Group):
    """``[sets.<name>]``: appliances of one template, for a time."""

    template: str
    """Name of a template."""
    count: Annotated[Count, Field(le=MOST_MEMBERS)]
    """Members wanted. 0 ends all members and keeps the set."""
    tenant: Name = DEFAULT_TENANT
    """Who pays and is isolated."""
    clouds: tuple[str, ...] = ()
    """Clouds that it may live on, in no order. Empty: any."""
    lease: LeaseSettings = LeaseSettings()
    healing: HealingSettings = HealingSettings()
    maintenance: MaintenanceSettings | None = None
    """When nobody minds restarts: nothing is healed then, and what waits for a restart gets it. None: never."""
    accounts: dict[User, AccountSettings] = Field(default_factory=dict)
    """Accounts on all members, by user: made where they are missing, mended, and gone when they are not here any
    more."""

    def spec(self, name: str, template: Template) -> SetSpec:
        """The model's set. The order of ``clouds`` means nothing, so writing them in another order is no new
        generation."""
        return SetSpec(
            name=name,
            count=self.count,
            template=template,
            tenant=self.tenant,
            clouds=tuple(sorted(set(self.clouds))),
            lease=self.lease.lease(),
            healing=Healing(**dict(self.healing)),
            maintenance=self.maintenance.window() if self.maintenance is not None else None,
            accounts={user: found.access() for user, found in self.accounts.items()},
        )
