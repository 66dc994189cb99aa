"""boto3 at arm's length: imported when needed and not before, since it costs half a second; untyped, so what comes
out of it is ``Any`` here and typed everywhere else; its exceptions end here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cloudmon import errors
from cloudmon_providers.aws import faults
from cloudmon_providers.aws.credentials import Credentials


def chain(profile: str) -> Any:
    """The credentials that boto3's chain finds, an object that renews itself; None when it finds none."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415

    return boto3.session.Session(profile_name=profile or None).get_credentials()


def client(
    service: str, region: str, credentials: Credentials, *, endpoint: str, timeout_s: float, attempts: int = 2
) -> Any:
    """A client of one service. Two attempts a call for what only reads; one for what must not be done twice."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415

    session = boto3.session.Session(
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.session_token,
        region_name=region,
    )
    config = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"mode": "standard", "total_max_attempts": attempts}
    )
    return session.client(service, endpoint_url=endpoint or None, config=config)


@contextmanager
def translating(cloud: str, verb: str) -> Iterator[None]:
    """Context in which every exception of boto3 becomes one of ours, its cause chained."""
    from botocore import exceptions as theirs  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        yield
    except theirs.ClientError as error:
        found = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        raise faults.of(found.get("Code", ""), found.get("Message", ""), status, cloud=cloud, verb=verb) from error
    except (
        theirs.NoCredentialsError,
        theirs.PartialCredentialsError,
        theirs.CredentialRetrievalError,
        theirs.ProfileNotFound,
    ) as error:
        raise errors.CredentialsRejected(_said(cloud, verb, error), cloud=cloud) from error
    except (theirs.ConnectionError, theirs.HTTPClientError, theirs.MetadataRetrievalError) as error:
        raise errors.Unreachable(_said(cloud, verb, error), cloud=cloud) from error
    except theirs.BotoCoreError as error:
        raise errors.UnexpectedAnswer(_said(cloud, verb, error), cloud=cloud) from error


def _said(cloud: str, verb: str, error: Exception) -> str:
    return f"{cloud}: {verb}: {str(error)[: faults.SHOWN_CHARACTERS]}"
