"""Keeps libcloud from sending a request again.

It does so when the environment says LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS, for creates as well: a create whose answer was
lost would make a second machine. Whoever may try again is the monitor, which knows the token and the deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from libcloud.common.base import Connection
from libcloud.compute.base import NodeDriver

T = TypeVar("T", bound=Callable[..., Any])


class _Once:
    """In the place of libcloud's ``Retry``."""

    def __init__(self, **_: object) -> None:
        """Takes delays and timeouts as that one does."""

    def __call__(self, request: T) -> T:
        return request


def without_retries(driver: NodeDriver) -> NodeDriver:
    """The driver, all whose connections send a request once."""
    for found in vars(driver).values():
        if isinstance(found, Connection):
            connection: Any = found
            connection.retryCls = _Once
    return driver
