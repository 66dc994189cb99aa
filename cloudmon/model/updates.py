"""How a template's appliances are brought to what is wanted: by canary and batches, and when nobody minds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Updates:
    """How a roll-out goes."""

    canary: int = 1
    """Members that must be well before any other has its turn."""
    batch: int = 1
    """Members that may be out of service at once."""
    healthy_s: int = 60
    """Seconds that a member must be well before it counts as done."""
    patience_s: int = 300
    """Seconds beyond those that it is given to become well; then the roll-out has failed."""
    on_failure: str = "roll-back"
    """``roll-back``: what was updated goes back to the version before. ``stop``: it is left for people to look at."""
    method: str = "package"
    """``package``: outdated packages are updated inside members. ``replace``: members that were launched with another
    image, or other user data, than the template has are replaced."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time that comes again each week, in which nobody minds restarts."""

    days: tuple[str, ...]
    """Of :data:`DAYS`, on which it begins, in UTC."""
    at_s: int
    """Seconds after midnight at which it begins."""
    for_s: int

    def open(self, now: dt.datetime) -> tuple[dt.datetime, dt.datetime] | None:
        """From when to when it is open that holds ``now``; None while it is closed."""
        midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        for back in range(7):
            begins = midnight - dt.timedelta(days=back) + dt.timedelta(seconds=self.at_s)
            ends = begins + dt.timedelta(seconds=self.for_s)
            if DAYS[begins.weekday()] in self.days and begins <= now < ends:
                return begins, ends
        return None


@dataclass(frozen=True, slots=True)
class Version:
    """How one application of an appliance stands; None and empty stand for what is not known."""

    application: str
    wanted: str = ""
    """As the template says it; empty where any version will do."""
    have: str = ""
    target: str = ""
    outdated: bool | None = None
    state: str = ""
    """``up``, ``down`` or ``stopped``."""
    since: dt.datetime | None = None
    restart_due: bool | None = None

    @property
    def absent(self) -> bool:
        """Whether a version is wanted and it is known that none is installed."""
        return self.outdated is True and not self.have


class Made(NamedTuple):
    """What a node was asked for with. A named tuple: all members of a set may be read in a tick."""

    cloud: str
    image: str
    user_data: str | None
    """SHA-256 of its template's user data; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What an appliance told of itself that updates and restarts are decided from."""

    incarnation: int
    versions: tuple[Version, ...] = ()
    reboot_due: bool | None = None

    def of(self, application: str) -> Version | None:
        return next((one for one in self.versions if one.application == application), None)

    @property
    def owes(self) -> bool:
        """Whether a restart or a reboot is due."""
        return bool(self.reboot_due) or any(one.restart_due for one in self.versions)
