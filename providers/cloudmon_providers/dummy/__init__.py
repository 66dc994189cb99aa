"""An honest simulated cloud: a libcloud driver of its own over a world in memory, or in a file of several processes.

``world`` is the cloud with its time, its faults and a test's hands on it; ``driver`` is what libcloud sees of it;
``provider`` is the shared adapter over that. Nothing here asks a clock: the world is handed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudmon_providers import _later
from cloudmon_providers.dummy.settings import DummySettings, Faults

if TYPE_CHECKING:
    from cloudmon_providers.dummy.faults import Fault
    from cloudmon_providers.dummy.provider import DummyProvider
    from cloudmon_providers.dummy.truth import TrueNode
    from cloudmon_providers.dummy.world import World
    from cloudmon_providers.dummy.worlds import open_world

settings_model = DummySettings
__getattr__ = _later.names(
    __name__,
    {"DummyProvider": "provider", "Fault": "faults", "TrueNode": "truth", "World": "world", "open_world": "worlds"},
)

__all__ = ["DummyProvider", "DummySettings", "Fault", "Faults", "TrueNode", "World", "open_world", "settings_model"]
