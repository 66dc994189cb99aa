"""What EC2's error codes mean.

The codes are those of "Error codes for the Amazon EC2 API"; what is not named here falls to its HTTP status. Whether an
error is definite (nothing was made) decides if another offer is tried: a server error never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudmon import errors

SHOWN_CHARACTERS: Final = 300
"""More of EC2's own words is not kept; an encoded authorization failure alone takes kilobytes."""

_CODES: Final[Mapping[str, type[errors.CloudError]]] = {
    **dict.fromkeys(
        ("RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "EC2ThrottledException",
         "RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "SlowDown"),
        errors.RateLimited,
    ),
    # The last is said of a size that this zone does not sell at all: another offer may do there, too.
    **dict.fromkeys(
        ("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
         "InsufficientCapacity", "InsufficientAddressCapacity", "InsufficientFreeAddressesInSubnet",
         "InsufficientVolumeCapacity", "SpotMaxPriceTooLow", "Unsupported"),
        errors.OutOfCapacity,
    ),
    "MaxSpotInstanceCountExceeded": errors.QuotaExceeded,
    **dict.fromkeys(
        ("AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Blocked", "OptInRequired",
         "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "InvalidAccessKeyId",
         "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "UnrecognizedClientException",
         "NotAuthorized"),
        errors.CredentialsRejected,
    ),
    # An id that EC2 cannot have given, or an image that was taken away, is not there.
    **dict.fromkeys(
        ("InvalidInstanceID.Malformed", "InvalidInstanceId", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable",
         "InvalidInstanceType"),
        errors.NotFound,
    ),
    **dict.fromkeys(
        ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"),
        errors.Unreachable,
    ),
}  # fmt: skip


def of(
    code: str, message: str, status: int, *, cloud: str, verb: str, retry_after_s: float | None = None
) -> errors.CloudError:
    """The error of ours for one answer of EC2. ``status`` 0 stands for none."""
    kind = _kind(code, status)
    said = ": ".join(part for part in (code, " ".join(message.split())[:SHOWN_CHARACTERS]) if part)
    text = f"{cloud}: {verb}: {said or f'HTTP {status}'}"
    code = code or (str(status) if status else "")
    if kind is errors.RateLimited:
        return errors.RateLimited(text, cloud=cloud, code=code, retry_after_s=retry_after_s)
    return kind(text, cloud=cloud, code=code)


def _kind(code: str, status: int) -> type[errors.CloudError]:
    if code in _CODES:
        return _CODES[code]
    if code.endswith((".NotFound", ".NotFoundException")):
        return errors.NotFound
    if code.endswith("LimitExceeded"):
        return errors.QuotaExceeded
    if status == 429:
        return errors.RateLimited
    if status in (401, 403):
        return errors.CredentialsRejected
    if 400 <= status < 500 and status != 408:
        # A code is EC2's own word; without one a proxy may have answered, but nothing was done either way.
        return errors.Refused
    if status >= 500 or status == 408:
        return errors.Unreachable
    return errors.UnexpectedAnswer
