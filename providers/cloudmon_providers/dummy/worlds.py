"""Finding a world by its address, so that the providers of one process share it."""

from __future__ import annotations

import datetime as dt
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from cloudmon_providers.dummy.settings import DummySettings
from cloudmon_providers.dummy.storage import Nowhere, SharedFile
from cloudmon_providers.dummy.world import World

_open: weakref.WeakValueDictionary[str, World] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def open_world(settings: DummySettings, *, cloud: str, now: Callable[[], dt.datetime]) -> World:
    """The world at ``settings.world``: the one that this process holds already, else a new one with these settings.

    ``now`` is the cloud's own clock: who opens a world first may give it a truer one than the monitor's, which jumps.
    """
    address = settings.world
    if address == "memory":
        address = f"memory:{cloud}"
    in_memory = address.startswith("memory:")
    key = address if in_memory else str(Path(address).resolve())
    with _lock:
        world = _open.get(key)
        if world is None:
            world = World(settings, now=now, storage=Nowhere() if in_memory else SharedFile(Path(key)))
            _open[key] = world
        return world
