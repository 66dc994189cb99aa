"""Which version of a package is wanted: one and no other, at least one, or the newest that there is."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

NEWEST = "newest"
LEAST = ">="
MOST_CHARACTERS = 128

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_^-]{0,127}")


class Wish(enum.Enum):
    """How a version is wanted."""

    ANY = enum.auto()
    PINNED = enum.auto()
    """This one: another is out of date, be it older or newer."""
    LEAST = enum.auto()
    """This one or a newer one."""
    NEWEST = enum.auto()
    """The newest that the appliance's package manager offers."""


class Wanted(NamedTuple):
    """What the settings say of one package."""

    wish: Wish
    version: str = ""
    """Of a pinned or least one."""

    def pins(self, version: str) -> bool:
        """Whether a version is the pinned one: a package's own revision (``1.4-2`` of ``1.4``) need not be named."""
        return version == self.version or version.startswith(self.version + "-")


def parse(text: str) -> Wanted:
    """What ``1.4``, ``>=1.4``, ``newest`` or nothing stands for. Raises ValueError with half a sentence."""
    if not text:
        return Wanted(Wish.ANY)
    if text == NEWEST:
        return Wanted(Wish.NEWEST)
    wish = Wish.LEAST if text.startswith(LEAST) else Wish.PINNED
    version = text.removeprefix(LEAST).strip()
    if not _VERSION.fullmatch(version):
        raise ValueError('must be a version ("1.4"), a least one (">=1.4") or "newest"')
    return Wanted(wish, version)
