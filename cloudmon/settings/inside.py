"""The groups of the settings file about the inside of an appliance: applications, probes, jobs, declared files."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cloudmon.model import versions
from cloudmon.model.sets import Application, Job
from cloudmon.settings.groups import Group
from cloudmon.settings.values import WholeSeconds, number

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _word(value: object) -> object:
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("must be text that is not empty")
    return value


def _absolute(value: object) -> object:
    if isinstance(value, str) and (not value.startswith("/") or "\0" in value):
        raise ValueError("must be an absolute path")
    return value


def _argv(value: object) -> object:
    if isinstance(value, str):
        raise ValueError('must be a list of words, such as ["systemctl", "reload", "nginx"]: no shell reads it')
    return value


Word = Annotated[str, BeforeValidator(_word)]
Argv = Annotated[tuple[Word, ...], BeforeValidator(_argv, json_schema_input_type=list[str])]
"""A program and its arguments, word by word."""
InsidePath = Annotated[str, Field(pattern="^/"), BeforeValidator(_absolute)]
"""An absolute path inside the appliance."""


class ProbeSettings(Group):
    """``probe``: how an application is asked whether it is well. One of ``tcp``, ``http``, ``command``, ``file``."""

    tcp: Annotated[int, BeforeValidator(number), Field(ge=1, le=65_535)] | None = None
    """Port of the appliance itself that must accept a connection. None: no such probe."""
    http: Annotated[str, Field(pattern="^https?://")] | None = None
    """URL that must answer with ``status``. None: no such probe."""
    status: Annotated[int, BeforeValidator(number), Field(ge=100, le=599)] | None = None
    """Status that ``http`` must answer with. None: 200."""
    command: Annotated[Argv, Field(min_length=1)] | None = None
    """Program that must end with exit code 0. None: no such probe."""
    file: InsidePath | None = None
    """File that must have been written within ``max_age_s``. None: no such probe."""
    max_age_s: Annotated[WholeSeconds, Field(gt=0)] | None = None
    """Greatest age of ``file``. None: 60 s."""
    timeout_s: Annotated[WholeSeconds, Field(gt=0, le=60)] = 5
    """Duration after which a probe without an answer counts as failed."""

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        kinds = [kind for kind in ("tcp", "http", "command", "file") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"must have one of tcp, http, command, file; it has {' and '.join(kinds) or 'none'}")
        for only, kind in (("status", "http"), ("max_age_s", "file")):
            if getattr(self, only) is not None and kinds != [kind]:
                raise ValueError(f"has {only}, which means something for {kind} only")
        return self

    def probe(self) -> dict[str, object]:
        """As the appliance is told it: what is asked, and the limits that belong to it."""
        if self.tcp is not None:
            return {"tcp": self.tcp, "timeout_s": self.timeout_s}
        if self.http is not None:
            return {"http": self.http, "status": self.status or 200, "timeout_s": self.timeout_s}
        if self.command is not None:
            return {"command": list(self.command), "timeout_s": self.timeout_s}
        return {"file": self.file, "max_age_s": self.max_age_s or 60}


class ApplicationSettings(Group):
    """``applications.<name>``: a program that the appliance is there for."""

    start: Argv = ()
    """Starts it. Empty: ``service`` does."""
    stop: Argv = ()
    """Stops it. Empty: ``service`` does, else its processes are ended."""
    service: str = ""
    """Name of its service (``nginx``), where the appliance has a service manager."""
    match: str = ""
    """Its processes are those whose command line holds this text. Empty: those of ``service``, or those that
    ``start`` began."""
    package: str = ""
    """Package it is installed from."""
    version: str = ""
    """Wanted version of ``package``: ``1.4`` and no other, ``>=1.4``, or ``newest``, the newest that the appliance's
    package manager offers. Anything else is out of date. Empty: any."""
    probe: ProbeSettings | None = None
    """How it is asked whether it is well. None: it is up while it has a process."""

    @field_validator("version")
    @classmethod
    def _version(cls, value: str) -> str:
        versions.parse(value)
        return value

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if not (self.start or self.service or self.match or self.package or self.probe):
            raise ValueError("says nothing by which it can be seen: give it start, service, match, package or probe")
        if self.stop and not (self.start or self.service):
            raise ValueError("has stop, but nothing that starts it again")
        if self.version and not self.package:
            raise ValueError("has a version, but no package that could have it")
        return self

    def application(self) -> Application:
        """The model's application."""
        return Application(
            start=self.start,
            stop=self.stop,
            service=self.service,
            match=self.match,
            package=self.package,
            version=self.version,
            probe=self.probe.probe() if self.probe is not None else {},
        )


class JobSettings(Group):
    """``jobs.<name>``: a program that may be run in the appliance when somebody, or a rule, asks for it."""

    argv: Annotated[Argv, Field(min_length=1)]
    """The program and its arguments."""
    timeout_s: Annotated[WholeSeconds, Field(gt=0, le=3_600)] = 60
    """Duration after which it is ended."""

    def job(self) -> Job:
        """The model's job."""
        return Job(self.argv, self.timeout_s)


class FileSettings(Group):
    """One of ``files``: a file whose content, mode and owner are reported."""

    path: InsidePath
    """Where it is in the appliance."""
    sha256: str = ""
    """What its content must hash to, in hexadecimal digits. Empty: any content."""

    @field_validator("sha256")
    @classmethod
    def _hash(cls, value: str) -> str:
        if value and not _SHA256.fullmatch(value.lower()):
            raise ValueError("must be a SHA-256 in 64 hexadecimal digits")
        return value.lower()


def _file(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


File = Annotated[
    FileSettings, BeforeValidator(_file, json_schema_input_type=Annotated[str, Field(pattern="^/")] | FileSettings)
]
"""A path alone, or a table."""
