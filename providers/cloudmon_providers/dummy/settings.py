"""Settings of one dummy cloud: ``[clouds.<name>.options]``."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Size(_Group):
    """One size of machine."""

    vcpus: int = Field(ge=1)
    memory_mib: int = Field(ge=1)
    disk_gib: int = Field(ge=1)
    per_hour: Decimal | None = Field(default=None, gt=0, description="Price per hour; none: the cloud names no price.")


DEFAULT_SIZES = {
    "nano": Size(vcpus=1, memory_mib=1024, disk_gib=10, per_hour=Decimal("0.010")),
    "small": Size(vcpus=1, memory_mib=2048, disk_gib=20, per_hour=Decimal("0.020")),
    "medium": Size(vcpus=2, memory_mib=4096, disk_gib=40, per_hour=Decimal("0.040")),
    "large": Size(vcpus=4, memory_mib=8192, disk_gib=80, per_hour=Decimal("0.080")),
    "xlarge": Size(vcpus=8, memory_mib=16384, disk_gib=160, per_hour=Decimal("0.160")),
}


class Faults(_Group):
    """What goes wrong. Probabilities are per call, rates per machine and hour; the seed decides which ones."""

    throttle: Probability = Field(default=0, description="A call is refused with 429 and a Retry-After.")
    retry_after_s: Annotated[float, Field(gt=0)] = Field(default=2, description="What the Retry-After says, seconds.")
    timeout_before: Probability = Field(default=0, description="A call times out and nothing was done.")
    timeout_after_effect: Probability = Field(default=0, description="A call times out although it was done.")
    server_error: Probability = Field(default=0, description="A call is answered with 500 and nothing was done.")
    malformed: Probability = Field(default=0, description="A listing is answered with another document.")
    empty_listing: Probability = Field(default=0, description="A listing is silently empty.")
    partial_listing: Probability = Field(default=0, description="A listing silently lacks a part.")
    outage: tuple[tuple[Seconds, Seconds], ...] = Field(
        default=(), description="[from, to] in seconds since the world began: nothing answers."
    )
    node_death_per_h: Rate = Field(
        default=0, description="Machines crash (a reboot heals), break for good, or vanish; half, three and two tenths."
    )
    hang_per_h: Rate = Field(default=0, description="Machines go on reading as they do and obey nothing but destroy.")
    boot_hang: Probability = Field(default=0, description="A machine never finishes its boot.")


class Guests(_Group):
    """What goes on inside machines whose user data brings the agent: guests in the monitor's own process, which speak
    to it as any agent does, are struck by faults, and do what it asks of them. Rates are per machine and hour; the seed
    decides when and which ones. A machine is struck only while it is well. What is in them is in memory: with the next
    monitor all are well."""

    crashed_per_h: Rate = Field(default=0, description="An application falls down.")
    malware_per_h: Rate = Field(default=0, description="A file turns up that says it is EICAR's test file.")
    outdated_per_h: Rate = Field(default=0, description="A package falls behind its wanted version.")
    stray_account_per_h: Rate = Field(default=0, description="Somebody makes an account that does not belong there.")
    disk_full_per_h: Rate = Field(default=0, description="The disk fills up.")
    silent_per_h: Rate = Field(default=0, description="The agent says nothing more until the machine boots.")
    restart_loop_per_h: Rate = Field(default=0, description="An application starts again and again.")
    quiet_s: Seconds = Field(default=60, description="Nothing strikes for so long after a machine first came up.")

    def faults_per_h(self) -> dict[str, float]:
        """By the fault's name, where it strikes at all."""
        rates = {name.removesuffix("_per_h"): rate for name, rate in self if name.endswith("_per_h")}
        return {name.replace("_", "-"): rate for name, rate in rates.items() if rate}


class DummySettings(_Group):
    """An honest cloud of no machines."""

    world: str = Field(
        default="memory",
        description='Where the cloud lives: "memory" (this monitor\'s own, gone with it), "memory:<name>" (shared by '
        "that name within a process, gone when nobody holds it), or the path of a file that several processes share, "
        "relative to the settings file.",
    )
    seed: int = Field(default=0, description="Everything that happens by chance follows from it.")
    locations: tuple[str, ...] = Field(default=("here-1", "here-2"), min_length=1, description="Where machines can be.")
    sizes: dict[str, Size] = Field(default=DEFAULT_SIZES, min_length=1, description="Sizes at every location.")
    images: tuple[str, ...] = Field(default=(), description="Images that exist; empty: any image does.")
    price_factor: Decimal = Field(default=Decimal(1), gt=0, description="This cloud's prices, times the sizes' own.")
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    priced_on: dt.date = Field(default=dt.date(2026, 1, 1), description="The day its prices are of.")
    spot: bool = Field(default=False, description="True: each size is offered as spot too, at three tenths.")
    tokens: bool = Field(default=True, description="False: a cloud without tokens, where two creates make two nodes.")
    boot_s: Seconds = Field(default=0, description="From create, start, resume or reboot until running.")
    stop_s: Seconds = Field(default=0, description="From stop or suspend until stopped or suspended.")
    terminate_s: Seconds = Field(default=0, description="From destroy until terminated.")
    terminated_shown_s: Seconds = Field(default=60, description="How long terminated machines stay listed.")
    listing_lag_s: Seconds = Field(default=0, description="Listings are up to this old: each machine has its own lag.")
    events: bool = Field(default=False, description="True: it tells of its own accord when a machine changes.")
    commands: bool = Field(default=False, description="True: it runs commands in machines, as far as one can see.")
    lacks: frozenset[str] = Field(
        default=frozenset(), description='Verbs that it does not have, such as "suspend_node" or "isolate_node".'
    )
    page_size: int = Field(default=1000, ge=1, description="Machines a page of the listing.")
    capacity: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default={}, description='Room by "location/size", with "/spot" for spot; what is not named has no end.'
    )
    quota: int | None = Field(default=None, ge=0, description="Machines that the account may have; none: no limit.")
    spot_reclaim_per_h: Rate = Field(default=0, description="How often a spot machine is taken back.")
    faults: Faults = Field(default=Faults(), description="What goes wrong.")
    guests: Guests | None = Field(
        default=None,
        description="What goes on inside its machines, beside a [channel] that they speak through; none: they have no "
        "inside.",
    )

    @field_validator("world")
    @classmethod
    def _beside_the_settings(cls, world: str, info: ValidationInfo) -> str:
        """A path is relative to the settings file, whose folder the core gives along."""
        folder = (info.context or {}).get("folder")
        if folder is None or world == "memory" or world.startswith("memory:"):
            return world
        return os.path.normpath(Path(folder) / world)
