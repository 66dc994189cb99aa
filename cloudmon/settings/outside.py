"""The group of the settings file about how appliances are asked from outside: ``[templates.<name>.probes.<name>]``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cloudmon.model.probes import Probe
from cloudmon.settings.groups import Group
from cloudmon.settings.values import WholeSeconds, number

_URL = re.compile(r"http://\{address\}(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?")


def _url(value: object) -> object:
    if isinstance(value, str):
        found = _URL.fullmatch(value)
        if found is None or not 1 <= int(found["port"] or 80) <= 65_535:
            raise ValueError(
                'must be like "http://{address}:8080/health": the appliance itself, by http, without blanks'
            )
    return value


class OutsideProbeSettings(Group):
    """``probes.<name>``: a question that the monitor puts to each appliance over the network. One of ``tcp``,
    ``http``."""

    tcp: Annotated[int, BeforeValidator(number), Field(ge=1, le=65_535)] | None = None
    """Port that must accept a connection. None: no such question."""
    http: Annotated[str, BeforeValidator(_url), Field(pattern=r"^http://\{address\}")] | None = None
    """URL that must answer with ``status``; ``{address}`` is the appliance's. Redirects are not followed, and nothing
    but the status is read. None: no such question."""
    status: Annotated[int, BeforeValidator(number), Field(ge=100, le=599)] | None = None
    """Status that ``http`` must answer with. None: 200."""
    timeout_s: Annotated[WholeSeconds, Field(gt=0, le=60)] = 5
    """Duration after which a probe without an answer counts as failed."""
    interval_s: Annotated[WholeSeconds, Field(ge=1, le=86_400)] = 30
    """Duration from one probe to the next."""
    address: Literal["private", "public"] = "private"
    """Which of its node's addresses is asked."""
    ip: Literal[4, 6] | None = None
    """Version of IP whose first address is asked. None: the first address that the cloud names."""

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.tcp is None) == (self.http is None):
            raise ValueError(f"must have one of tcp, http; it has {'none' if self.tcp is None else 'both'}")
        if self.status is not None and self.http is None:
            raise ValueError("has status, which means something for http only")
        if self.timeout_s > self.interval_s:
            raise ValueError("has a timeout_s above its interval_s")
        return self

    def probe(self) -> Probe:
        """The model's probe."""
        found = _URL.fullmatch(self.http) if self.http is not None else None
        return Probe(
            tcp=self.tcp or 0,
            port=int(found["port"] or 80) if found is not None else 80,
            path=found["path"] or "/" if found is not None else "",
            status=self.status or 200,
            timeout_s=self.timeout_s,
            interval_s=self.interval_s,
            address=self.address,
            family=self.ip or 0,
        )
