"""Every exception that a driver can throw comes out as one of ours, and says no more than it may."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import traceback
from typing import Any

import pytest
import requests
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import (
    InvalidCredsError,
    LibcloudError,
    MalformedResponseError,
    ProviderError,
    ServiceUnavailableError,
)
from libcloud.compute.types import KeyPairDoesNotExistError

from cloudmon import errors
from cloudmon_providers._libcloud import Dialect, translating
from cloudmon_providers._libcloud.errors import translate

DIALECT = Dialect(codes={"OutOfStock": errors.OutOfCapacity, "Busy.Now": errors.RateLimited})
SECRET = "AKIASECRET"
URL = f"https://cloud.example/?Action=RunInstances&UserData={SECRET}&Signature={SECRET}"


def http_error(status: int, message: str = "", headers: dict[str, str] | None = None) -> BaseHTTPError:
    return BaseHTTPError(status, message, headers)


TABLE: list[tuple[str, Exception, type[errors.CloudError]]] = [
    ("the cloud's own code wins over the status", http_error(500, "OutOfStock: none left"), errors.OutOfCapacity),
    ("a dotted code", http_error(400, "Busy.Now: later"), errors.RateLimited),
    ("bad credentials", InvalidCredsError(), errors.CredentialsRejected),
    ("bad credentials that are a quota", InvalidCredsError("Quota exceeded for cores"), errors.QuotaExceeded),
    ("no such key pair", KeyPairDoesNotExistError("k", None), errors.NotFound),
    ("another document", MalformedResponseError("Failed to parse", body="<html>"), errors.UnexpectedAnswer),
    ("429 with a date", RateLimitReachedError(headers={"retry-after": "7"}), errors.RateLimited),
    ("503 with a retry-after", http_error(503, "", {"Retry-After": "3"}), errors.RateLimited),
    ("503 that says throttling", http_error(503, "RequestLimitExceeded: Throttling"), errors.RateLimited),
    ("400 that says rate exceeded", http_error(400, "Throttling: Rate exceeded"), errors.RateLimited),
    ("503 without a word", http_error(503), errors.Unreachable),
    ("503 as libcloud's own", ServiceUnavailableError(), errors.Unreachable),
    ("500", http_error(500, "InternalError: oops"), errors.Unreachable),
    ("504", http_error(504, "Gateway Timeout"), errors.Unreachable),
    ("500 without a host", http_error(500, "No valid host was found"), errors.OutOfCapacity),
    ("401", http_error(401, "Unauthorized"), errors.CredentialsRejected),
    ("403", http_error(403, "Forbidden"), errors.CredentialsRejected),
    ("403 as a quota", http_error(403, "Quota exceeded for instances"), errors.QuotaExceeded),
    ("404", http_error(404, "no such server"), errors.NotFound),
    ("404 as libcloud's own", ProviderError("gone", 404), errors.NotFound),
    ("409", http_error(409, "Cannot 'stop' instance while it is in vm_state stopped"), errors.Refused),
    ("400", http_error(400, "InvalidParameterValue: bad"), errors.Refused),
    ("418", http_error(418, "teapot"), errors.Refused),
    ("501", http_error(501), errors.Unsupported),
    ("a redirect", http_error(302, "elsewhere"), errors.UnexpectedAnswer),
    ("a verb that the driver lacks", NotImplementedError("start_node not implemented"), errors.Unsupported),
    ("a plain word of libcloud", LibcloudError("something"), errors.UnexpectedAnswer),
    ("requests: refused", requests.exceptions.ConnectionError("refused"), errors.Unreachable),
    ("requests: read timeout", requests.exceptions.ReadTimeout("slow"), errors.Unreachable),
    ("requests: broken off", requests.exceptions.ChunkedEncodingError("cut"), errors.Unreachable),
    ("requests: no address", requests.exceptions.MissingSchema("no scheme"), errors.Refused),
    ("requests: not JSON", requests.exceptions.JSONDecodeError("Expecting value", "", 0), errors.UnexpectedAnswer),
    ("a socket's timeout", TimeoutError("timed out"), errors.Unreachable),
    ("a name that does not resolve", socket.gaierror(-2, "Name or service not known"), errors.Unreachable),
    ("TLS", ssl.SSLError("certificate verify failed"), errors.Unreachable),
    ("half an HTTP answer", http.client.IncompleteRead(b""), errors.Unreachable),
    ("an empty 200", AttributeError("'NoneType' object has no attribute 'find'"), errors.UnexpectedAnswer),
    ("one odd machine", KeyError("main_ip"), errors.UnexpectedAnswer),
    ("not JSON", json.JSONDecodeError("Expecting value", "", 0), errors.UnexpectedAnswer),
    ("a bare exception", Exception("?"), errors.UnexpectedAnswer),
]


@pytest.mark.parametrize(("raised", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_foreign_exception_becomes_ours_with_its_cause(raised: Exception, expected: type[errors.CloudError]) -> None:
    with pytest.raises(errors.CloudError) as caught, translating("east", "create_node", DIALECT):
        raise raised
    assert type(caught.value) is expected
    assert caught.value.cloud == "east"
    assert "create_node" in caught.value.message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("raised", "seconds"),
    [
        (RateLimitReachedError(headers={"retry-after": "7"}), 7.0),
        (http_error(503, "slow down", {"Retry-After": "2.5"}), 2.5),
        (RateLimitReachedError(), None),
        (http_error(429, "slow down", {"Retry-After": "soon"}), None),
        (http_error(429, "slow down", {"Retry-After": "-1"}), None),
        (http_error(429, "slow down", {"Retry-After": "1e12"}), None),
    ],
    ids=["429", "503", "unsaid", "no number", "negative", "absurd"],
)
def test_the_cloud_s_wish_to_wait_is_kept(raised: Exception, seconds: float | None) -> None:
    error = translate(raised, cloud="east", verb="list_nodes", dialect=DIALECT)
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (http_error(400, "InvalidAMIID.NotFound: no such image"), "InvalidAMIID.NotFound"),
        (LibcloudError("OutOfStock: none"), "OutOfStock"),
        (Exception("OutOfStock: none"), "OutOfStock"),
        (http_error(404, "no such server"), "404"),
        (KeyError("main_ip"), ""),
        (requests.exceptions.ConnectionError("refused"), ""),
    ],
    ids=["http", "libcloud", "bare", "status alone", "slip", "connection"],
)
def test_the_code_is_the_cloud_s_own(raised: Exception, code: str) -> None:
    assert translate(raised, cloud="east", verb="create_node", dialect=DIALECT).code == code


def test_an_empty_503_is_throttling_only_where_the_dialect_says_so() -> None:
    error = translate(http_error(503), cloud="east", verb="list_nodes", dialect=Dialect(empty_503_throttles=True))
    assert isinstance(error, errors.RateLimited)


def test_our_own_errors_pass_and_learn_the_cloud_s_name() -> None:
    with pytest.raises(errors.NotFound, match="gone") as caught, translating("east", "get_node", DIALECT):
        raise errors.NotFound("gone")
    assert caught.value.cloud == "east"


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(), GeneratorExit()], ids=repr)
def test_what_ends_the_process_is_not_an_answer_of_a_cloud(raised: BaseException) -> None:
    with pytest.raises(type(raised)), translating("east", "get_node", DIALECT):
        raise raised


def _failed(request: Any = None) -> requests.exceptions.ConnectionError:
    return requests.exceptions.ConnectionError(
        f"HTTPSConnectionPool(host='cloud.example', port=443): Max retries exceeded with url: {URL}", request=request
    )


@pytest.mark.parametrize(
    "raised",
    [
        _failed(),
        _failed(requests.Request("GET", URL).prepare()),
        http_error(400, f"bad call {URL}"),
        OSError(f"cannot reach {URL}"),
        Exception(URL),
    ],
    ids=["requests", "requests with its request", "http", "socket", "other"],
)
def test_no_query_of_an_address_is_told_or_chained(raised: Exception) -> None:
    """EC2's calls carry the access key, the signature and the user data there."""
    with pytest.raises(errors.CloudError) as caught, translating("east", "create_node", DIALECT):
        raise raised
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)


def test_a_connection_that_fails_says_to_where_and_why() -> None:
    text = "HTTPSConnectionPool(host='cloud.example', port=443): url: /?A=b (Caused by: [Errno 111] Connection refused)"
    raised = requests.exceptions.ConnectionError(text)
    error = translate(raised, cloud="east", verb="list_nodes", dialect=DIALECT)
    assert "cloud.example" in error.message
    assert "Connection refused" in error.message


def test_a_page_of_text_is_cut() -> None:
    error = translate(http_error(500, "x" * 100_000), cloud="east", verb="list_nodes", dialect=DIALECT)
    assert len(error.message) < 500


def test_the_body_of_a_malformed_answer_is_neither_told_nor_chained() -> None:
    with pytest.raises(errors.UnexpectedAnswer) as caught, translating("east", "create_node", DIALECT):
        raise MalformedResponseError("Failed to parse", body=SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
