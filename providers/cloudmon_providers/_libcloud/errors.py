"""Where every exception of libcloud, requests and a driver's own slips becomes one of ours: the only place.

Five families come out of libcloud: ``LibcloudError`` and kin; ``BaseHTTPError``, which is not one of them;
``NotImplementedError``; those of requests and of the sockets below; and plain ``AttributeError`` or ``KeyError`` where
a driver met an answer that it did not expect. Translating is a ladder over them, most telling first.

Whether an error is *definite* (nothing was made) decides if another offer may be tried, so in doubt it is not:
an answer that was not understood may stand for an effect that was had.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from types import TracebackType

import requests
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError, LibcloudError, MalformedResponseError, ProviderError
from libcloud.compute.types import KeyPairDoesNotExistError

from cloudmon import errors
from cloudmon_providers._libcloud.dialect import Dialect

SHOWN_CHARACTERS = 300
"""More of a cloud's own text is not kept: error pages run to kilobytes."""

_CODE = re.compile(r"^\W{0,2}([A-Z][A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*)\b\s*:")
_QUERY = re.compile(r"\?[^\s)'\"]*")
_THROTTLED = re.compile(
    r"throttl|rate.?limit|rate exceeded|too many requests|limit ?exceeded.*request|slow ?down", re.I
)
_QUOTA = re.compile(r"quota|limit ?exceeded|exceeds? .*limit|maximum number", re.I)
_CAPACITY = re.compile(r"insufficient.*capacity|out of capacity|no valid host|not enough .*(capacity|resources)", re.I)

_BY_STATUS: Mapping[int, type[errors.CloudError]] = {
    400: errors.Refused,
    401: errors.CredentialsRejected,
    402: errors.QuotaExceeded,
    403: errors.CredentialsRejected,
    404: errors.NotFound,
    405: errors.Unsupported,
    408: errors.Unreachable,
    409: errors.Refused,
    410: errors.NotFound,
    412: errors.Refused,
    413: errors.Refused,
    415: errors.Refused,
    422: errors.Refused,
    429: errors.RateLimited,
    501: errors.Unsupported,
}


class translating:  # noqa: N801 - reads as a sentence: with translating("east", "create_node", dialect)
    """Context in which every foreign exception becomes a :class:`~cloudmon.errors.CloudError`, its cause chained."""

    __slots__ = ("_cloud", "_dialect", "_verb")

    def __init__(self, cloud: str, verb: str, dialect: Dialect) -> None:
        self._cloud = cloud
        self._verb = verb
        self._dialect = dialect

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error, errors.CloudError):
            error.cloud = error.cloud or self._cloud
            return
        raise translate(error, cloud=self._cloud, verb=self._verb, dialect=self._dialect) from scrubbed(error)


def translate(error: Exception, *, cloud: str, verb: str, dialect: Dialect) -> errors.CloudError:
    """What ``error`` means, as one of ours. Never raises."""
    said = _said(error)
    code = _code(error, said)
    status = _status(error)
    retry_after_s = _retry_after_s(error)
    kind = _kind(error, said, code, status, retry_after_s, dialect)
    text = f"{cloud}: {verb}: {said or type(error).__name__}"
    code = code or (str(status) if status else "")
    if kind is errors.RateLimited:
        return errors.RateLimited(text, cloud=cloud, code=code, retry_after_s=retry_after_s)
    return kind(text, cloud=cloud, code=code)


