"""The groups of the settings file about accounts on the members of sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, field_validator

from cloudmon.model import grants
from cloudmon.model.grants import Access
from cloudmon.settings.groups import Group
from cloudmon.settings.values import Instant

User = Annotated[str, AfterValidator(grants.user)]
"""Name of an account."""


class AccountSettings(Group):
    """``[sets.<name>.accounts.<user>]``: somebody who may log in to all members, by key alone."""

    keys: tuple[str, ...] = ()
    """Public keys that open it, each as ``ssh-keygen`` writes it; no other key does."""
    key_files: tuple[Path, ...] = ()
    """Files of public keys, one a line, relative to the settings file; beside ``keys``."""
    rights: tuple[str, ...] = ()
    """Groups that it is in beside its own; ``sudo`` lets it become root."""
    until: Instant | None = None
    """Instant at which it ends on all members. None: with the set."""

    @field_validator("keys")
    @classmethod
    def _public(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        return grants.keys("\n".join(keys)) if keys else ()

    @field_validator("rights")
    @classmethod
    def _groups(cls, rights: tuple[str, ...]) -> tuple[str, ...]:
        return grants.rights(rights)

    def access(self) -> Access:
        """The model's account."""
        return Access(self.keys, self.rights, self.until)
