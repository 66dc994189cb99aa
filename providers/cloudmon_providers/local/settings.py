"""Settings of one local cloud: ``[clouds.<name>.options]``."""

from __future__ import annotations

import datetime as dt
import os
import pwd
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from cloudmon_providers.local.images import BASE

MOST_NODES = 50
"""More than a trial needs; who needs more needs a cloud."""
_OF_THE_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Size(_Group):
    """One size of machine."""

    vcpus: int = Field(default=1, ge=1, description="What the offer says; nothing is held to it.")
    memory_mib: int = Field(ge=64, description="What each process of the machine may have; not all of them together.")
    disk_gib: int = Field(default=1, ge=1, description="What the offer says; nothing is held to it.")
    per_hour: Decimal | None = Field(default=None, gt=0, description="Price per hour, for trials of bills; none: none.")


DEFAULT_SIZES = {
    "small": Size(memory_mib=1024),
    "medium": Size(vcpus=2, memory_mib=2048, disk_gib=2),
    "large": Size(vcpus=4, memory_mib=4096, disk_gib=4),
}


class LocalSettings(_Group):
    """Processes of this machine as a cloud: for trials, tests and demos, and for nothing more."""

    directory: str = Field(
        description="Where the cloud lives, relative to the settings file: a directory of its own, made by the first "
        'create. A file of the same name with ".lock" stands beside it.'
    )
    images: str | None = Field(
        default=None,
        description="A directory of root templates, relative to the settings file: each directory in it is an image. "
        f'None: only "{BASE}", which is always there.',
    )
    locations: tuple[str, ...] = Field(default=("here",), min_length=1, description="Names; all of them are here.")
    sizes: dict[str, Size] = Field(default=DEFAULT_SIZES, min_length=1, description="Sizes at every location.")
    max_nodes: int = Field(
        default=20, ge=1, description=f"Machines that there may be at once; at most {MOST_NODES}: this is for trials."
    )
    stop_grace_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=5, description="From SIGTERM to SIGKILL when a machine stops, reboots or ends."
    )
    terminated_shown_s: Annotated[float, Field(ge=0)] = Field(
        default=60, description="How long terminated machines stay listed."
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    priced_on: dt.date = Field(default=dt.date(2026, 1, 1), description="The day the prices of its sizes are of.")

    @field_validator("directory", "images")
    @classmethod
    def _beside_the_settings(cls, path: str | None, info: ValidationInfo) -> str | None:
        """A path is relative to the settings file, whose folder the core gives along."""
        if path is None:
            return None
        if not path.strip() or "\0" in path:
            raise ValueError("must name a directory")
        return os.path.normpath(Path((info.context or {}).get("folder") or Path.cwd()) / path)

    @field_validator("directory")
    @classmethod
    def _of_its_own(cls, directory: str) -> str:
        """Machines are made and removed in it, so it must be nothing that anybody else needs."""
        path = Path(os.path.realpath(directory))
        if len(path.parts) <= 2:
            raise ValueError(f"must be a directory of its own, not {path} itself")
        if any(path.is_relative_to(each) for each in _OF_THE_SYSTEM):
            raise ValueError(f"must not lie in {path.parents[-2]}, which is the system's")
        for account in pwd.getpwall():
            home = Path(os.path.realpath(account.pw_dir or "/"))
            if home == path or (path in home.parents and home.exists()):
                raise ValueError(f"must be a directory of its own, and {path} is, or holds, somebody's home")
        return directory

    @field_validator("max_nodes")
    @classmethod
    def _for_trials(cls, nodes: int) -> int:
        if nodes > MOST_NODES:
            raise ValueError(f"must be at most {MOST_NODES}: this provider is for trials, tests and demos")
        return nodes


settings_model = LocalSettings
