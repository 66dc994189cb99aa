"""Amazon EC2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudmon_providers import _later
from cloudmon_providers.aws.options import AwsOptions, CreateOptions

if TYPE_CHECKING:
    from cloudmon_providers.aws.provider import AwsProvider

settings_model = AwsOptions
template_model = CreateOptions
__getattr__ = _later.names(__name__, {"AwsProvider": "provider"})

__all__ = ["AwsOptions", "AwsProvider", "CreateOptions", "settings_model", "template_model"]
