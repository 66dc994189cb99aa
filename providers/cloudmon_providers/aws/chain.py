"""Where AWS credentials come from: given ones, or boto3's chain, asked again before each use."""

from __future__ import annotations

from typing import Any

from cloudmon import errors
from cloudmon_providers.aws import boto
from cloudmon_providers.aws.credentials import Credentials
from cloudmon_providers.aws.options import AwsOptions


class Source:
    """Gives the credentials of one cloud.

    An adapter reads no environment and no files; boto3's chain is the one exception, because a role's credentials
    live nowhere else. It is asked only where the options hold no key, and boto3 is imported only then.
    """

    def __init__(self, cloud: str, options: AwsOptions) -> None:
        self._cloud = cloud
        self._options = options
        self._chain: Any = None

    def current(self) -> Credentials:
        """Credentials that are good now: the chain renews its own before they expire. ``CredentialsRejected`` when
        there are none."""
        options = self._options
        if options.secret_key is not None:
            token = options.session_token.get_secret_value() if options.session_token else None
            return Credentials(options.access_key, options.secret_key.get_secret_value(), token)
        with boto.translating(self._cloud, "credentials"):
            self._chain = self._chain or boto.chain(options.profile)
            if self._chain is None:
                raise errors.CredentialsRejected(
                    f"{self._cloud}: boto3's chain found no credentials: set access_key and secret_key, a profile, the "
                    "AWS_… variables, or a role of this machine",
                    cloud=self._cloud,
                )
            found = self._chain.get_frozen_credentials()
        return Credentials(found.access_key, found.secret_key, found.token)

    def reset(self) -> None:
        """Ask the whole chain anew at the next use."""
        self._chain = None