def _kind(
    error: Exception, said: str, code: str, status: int, retry_after_s: float | None, dialect: Dialect
) -> type[errors.CloudError]:
    # The cloud's own code is the best word there is.
    if code in dialect.codes:
        return dialect.codes[code]
    # The driver recognised bad credentials; some clouds say so for a used-up quota as well.
    if isinstance(error, InvalidCredsError):
        return errors.QuotaExceeded if _QUOTA.search(said) else errors.CredentialsRejected
    if isinstance(error, KeyPairDoesNotExistError):
        return errors.NotFound
    # The answer was no document of this cloud.
    if isinstance(error, MalformedResponseError):
        return errors.UnexpectedAnswer
    # An HTTP answer with a status that tells.
    if status:
        return _of_status(status, said, retry_after_s, dialect)
    # The driver has no such verb.
    if isinstance(error, NotImplementedError):
        return errors.Unsupported
    # Our own settings name no address; nothing left this machine.
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return errors.Refused
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return errors.UnexpectedAnswer
    # The connection: refused, broken, cut off, too slow. Whether the cloud acted is not known.
    if isinstance(error, requests.exceptions.RequestException | OSError | http.client.HTTPException):
        return errors.Unreachable
    # A plain word of libcloud, or a driver that stumbled over an answer (AttributeError on an empty 200, KeyError
    # in a listing with one odd machine): something answered, and it was not what this cloud's answers look like.
    return errors.UnexpectedAnswer


def _of_status(status: int, said: str, retry_after_s: float | None, dialect: Dialect) -> type[errors.CloudError]:
    if _CAPACITY.search(said):
        return errors.OutOfCapacity
    if status in (413, 503) and (retry_after_s or _THROTTLED.search(said)):
        return errors.RateLimited
    if status == 503 and not said and dialect.empty_503_throttles:
        return errors.RateLimited
    if status == 400 and _THROTTLED.search(said):
        return errors.RateLimited
    if status in (400, 403, 409, 413) and _QUOTA.search(said):
        return errors.QuotaExceeded
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return errors.Refused
    if status >= 500:
        return errors.Unreachable
    return errors.UnexpectedAnswer


def _said(error: Exception) -> str:
    """The cloud's own words: without bodies, and without addresses, whose queries carry keys and user data."""
    if isinstance(error, LibcloudError):
        text = str(error.value)
    elif isinstance(error, BaseHTTPError):
        text = str(error.message or "")
    else:
        text = _text(error)
        if type(error) is not Exception:
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return _QUERY.sub("?…", " ".join(text.split()))[:SHOWN_CHARACTERS]


def _code(error: Exception, said: str) -> str:
    """The cloud's own code at the head of what it said; a class of Python's is none."""
    if not isinstance(error, LibcloudError | BaseHTTPError) and type(error) is not Exception:
        return ""
    found = _CODE.match(said)
    return found.group(1) if found else ""


def _status(error: Exception) -> int:
    """The HTTP status that the error carries, 0 when it carries none."""
    if isinstance(error, BaseHTTPError):
        status: object = error.code
    elif isinstance(error, ProviderError):
        status = error.http_code
    else:
        return 0
    text = str(status)
    return int(text) if text.isdecimal() else 0


def _retry_after_s(error: Exception) -> float | None:
    """Seconds that the cloud asks us to wait; libcloud has turned dates into seconds already. None when unsaid."""
    headers = getattr(error, "headers", None)
    wished: object = None
    if isinstance(headers, Mapping):
        wished = next((value for key, value in headers.items() if str(key).lower() == "retry-after"), None)
    if wished is None:
        wished = getattr(error, "retry_after", None)
    try:
        seconds = float(str(wished))
    except ValueError:
        return None
    return seconds if 0 < seconds < 86_400 else None


def scrubbed(error: Exception) -> Exception:
    """The cause to chain: the error itself where it can be shown. One whose text holds an address with a query, where
    EC2's calls carry access keys, signatures and user data, or a whole answer, is replaced by one without."""
    text = _text(error)
    if not _QUERY.search(text) and not isinstance(error, MalformedResponseError):
        return error
    kin = OSError if isinstance(error, OSError) else Exception
    clean = kin(f"{type(error).__name__}: {_said(error)}")
    clean.__suppress_context__ = True
    return clean.with_traceback(error.__traceback__)


def _text(error: Exception) -> str:
    """The error's own text; some of libcloud's cannot be shown without a driver, and raise."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001, RUF100 - an error must not be lost because its text is
        return ""
