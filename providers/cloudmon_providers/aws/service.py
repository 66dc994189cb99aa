"""One service of AWS beside EC2, as boto3 speaks to it."""

from __future__ import annotations

from typing import Any

from cloudmon_providers.aws import boto
from cloudmon_providers.aws.chain import Source
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions


class Service:
    """Its client is made when it is first needed, and anew when the credentials are others; not shared between threads.

    Arguments:
        name: boto3's name of it.
        attempts: a call, as :func:`boto.client` has it.
    """

    def __init__(  # what a client is made of
        self, name: str, cloud: str, options: AwsOptions, source: Source, *, timeout_s: float, attempts: int = 2
    ) -> None:
        self._name = name
        self._cloud = cloud
        self._options = options
        self._source = source
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._known: tuple[Credentials, Any] | None = None

    def reset(self) -> None:
        """Drop the connection; the next call makes another."""
        self._known = None

    def client(self, verb: str) -> Any:
        """The service's client, for a call of ``verb``, which errors name."""
        credentials = self._source.current()
        if self._known is None or self._known[0] != credentials:
            with boto.translating(self._cloud, verb):
                made = boto.client(
                    self._name,
                    self._options.region,
                    credentials,
                    endpoint=self._options.endpoint,
                    timeout_s=self._timeout_s,
                    attempts=self._attempts,
                )
            self._known = (credentials, made)
        return self._known[1]
