"""The group of the settings file about the channel that agents inside the appliances speak through."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cloudmon.settings.groups import Group
from cloudmon.settings.values import Seconds, WholeSeconds, number


class ChannelSettings(Group):
    """``[channel]``: where agents reach the monitor. Without this group the channel is not served."""

    address: str = "127.0.0.1"
    """IP address that the channel listens on; ``0.0.0.0`` and ``::`` are all of this machine's."""
    port: Annotated[int, BeforeValidator(number), Field(ge=1, le=65_535)] = 8_788
    """Port that the channel listens on."""
    url: str = ""
    """Where agents find it: ``https://monitor.example.net:8788``. Empty: made of ``address`` and ``port``, which works
    on one machine or network only."""
    names: tuple[str, ...] = ()
    """Further host names and addresses that the certificate of ``tls = "own"`` is valid for."""
    tls: Literal["own", "proxy"] = "own"
    """``own``: served with a certificate of the monitor's own authority, made at the first run in
    ``<monitor.state_dir>/channel``; agents trust that authority alone. ``proxy``: served in the clear to a proxy in
    front, whose certificate machines trust already; ``url`` is the proxy's."""
    key_file: Path | None = None
    """File with the key that all tokens and keys of agents are derived from, at least 16 bytes. None: ``channel.key``
    in ``monitor.state_dir``, made at first use and readable by its owner alone. Whoever has it can speak for any
    appliance; with another one every agent must be enrolled anew."""
    least_interval_s: Annotated[Seconds, Field(ge=1, le=86_400)] = 1
    """Least duration between two reports of an agent; a template that asks for more gets this."""
    keep_reports_s: Annotated[WholeSeconds, Field(ge=3_600)] = 604_800
    """Duration for which reports are kept, so that what was true of an appliance then can still be told."""
    report_max_kib: Annotated[int, BeforeValidator(number), Field(ge=64, le=65_536)] = 2_048
    """Size in KiB of a report, at most; a full one of a usual server has 45."""
    osquery: bool = False
    """True serves osquery's remote API too (``/osquery/v1/``), so that hosts which run osqueryd are monitored without
    an agent; ``cloudmon template osquery`` prints their flags. They sign nothing: a key within TLS is all they show."""

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise ValueError("must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::1") from None
        return value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value:
            return value
        try:
            found = urlsplit(value)
            good = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
        except ValueError:
            good = False
        if not good or found.path not in ("", "/") or found.query or found.fragment or "@" in found.netloc:
            raise ValueError("must be a URL without a path, such as https://monitor.example.net:8788")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.url and (self.tls == "proxy" or ipaddress.ip_address(self.address).is_unspecified):
            raise ValueError("needs url: nobody can tell from the address where agents find the channel")
        if self.url and self.tls == "own" and not self.url.startswith("https:"):
            raise ValueError('has tls = "own" and a url that is not https')
        return self

    @property
    def told_url(self) -> str:
        """What agents are told."""
        if self.url:
            return self.url
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{host}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the certificate must be valid for."""
        found = [urlsplit(self.told_url).hostname or ""]
        if not ipaddress.ip_address(self.address).is_unspecified:
            found.append(self.address)
        return tuple(dict.fromkeys([*found, *self.names]))
