"""The shared adapter: any libcloud compute driver as a provider.

A provider subclasses :class:`LibcloudProvider`, says in a :class:`Dialect` what its cloud calls things, and writes the
few lines that connect and create. Errors are translated in ``errors``, nodes are read in ``nodes``, and nowhere else.
"""

from __future__ import annotations

from cloudmon_providers._libcloud.adapter import LibcloudProvider
from cloudmon_providers._libcloud.dialect import LIBCLOUD_VERBS, Dialect
from cloudmon_providers._libcloud.errors import translating

__all__ = ["LIBCLOUD_VERBS", "Dialect", "LibcloudProvider", "translating"]
