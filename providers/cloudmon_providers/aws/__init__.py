"""Amazon EC2."""

from __future__ import annotations

from cloudmon_providers.aws.provider import AwsProvider

__all__ = ["AwsProvider"]
