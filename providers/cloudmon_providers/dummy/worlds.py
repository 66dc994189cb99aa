"""Finding a world by its address, so that the providers of one process share it.

How long a world in memory lives: ``memory`` as long as the clock that it was opened with, so that a running monitor
keeps its cloud when all its providers are made anew, and two monitors in one process have a cloud each;
``memory:<name>`` as long as somebody holds it. A file needs nobody.
"""

from __future__ import annotations

import datetime as dt
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import MethodType

from cloudmon_providers.dummy.settings import DummySettings
from cloudmon_providers.dummy.storage import Nowhere, SharedFile
from cloudmon_providers.dummy.world import World

Now = Callable[[], dt.datetime]

_named: weakref.WeakValueDictionary[str, World] = weakref.WeakValueDictionary()
_of_clock: weakref.WeakKeyDictionary[object, dict[str, World]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_doors: dict[str, threading.Lock] = {}
"""By address: held while a world is opened."""


def open_world(settings: DummySettings, *, cloud: str, now: Now) -> World:
    """The world at ``settings.world``: the one that this process has already, with the settings it was opened with,
    else a new one with these.

    ``now`` is the cloud's own clock: who opens a named world first may give it a truer one than the monitor's, which
    jumps.
    """
    with _lock:
        if settings.world == "memory":
            worlds = _of_clock.setdefault(_owner(now), {})
            if cloud not in worlds:
                # Held by its clock, it must not hold the clock in turn: neither would ever go.
                worlds[cloud] = World(settings, now=_loosely(now), storage=Nowhere())
            return worlds[cloud]
        in_memory = settings.world.startswith("memory:")
        address = settings.world if in_memory else str(Path(settings.world).resolve())
        door = _doors.setdefault(address, threading.Lock())
    # A file that another process keeps busy keeps those waiting who want this world, and nobody else.
    with door:
        world = _named.get(address)
        if world is None:
            world = World(settings, now=now, storage=Nowhere() if in_memory else SharedFile(Path(address)))
            _named[address] = world
        return world


def _owner(now: Now) -> object:
    return now.__self__ if isinstance(now, MethodType) else now


def _loosely(now: Now) -> Now:
    """``now`` without holding its clock; when the clock is gone its last word stays."""
    found: Callable[[], Now | None] = weakref.WeakMethod(now) if isinstance(now, MethodType) else weakref.ref(now)
    told = [now()]

    def tell() -> dt.datetime:
        living = found()
        if living is not None:
            told[0] = living()
        return told[0]

    return tell
