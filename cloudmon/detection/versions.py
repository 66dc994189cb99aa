"""Which of two versions is newer, as the package manager that wrote them orders them, and what follows from that.

The order is univers', which is imported when two versions are compared for the first time: most appliances have what is
wanted, letter by letter. Versions that cannot be put in order are unknown, never outdated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from cloudmon.model.versions import MOST_CHARACTERS, Wanted, Wish, parse

Standing = dict[str, str | bool | None]

_UNORDERED = (ValueError, TypeError, AttributeError, LookupError)
"""What univers raises for text that is no version."""


def older(one: str, other: str, keeper: str) -> bool | None:
    """Whether ``one`` is older than ``other`` to ``dpkg``, ``rpm`` or ``apk``; None when nobody can say."""
    if one == other and one:
        return False
    if not 0 < len(one) <= MOST_CHARACTERS or not 0 < len(other) <= MOST_CHARACTERS:
        return None
    return _older(one, other, keeper)


@functools.lru_cache(maxsize=4_096)
def _older(one: str, other: str, keeper: str) -> bool | None:
    scheme = _scheme(keeper)
    if scheme is None:
        return None
    try:
        return bool(scheme(one) < scheme(other))
    except _UNORDERED:
        return None


@functools.cache
def _scheme(keeper: str) -> Callable[[str], Any] | None:
    from univers import versions  # noqa: PLC0415

    schemes: dict[str, Callable[[str], Any]] = {
        "dpkg": versions.DebianVersion,
        "rpm": versions.RpmVersion,
        "apk": versions.AlpineLinuxVersion,
    }
    return schemes.get(keeper)


def outdated(wanted: Wanted, have: str, candidate: str, keeper: str) -> bool | None:
    """Whether an installed version is not what is wanted; None when nobody can say.

    Arguments:
        have: the version that is installed; empty when that is not known.
        candidate: the newest that the package manager offers; empty when that is not known.
        keeper: the package manager, ``dpkg``, ``rpm`` or ``apk``.
    """
    if wanted.wish is Wish.ANY:
        return False
    if not have:
        return None
    if wanted.wish is Wish.PINNED:
        return not wanted.pins(have)
    return older(have, wanted.version if wanted.wish is Wish.LEAST else candidate, keeper)


def target(wanted: Wanted, candidate: str, keeper: str) -> str:
    """The version to bring a package to that is outdated; empty when no version is known that would do."""
    if wanted.wish is Wish.PINNED:
        return candidate if candidate and wanted.pins(candidate) else wanted.version
    if wanted.wish is Wish.LEAST and older(candidate, wanted.version, keeper) is not False:
        return ""
    return candidate


def standing(
    text: str, packages: Mapping[str, object], package: str, application: object
) -> dict[str, str | bool | None]:
    """How a package stands: ``wanted``, ``have``, ``target`` and ``outdated``, each None where it is not known.

    Arguments:
        text: the wanted version, as the template says it.
        packages: what is installed, as the appliance told it.
        application: what it told of the application that is installed from the package.
    """
    found: Standing = {"wanted": text, "have": None, "target": None, "outdated": None}
    try:
        wanted = parse(text)
    except ValueError:
        return found  # of a set that was put before anybody asked what a version is
    keeper, candidate = _text(packages.get(package), "manager"), _text(application, "candidate")
    found["target"] = target(wanted, candidate, keeper) or None
    if package not in packages:
        return found | {"have": "", "outdated": True}
    have = _text(packages[package], "version")
    return found | {"have": have or None, "outdated": outdated(wanted, have, candidate, keeper)}


def _text(told: object, name: str) -> str:
    found = told.get(name) if isinstance(told, Mapping) else None
    return found if isinstance(found, str) else ""
