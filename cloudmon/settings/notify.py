"""The groups of the settings file about who is told of what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cloudmon.model.findings import FindingKind
from cloudmon.settings.groups import Group
from cloudmon.settings.values import Seconds, WholeSeconds, number

Pattern = Annotated[str, Field(min_length=1)]
"""A name, ``*`` and ``?`` as in file names."""


class NotifySettings(Group):
    """``[notify.<name>]``: somebody who is told of findings that open, get worse and end."""

    kind: str
    """Name of an installed notifier: ``webhook``, ``email`` …"""
    severity: Literal["info", "warning", "critical"] = "warning"
    """The least that is told. A rule that names this notifier in ``then`` tells it whatever this says."""
    findings: tuple[FindingKind, ...] = ()
    """Kinds of findings that are told. Empty: all."""
    sets: Annotated[tuple[Pattern, ...], Field(min_length=1)] = ("*",)
    """Names of the sets whose findings are told; ``*`` and ``?`` as in file names. Findings of no set (of clouds, of
    the store) are told where ``*`` is among them."""
    tenants: Annotated[tuple[Pattern, ...], Field(min_length=1)] = ("*",)
    """Names of the tenants whose findings are told, likewise. Nobody else's ever are."""
    ends: bool = True
    """False tells nothing of findings that have ended."""
    most_a_minute: Annotated[int, BeforeValidator(number), Field(ge=1, le=1_000)] = 20
    """Messages within a minute; what is more comes as one digest, so that a storm buries nobody."""
    timeout_s: Annotated[Seconds, Field(ge=0.1, le=60)] = 10
    """Duration after which the other side counts as not answering; a whole conversation may take three of it."""
    give_up_after_s: Annotated[WholeSeconds, Field(ge=60)] = 86_400
    """Duration after which what was not taken is tried no more: it is shown as dead, and news that old help nobody."""
    options: Any = Field(default_factory=dict, repr=False)
    """The notifier's own settings, checked by its own model. A key ``x_file`` reads ``x`` from a file."""
