"""A cloud on this one machine: nodes are processes with a directory each; for trials, tests and demos.

``directory`` is the place with its lock, ``life`` what becomes of one node, ``cloud`` the verbs, ``driver`` what
libcloud sees of them, ``provider`` the shared adapter over that. ``machine`` is a program of its own: the process that
a node is, with ``processes``, ``userdata`` and ``cloudconfig``. It is started for every boot and knows the standard
library only, so nothing is imported here until somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudmon_providers import _later

if TYPE_CHECKING:
    from cloudmon_providers.local.provider import LocalProvider
    from cloudmon_providers.local.settings import LocalSettings, settings_model

__getattr__ = _later.names(
    __name__, {"LocalProvider": "provider", "LocalSettings": "settings", "settings_model": "settings"}
)

__all__ = ["LocalProvider", "LocalSettings", "settings_model"]
