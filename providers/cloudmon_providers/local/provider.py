"""The local cloud as a provider: the shared adapter, and what is this cloud's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from cloudmon.model.nodes import NodeRequest
from cloudmon.model.offers import Offer
from cloudmon_providers._libcloud import Dialect, LibcloudProvider, own
from cloudmon_providers.local import words
from cloudmon_providers.local.cloud import Cloud
from cloudmon_providers.local.driver import LocalDriver
from cloudmon_providers.local.settings import LocalSettings


class LocalProvider(LibcloudProvider):
    """Machines that are processes of this one: real boots, real suspends, no cloud needed. For trials only."""

    settings_model = LocalSettings
    dialect = Dialect(
        words=words.STATES,
        word_field="status",
        location_field="location",
        size_field="size",
        image_field="image",
        honours_tokens=True,
        codes=own.CODES,
    )

    def __init__(self, cloud: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:
        if not isinstance(options, LocalSettings):
            raise TypeError(f"options must be LocalSettings, not {type(options).__name__}")
        super().__init__(cloud, now=now, driver_class=LocalDriver)
        self._options = options
        self._timeout_s = timeout_s

    def connect(self) -> LocalDriver:
        return LocalDriver(Cloud(self._options, now=self._now, timeout_s=self._timeout_s))

    def create_arguments(self, request: NodeRequest) -> dict[str, Any]:
        return {**super().create_arguments(request), "ex_token": request.token}

    def offers(self) -> Sequence[Offer]:
        driver = self.driver
        assert isinstance(driver, LocalDriver)  # noqa: S101 - connect() makes no other
        return driver.ex_list_offers(self.cloud)
