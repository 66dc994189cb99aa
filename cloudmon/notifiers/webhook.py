"""Webhooks, signed as https://www.standardwebhooks.com says: one POST of JSON a notice.

Redirects are not followed, no proxy of the environment is asked, and of an answer nothing but its head is read.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import email.utils
import hashlib
import hmac
import http.client
import ipaddress
import json
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

from cloudmon import __version__
from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.notifier import Notice
from cloudmon.notifiers import patience

BUSY = frozenset((408, 425, 429, 502, 503, 504))
"""Answers that mean: not now."""
PREFIX = "whsec_"
SHORTEST, SHORTEST_CODED = 16, 24
"""Bytes that a key must have, as text and as the standard has it."""


class WebhookOptions(BaseModel):
    """``[notify.<name>.options]`` of kind ``webhook``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    """Where notices are posted: an https URL, for many receivers a secret by itself; http only on this machine, or with
    ``plain``."""
    secret: SecretStr | None = None
    """Key of the signature: ``whsec_`` and Base64, or text of at least 16 bytes; several, parted by blanks, while one
    takes another's place. None: notices are not signed."""
    ca: str = ""
    """Certificates in PEM of the authorities that are believed, instead of this machine's. ``ca_file`` reads them from
    a file."""
    plain: bool = False
    """True allows http to other machines: everybody on the way can then read what is told."""

    @field_validator("url")
    @classmethod
    def _posts(cls, url: SecretStr) -> SecretStr:
        try:
            found = urlsplit(url.get_secret_value())
            good = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
        except ValueError:
            good = False
        text = url.get_secret_value()
        if not good or "@" in found.netloc or found.fragment or not text.isascii() or not text.isprintable():
            raise ValueError("must be a URL such as https://hooks.example.net/cloudmon, without user and password")
        if " " in text:
            raise ValueError("must be a URL without blanks")
        return url

    @field_validator("secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            keys(secret.get_secret_value())
        return secret

    @field_validator("ca")
    @classmethod
    def _certifies(cls, ca: str) -> str:
        if ca and "-----BEGIN CERTIFICATE-----" not in ca:
            raise ValueError("must be certificates in PEM; ca_file names a file of them")
        return ca

    @model_validator(mode="after")
    def _private(self) -> WebhookOptions:
        found = urlsplit(self.url.get_secret_value())
        if found.scheme == "http" and not self.plain and not is_here(found.hostname or ""):
            raise ValueError("has an http url of another machine; use https, or say plain = true")
        return self


settings_model = WebhookOptions


def keys(text: str) -> tuple[bytes, ...]:
    """The keys that a secret holds. ValueError for none, and for one that is too short to be one."""
    found = tuple(_key(word) for word in text.split())
    if not found:
        raise ValueError("must not be empty")
    return found


def _key(word: str) -> bytes:
    if not word.startswith(PREFIX):
        if len(word.encode()) < SHORTEST:
            raise ValueError(f"must be {PREFIX} and Base64, or text of at least {SHORTEST} bytes")
        return word.encode()
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"must be Base64 after {PREFIX}") from None
    if len(key) < SHORTEST_CODED:
        raise ValueError(f"must hold at least {SHORTEST_CODED} bytes after {PREFIX}")
    return key


def is_here(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def signature(key: bytes, notice_id: str, timestamp: int, body: bytes) -> str:
    """One of the signatures in ``webhook-signature``."""
    mac = hmac.digest(key, b".".join((notice_id.encode(), str(timestamp).encode(), body)), hashlib.sha256)
    return f"v1,{base64.b64encode(mac).decode()}"


class Webhook:
    """Posts notices to one URL."""

    settings_model = WebhookOptions

    def __init__(self, name: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:
        assert isinstance(options, WebhookOptions)  # noqa: S101  # as the contract says
        self.name = name
        self._url = urlsplit(options.url.get_secret_value())
        self._keys = keys(options.secret.get_secret_value()) if options.secret is not None else ()
        self._ca = options.ca
        self._now = now
        self._timeout_s = timeout_s

    def send(self, notice: Notice) -> str:
        """As :meth:`cloudmon.notifier.Notifier.send` promises."""
        body = payload(notice)
        try:
            connection = self._connection()
            try:
                with patience.at_most(self._timeout_s * patience.SHARES, lambda: connection.sock):
                    connection.request("POST", _path(self._url), body, self._headers(notice, body))
                    answer = connection.getresponse()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise NotifierUnavailable(f"{self._where} did not answer: {what}", notifier=self.name) from error
        if 200 <= answer.status < 300:
            return ""
        said = "".join(char for char in f"{answer.status} {answer.reason}" if char.isprintable())[:100].strip()
        if answer.status in BUSY:
            wait_s = retry_after_s(answer.headers.get("Retry-After", ""), self._now())
            raise NotifierUnavailable(
                f"{self._where} asks to wait: {said}", notifier=self.name, code=str(answer.status), retry_after_s=wait_s
            )
        more = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        raise NoticeRefused(f"{self._where} refuses it: {said}{more}", notifier=self.name, code=str(answer.status))

    def reach(self) -> str:
        """As :meth:`cloudmon.notifier.Reachable.reach` promises."""
        try:
            connection = self._connection()
            try:
                with patience.at_most(self._timeout_s * patience.SHARES, lambda: connection.sock):
                    connection.connect()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise NotifierUnavailable(f"{self._where} did not answer: {what}", notifier=self.name) from error
        sure = "its certificate is believed" if self._url.scheme == "https" else "in the clear"
        return f"{self._where} answers, {sure}{'' if self._keys else '; notices are not signed: it has no secret'}"

    @property
    def _where(self) -> str:
        """Whom one speaks to, without what may be secret in the URL."""
        return self._url.hostname or ""

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        import ssl  # noqa: PLC0415  # brings OpenSSL along: only for who speaks https

        context = ssl.create_default_context(cadata=self._ca or None)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)

    def _headers(self, notice: Notice, body: bytes) -> Mapping[str, str]:
        timestamp = int(self._now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"cloudmon/{__version__}",
            "webhook-id": notice.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            signatures = (signature(key, notice.id, timestamp, body) for key in self._keys)
            headers["webhook-signature"] = " ".join(signatures)
        return headers


def payload(notice: Notice) -> bytes:
    """The body: the same bytes for the same notice."""
    told = {
        "type": notice.type,
        "timestamp": notice.at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        "data": {"title": notice.title, "severity": notice.severity, **notice.data},
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _path(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def retry_after_s(text: str, now: dt.datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for: a number, or until a date. None for what says nothing."""
    if text.strip().isdecimal() and text.strip().isascii():
        return float(text.strip()[:9])
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - now).total_seconds())
