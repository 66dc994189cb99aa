"""The group of the settings file about how appliances are asked from outside: ``[templates.<name>.probes.<name>]``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cloudmon.model.probes import Probe, Tls
from cloudmon.settings.groups import Group
from cloudmon.settings.values import WholeSeconds, number

_URL = re.compile(r"(?P<scheme>https?)://\{address\}(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?")
_OF_PAGES, _OF_TLS = {"status", "host"}, {"verify", "ca", "ca_file"}
_PORTS = {"http": 80, "https": 443}
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


def _of(scheme: str) -> Callable[[object], object]:
    def url(value: object) -> object:
        if isinstance(value, str):
            found = _URL.fullmatch(value)
            if found is None or found["scheme"] != scheme or not 1 <= int(found["port"] or 80) <= 65_535:
                raise ValueError(
                    f'must be like "{scheme}://{{address}}:8080/health": the appliance itself, by {scheme}, '
                    "without blanks"
                )
        return value

    return url


def _certificates(value: object) -> object:
    if isinstance(value, str) and value:
        believed(value)
    return value


def believed(certificates: str) -> None:
    """Refuses with half a sentence, as ValueError, what holds no certificates in PEM."""
    import ssl  # noqa: PLC0415  # brings OpenSSL along: only for who names certificates

    try:
        ssl.create_default_context(cadata=certificates)
    except (ValueError, ssl.SSLError) as error:
        raise ValueError("must have certificates in PEM, from -----BEGIN CERTIFICATE----- on") from error


class OutsideProbeSettings(Group):
    """``probes.<name>``: a question that the monitor puts to each appliance over the network. One of ``tcp``,
    ``http``, ``https``."""

    tcp: Annotated[int, BeforeValidator(number), Field(ge=1, le=65_535)] | None = None
    """Port that must accept a connection. None: no such question."""
    http: Annotated[str, BeforeValidator(_of("http")), Field(pattern=r"^http://\{address\}")] | None = None
    """URL that must answer with ``status``; ``{address}`` is the appliance's. Redirects are not followed, and nothing
    but the status is read. None: no such question."""
    https: Annotated[str, BeforeValidator(_of("https")), Field(pattern=r"^https://\{address\}")] | None = None
    """Likewise by TLS, from 1.2 on; the certificate must be good, unless ``verify`` is false. Port 443 unless the URL
    says another. None: no such question."""
    status: Annotated[int, BeforeValidator(number), Field(ge=100, le=599)] | None = None
    """Status that ``http`` or ``https`` must answer with. None: 200."""
    host: Annotated[str, Field(pattern=f"^{_HOST}$")] | None = None
    """Name that is asked for by ``http`` or ``https``, and that the certificate must be for: ``shop.example.com``. The
    connection goes to the appliance's address all the same. None: the address itself."""
    verify: bool = True
    """False takes any certificate, of whoever answers, also one that has ended: the answer may then come from anybody
    on the way. Only its end is still told."""
    ca: Annotated[str, BeforeValidator(_certificates)] = ""
    """Certificates, in PEM, of the authorities that are believed for ``https``. Empty: ``ca_file``, or those that the
    monitor's machine believes."""
    ca_file: Path | None = None
    """File with them instead; relative to the settings file. None: ``ca`` counts."""
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
        asked = [name for name in ("tcp", "http", "https") if getattr(self, name) is not None]
        if len(asked) != 1:
            raise ValueError(f"must have one of tcp, http, https; it has {' and '.join(asked) or 'none'}")
        told = {name for name in _OF_PAGES | _OF_TLS if getattr(self, name) != type(self).model_fields[name].default}
        for name in sorted(told & _OF_PAGES if self.tcp is not None else ()):
            raise ValueError(f"has {name}, which means something for http and https only")
        for name in sorted(told & _OF_TLS if self.https is None else ()):
            raise ValueError(f"has {name}, which means something for https only")
        if self.timeout_s > self.interval_s:
            raise ValueError("has a timeout_s above its interval_s")
        return self

    @model_validator(mode="after")
    def _one_belief(self) -> Self:
        if self.ca and self.ca_file is not None:
            raise ValueError("has both ca and ca_file; keep one")
        if not self.verify and (self.ca or self.ca_file is not None):
            raise ValueError("names authorities that are believed, and verify = false, which believes anybody")
        return self

    def probe(self) -> Probe:
        """The model's probe."""
        found = _URL.fullmatch(self.http or self.https or "")
        return Probe(
            tcp=self.tcp or 0,
            port=int(found["port"] or _PORTS[found["scheme"]]) if found is not None else 80,
            path=found["path"] or "/" if found is not None else "",
            status=self.status or 200,
            timeout_s=self.timeout_s,
            interval_s=self.interval_s,
            address=self.address,
            family=self.ip or 0,
            host=self.host or "",
            tls=Tls(self.verify, self.ca) if self.https is not None else None,
        )
