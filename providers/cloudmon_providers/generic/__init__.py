"""Any other cloud that libcloud reaches, by configuration alone."""

from __future__ import annotations

from cloudmon_providers.generic.provider import GenericProvider

__all__ = ["GenericProvider"]
