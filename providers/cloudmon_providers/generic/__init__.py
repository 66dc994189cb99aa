"""Any other cloud that libcloud reaches, by configuration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudmon_providers import _later
from cloudmon_providers.generic.options import GenericOptions

if TYPE_CHECKING:
    from cloudmon_providers.generic.provider import GenericProvider

settings_model = GenericOptions
__getattr__ = _later.names(__name__, {"GenericProvider": "provider"})

__all__ = ["GenericOptions", "GenericProvider", "settings_model"]
