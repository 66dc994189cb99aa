"""EC2's error codes, in our words."""

from __future__ import annotations

import pytest

from cloudmon import errors
from cloudmon_providers.aws import faults


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("RequestLimitExceeded", 503, errors.RateLimited),
        ("Throttling", 400, errors.RateLimited),
        ("", 429, errors.RateLimited),
        ("InsufficientInstanceCapacity", 500, errors.OutOfCapacity),
        ("InsufficientFreeAddressesInSubnet", 400, errors.OutOfCapacity),
        ("Unsupported", 400, errors.OutOfCapacity),
        ("InstanceLimitExceeded", 400, errors.QuotaExceeded),
        ("VcpuLimitExceeded", 400, errors.QuotaExceeded),
        ("VolumeLimitExceeded", 400, errors.QuotaExceeded),
        ("MaxSpotInstanceCountExceeded", 400, errors.QuotaExceeded),
        ("AuthFailure", 401, errors.CredentialsRejected),
        ("UnauthorizedOperation", 403, errors.CredentialsRejected),
        ("InvalidClientTokenId", 403, errors.CredentialsRejected),
        ("SignatureDoesNotMatch", 403, errors.CredentialsRejected),
        ("ExpiredToken", 400, errors.CredentialsRejected),
        ("RequestExpired", 400, errors.CredentialsRejected),
        ("", 403, errors.CredentialsRejected),
        ("InvalidAMIID.NotFound", 400, errors.NotFound),
        ("InvalidAMIID.Unavailable", 400, errors.NotFound),
        ("InvalidSubnetID.NotFound", 400, errors.NotFound),
        ("InvalidInstanceID.Malformed", 400, errors.NotFound),
        ("IncorrectInstanceState", 400, errors.Refused),
        ("IdempotentParameterMismatch", 400, errors.Refused),
        ("InvalidParameterValue", 400, errors.Refused),
        ("", 400, errors.Refused),
        ("InternalError", 500, errors.Unreachable),
        ("Unavailable", 503, errors.Unreachable),
        ("", 503, errors.Unreachable),
        ("", 408, errors.Unreachable),
        ("SomethingNew", 500, errors.Unreachable),
        ("", 302, errors.UnexpectedAnswer),
    ],
)
def test_a_code_is_one_kind_of_error_and_without_one_the_status_speaks(code, status, kind) -> None:
    error = faults.of(code, "words of the cloud", status, cloud="east", verb="RunInstances")
    assert type(error) is kind
    assert (error.cloud, error.code) == ("east", code or str(status))
    assert "RunInstances" in str(error)


def test_no_server_error_without_a_code_of_its_own_is_definite() -> None:
    assert not [s for s in range(500, 600) if faults.of("", "", s, cloud="east", verb="RunInstances").definite]


def test_kilobytes_of_encoded_words_are_cut() -> None:
    error = faults.of(
        "UnauthorizedOperation", "Encoded authorization failure: " + "x" * 9_000, 403, cloud="e", verb="v"
    )
    assert len(str(error)) < 400
