"""The groups of the settings file about keeping appliances up to date: roll-outs, and maintenance windows."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from cloudmon.model.updates import DAYS, Updates, Window
from cloudmon.settings.groups import Group
from cloudmon.settings.values import WholeSeconds, number

LONGEST_WATCH_S = 1_500
"""Seconds that a member is watched after its update, at most: a roll-out looks back at an hour of actions."""

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_Count = Annotated[int, BeforeValidator(number), Field(ge=1)]


def _clock(value: object) -> object:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError('must be a time of day in UTC, such as "02:00"')
    return value


class UpdatesSettings(Group):
    """``updates``: how members are brought to what is wanted, by canary and batches."""

    method: Literal["package", "replace"] = "package"
    """``package`` updates outdated packages of ``applications`` inside members. ``replace`` replaces members that were
    launched with another image, or other user data, than the template has now."""
    canary: _Count = 1
    """Members that must be well at what is new before any other has its turn."""
    batch: _Count = 1
    """Members that may be out of service at once."""
    healthy_s: Annotated[WholeSeconds, Field(le=LONGEST_WATCH_S)] = 60
    """Duration that a member must run, its applications up, with no new critical finding, before it counts as done."""
    patience_s: Annotated[WholeSeconds, Field(le=LONGEST_WATCH_S)] = 300
    """Duration beyond that which a member is given to become well; then the roll-out stops."""
    on_failure: Literal["roll-back", "stop"] = "roll-back"
    """``roll-back`` brings what was updated back to the version before, or the set back to the template before;
    ``stop`` leaves it. Either opens an incident."""

    def updates(self) -> Updates:
        """The model's updates."""
        return Updates(**dict(self))


class MaintenanceSettings(Group):
    """``maintenance``: a time that comes again each week, in which nobody minds restarts."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """Days on which it begins."""
    at: Annotated[str, BeforeValidator(_clock), Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """Time of day at which it begins, in UTC."""
    for_: Annotated[WholeSeconds, Field(alias="for", gt=0, le=86_400)]
    """How long it lasts."""

    @field_validator("days")
    @classmethod
    def _each_day_once(cls, days: tuple[Day, ...]) -> tuple[Day, ...]:
        if len(set(days)) < len(days):
            raise ValueError("must name each day once")
        return tuple(sorted(days, key=DAYS.index))

    def window(self) -> Window:
        """The model's window."""
        hours, minutes = self.at.split(":")
        return Window(self.days, int(hours) * 3_600 + int(minutes) * 60, self.for_)
