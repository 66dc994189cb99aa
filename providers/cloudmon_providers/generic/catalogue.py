"""Sizes, images and locations of one driver: its own objects, looked up by what names them in offers and templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from libcloud.compute.base import NodeDriver, NodeImage, NodeLocation, NodeSize

from cloudmon import errors
from cloudmon.model.offers import Offer
from cloudmon_providers.generic import drivers
from cloudmon_providers.generic.options import GenericOptions


class Catalogue:
    """What one connected driver sells; what was fetched is kept until the driver is made anew."""

    def __init__(self, cloud: str, driver: NodeDriver, options: GenericOptions) -> None:
        self._cloud = cloud
        self._driver: Any = driver
        self._class = type(driver)
        self._options = options
        self._known: dict[tuple[str, str], Any] = {}

    def all_allowed(self) -> Iterator[tuple[NodeSize, str]]:
        """Every allowed size at every allowed location; the location is empty for a driver that has none."""
        for location in self._locations():
            place = self._named(location)
            if _allowed(place, self._options.locations):
                for size in self._sizes(location):
                    if _allowed(str(size.id), self._options.sizes):
                        yield size, place

    def object(self, kind: str, wanted: str, offer: Offer) -> Any:
        """What ``create_node`` gets for a size, image or location: the driver's own object where the options say so,
        else a thin one. ``NotFound`` when the driver has none of this name."""
        if kind not in self._options.fetched:
            thin: dict[str, Any] = {
                "size": lambda: _size(wanted, wanted, offer.memory_mib, offer.disk_gib, None, None, self._driver),
                "image": lambda: NodeImage(wanted, wanted, self._driver),
                "location": lambda: NodeLocation(wanted, wanted, "", self._driver),
            }
            return thin[kind]()
        if (kind, wanted) not in self._known:
            self._known |= {(kind, name): found for name, found in self._fetch(kind, wanted)}
        if (kind, wanted) not in self._known:
            raise errors.NotFound(f"{self._cloud}: there is no {kind} {wanted!r}", cloud=self._cloud)
        return self._known[kind, wanted]

    def _fetch(self, kind: str, wanted: str) -> Iterator[tuple[str, Any]]:
        if kind == "location":
            yield from ((self._named(found), found) for found in self._locations())
        elif kind == "size":
            yield from ((str(found.id), found) for found in self._sizes(None))
        elif drivers.overridden(self._class, "get_image"):
            yield wanted, self._driver.get_image(wanted)
        else:
            yield from ((str(found.id), found) for found in self._driver.list_images())

    def _locations(self) -> Sequence[NodeLocation | None]:
        """The driver's locations; one that is none for a driver that has no such word."""
        if not drivers.overridden(self._class, "list_locations"):
            return [None]
        try:
            return list(self._driver.list_locations())
        except NotImplementedError:
            return [None]

    def _sizes(self, location: NodeLocation | None) -> Sequence[NodeSize]:
        if location is not None and drivers.takes(self._driver.list_sizes, "location"):
            return list(self._driver.list_sizes(location))
        return list(self._driver.list_sizes())

    def _named(self, location: NodeLocation | None) -> str:
        return "" if location is None else str(getattr(location, self._options.location_by))


_size: Any = NodeSize


def _allowed(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
