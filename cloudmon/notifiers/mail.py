"""E-mail over SMTP: one message a notice. What is told of one finding is one thread, and a repetition has the same
Message-ID."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cloudmon.errors import NoticeRefused, NotifierUnavailable
from cloudmon.notifier import Notice
from cloudmon.notifiers import patience
from cloudmon.notifiers.webhook import is_here

if TYPE_CHECKING:
    import smtplib
    import ssl

_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[^\s@<>,;:\"\\()\[\]]+", re.ASCII)
PORTS = {"starttls": 587, "tls": 465, "none": 25}
LONGEST_LINE = 200
"""Characters of a subject."""


class MailOptions(BaseModel):
    """``[notify.<name>.options]`` of kind ``email``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    host: Annotated[str, Field(min_length=1)]
    """Name or address of the server that mail is handed to."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Its port. None: 587, with ``tls`` 465, with ``none`` 25."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """``starttls`` and ``tls`` encrypt and check the server's certificate, and never go on without; ``none`` is in the
    clear."""
    user: str = ""
    """Who logs in. Empty: nobody does."""
    password: SecretStr | None = None
    """The user's password; ``password_file`` reads it from a file."""
    from_: Annotated[str, Field(alias="from")]
    """Address that mail is from."""
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    """Addresses that each notice is sent to."""
    subject_prefix: Annotated[str, Field(max_length=80)] = "[cloudmon]"
    """What subjects begin with. Empty: nothing."""
    ca: str = ""
    """Certificates in PEM of the authorities that are believed, instead of this machine's. ``ca_file`` reads them from
    a file."""

    @field_validator("from_", "to")
    @classmethod
    def _addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for one in (value,) if isinstance(value, str) else value:
            if not _ADDRESS.fullmatch(one):
                raise ValueError("must be an address such as ops@example.net")
        return value

    @field_validator("subject_prefix")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be one line")
        return value

    @model_validator(mode="after")
    def _private(self) -> MailOptions:
        if bool(self.user) != (self.password is not None):
            raise ValueError("needs both user and password, or neither")
        if self.user and self.security == "none" and not is_here(self.host):
            raise ValueError('would send the password in the clear; set security to "starttls" or "tls"')
        return self


settings_model = MailOptions


