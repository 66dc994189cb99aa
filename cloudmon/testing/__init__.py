"""Shipped fakes and laws: a clock that is told the time, a provider that plays a script, and the suites that say what
a provider, a notifier and a store must keep.

Names are loaded when first asked for: ``from cloudmon.testing import FakeClock`` brings neither pytest nor SQLModel.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudmon.testing.clock import FakeClock
    from cloudmon.testing.notifier_conformance import NotifierConformance
    from cloudmon.testing.provider_conformance import ProviderConformance
    from cloudmon.testing.scripted import ScriptedProvider
    from cloudmon.testing.store_conformance import StoreConformance

_HOMES = {
    "FakeClock": "cloudmon.testing.clock",
    "NotifierConformance": "cloudmon.testing.notifier_conformance",
    "ProviderConformance": "cloudmon.testing.provider_conformance",
    "ScriptedProvider": "cloudmon.testing.scripted",
    "StoreConformance": "cloudmon.testing.store_conformance",
}

__all__ = ["FakeClock", "NotifierConformance", "ProviderConformance", "ScriptedProvider", "StoreConformance"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