class Mail:
    """Hands mail to one server."""

    settings_model = MailOptions

    def __init__(self, name: str, options: object, *, now: Callable[[], dt.datetime], timeout_s: float) -> None:  # noqa: ARG002  # mail is dated by what it tells
        assert isinstance(options, MailOptions)  # noqa: S101  # as the contract says
        self.name = name
        self._options = options
        self._timeout_s = timeout_s

    def send(self, notice: Notice) -> str:
        """As :meth:`cloudmon.notifier.Notifier.send` promises. A server that takes it for some and refuses others has
        taken it, and the remark says whom it refused; one that asks some to come again is tried again for all."""
        with self._translated(), self._connected() as server:
            refused = self._handed_over(server, notice)
        if _later(refused):
            raise NotifierUnavailable(f"{self._where} asks to come again: {_said(refused)}", notifier=self.name)
        return f"refused for {_said(refused)}" if refused else ""

    def _handed_over(self, server: smtplib.SMTP, notice: Notice) -> Mapping[str, tuple[int, bytes]]:
        """Those whom the server refused, at least for now."""
        import smtplib  # noqa: PLC0415  # only where mail is sent

        options = self._options
        try:
            return server.send_message(message(notice, options), options.from_, list(options.to))
        except smtplib.SMTPRecipientsRefused as error:
            if _later(error.recipients):
                return error.recipients
            raise NoticeRefused(f"{self._where} refuses {_said(error.recipients)}", notifier=self.name) from error

    def reach(self) -> str:
        """As :meth:`cloudmon.notifier.Reachable.reach` promises."""
        with self._translated(), self._connected() as server:
            server.noop()
        sure = "in the clear" if self._options.security == "none" else "its certificate is believed"
        login = f", {self._options.user} may log in" if self._options.user else ""
        return f"{self._where} answers, {sure}{login}"

    @property
    def _where(self) -> str:
        return self._options.host

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What the library raises, in our own words."""
        import smtplib  # noqa: PLC0415  # only where mail is sent

        try:
            yield
        except smtplib.SMTPResponseException as error:
            said = f"{self._where} answers: {_words(error.smtp_code, error.smtp_error)}"
            # Who is not let in now may be let in when somebody has mended the settings; so may whatever comes after.
            if error.smtp_code < 500 or isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError):
                raise NotifierUnavailable(said, notifier=self.name, code=str(error.smtp_code)) from error
            raise NoticeRefused(said, notifier=self.name, code=str(error.smtp_code)) from error
        except (OSError, smtplib.SMTPException) as error:
            what = str(error) or type(error).__name__
            raise NotifierUnavailable(f"{self._where} did not take it: {what}", notifier=self.name) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """The server, encrypted and logged in as the settings say."""
        import smtplib  # noqa: PLC0415  # only where mail is sent

        options, server = self._options, self._server()
        with patience.at_most(self._timeout_s * patience.SHARES, lambda: server.sock):
            try:
                code, said = server.connect(options.host, options.port or PORTS[options.security])
                if code != 220:
                    raise smtplib.SMTPConnectError(code, said)
                if options.security == "starttls":
                    server.starttls(context=self._context())
                if options.password is not None:
                    server.login(options.user, options.password.get_secret_value())
                yield server
                with contextlib.suppress(smtplib.SMTPException, OSError):  # it is taken, whatever is said now
                    server.quit()
            finally:
                server.close()

    def _server(self) -> smtplib.SMTP:
        """Not connected yet, so that the end of all waiting is counted from the first word."""
        import smtplib  # noqa: PLC0415  # only where mail is sent

        # With a name of its own: the library would ask the network for one, and wait.
        me = socket.gethostname()
        if self._options.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=me, timeout=self._timeout_s, context=self._context())
        else:
            server = smtplib.SMTP(local_hostname=me, timeout=self._timeout_s)
        server.sock = None
        # The library takes the name that a certificate must have from its constructor alone, which would connect.
        server._host = self._options.host  # type: ignore[attr-defined]
        return server

    def _context(self) -> ssl.SSLContext:
        import ssl  # noqa: PLC0415  # brings OpenSSL along

        return ssl.create_default_context(cadata=self._options.ca or None)


def message(notice: Notice, options: MailOptions) -> EmailMessage:
    """The mail: the same for the same notice."""
    found = EmailMessage()
    subject = f"{options.subject_prefix} {printable(notice.title)}".strip()
    found["Subject"] = subject if len(subject) <= LONGEST_LINE else f"{subject[: LONGEST_LINE - 1]}…"
    found["From"] = options.from_
    found["To"] = ", ".join(options.to)
    found["Date"] = email.utils.format_datetime(notice.at.astimezone(dt.UTC))
    found["Message-ID"] = _id(notice.id)
    if notice.thread:
        found["References"] = found["In-Reply-To"] = _id(f"thread.{notice.thread}")
    found["Auto-Submitted"] = "auto-generated"
    found["X-Cloudmon-Type"] = printable(notice.type)
    found["X-Cloudmon-Severity"] = printable(notice.severity)
    found.set_content(f"{notice.title}\n\n{text(notice)}\n")
    return found


def text(notice: Notice) -> str:
    """What it says, a line for each thing; tables and lists as JSON."""
    told = {"severity": notice.severity, "at": notice.at.astimezone(dt.UTC).isoformat(), **notice.data}
    return "\n".join(f"{name}: {_line(value)}" for name, value in told.items() if value not in ("", None, [], {}))


def printable(line: str) -> str:
    """One line without what could begin another: what stands in it comes from clouds and appliances."""
    return "".join(char if char.isprintable() else " " for char in line)


def _line(value: object) -> str:
    if isinstance(value, str):
        return printable(value)
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def _id(text: str) -> str:
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:32]}@cloudmon.invalid>"


def _later(refused: Mapping[str, tuple[int, bytes]]) -> bool:
    """Whether one of these is refused for now only."""
    return any(400 <= code < 500 for code, _ in refused.values())


def _said(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who}: {_words(*why)}" for who, why in sorted(refused.items()))[:LONGEST_LINE]


def _words(code: int, said: bytes | str) -> str:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said
    return printable(f"{code} {words}")[:LONGEST_LINE].strip()
